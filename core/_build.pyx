"""The mode this core was compiled in, so that tests and start-up checks can assert it."""

cdef extern from *:
    """
    #ifdef ONEVOICE_DEBUG
    #define ONEVOICE_BUILD_MODE "debug"
    #elif defined(ONEVOICE_SANITIZE)
    #define ONEVOICE_BUILD_MODE "sanitize"
    #else
    #define ONEVOICE_BUILD_MODE "release"
    #endif
    """
    const char* ONEVOICE_BUILD_MODE

BUILD_MODE = ONEVOICE_BUILD_MODE.decode("ascii")
