"""A buffer that JSON is written into."""

cimport cython
from libc.stdint cimport int64_t, uint32_t

# Text that was made when the bundle was loaded; owned by the engine's pool.
ctypedef struct Piece:
    const char* text
    uint32_t length


@cython.final
cdef class Output:
    cdef char* _text           # owned
    cdef size_t _size          # bytes written
    cdef size_t _capacity      # bytes allocated

    cdef void clear(self) noexcept nogil
    cdef bytes take(self)
    cdef char* room(self, size_t length) except NULL nogil
    cdef void clear_large(self, size_t kept) noexcept
    cdef int raw(self, const char* text, size_t length) except -1 nogil
    cdef int piece(self, Piece piece) except -1 nogil
    cdef int literal(self, const char* text) except -1 nogil
    cdef int integer(self, int64_t number) except -1 nogil
    cdef int boolean(self, bint value) except -1 nogil
    cdef int timestamp(self, int64_t ms) except -1 nogil
    cdef int escaped(self, const char* text, size_t length) except -1 nogil
    cdef int string(self, str text) except -1
    cdef int utf8(self, const char* text, size_t length) except -1 nogil

    cdef int _grow(self, size_t wanted) except -1 nogil

# "2026-11-23T17:43:29.000Z": bytes that format_timestamp writes.
cdef enum:
    TIMESTAMP_LENGTH = 24

# 0001-01-01 to 9999-12-31, the years that RFC 3339 can write, in ms since 1970.
cdef enum:
    YEAR_1_MS = -62135596800000
    YEAR_10000_MS = 253402300800000

cdef void format_timestamp(int64_t ms, char* out) noexcept nogil
