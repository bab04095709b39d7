"""Blocks of C memory with one owner."""

cimport cython


@cython.final
cdef class Pool:
    cdef void** _blocks        # owned: every block that was taken
    cdef size_t _count         # blocks in use
    cdef size_t _capacity      # blocks that fit into _blocks

    cdef void* take(self, size_t count, size_t size) except NULL
    cdef const char* copy(self, bytes text) except NULL
