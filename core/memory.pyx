"""Blocks of C memory with one owner."""

cimport cython
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy


@cython.final
cdef class Pool:
    """Owns the tables of one engine: taken while a bundle is loaded, freed together with the pool."""

    def __cinit__(self):
        self._blocks = NULL
        self._count = 0
        self._capacity = 0

    def __dealloc__(self):
        cdef size_t i
        for i in range(self._count):
            free(self._blocks[i])
        free(self._blocks)

    def __reduce__(self):
        raise TypeError("a Pool holds addresses and cannot be pickled")

    cdef void* take(self, size_t count, size_t size) except NULL:
        """A zeroed array of `count` elements (at least one); calloc refuses a product that overflows."""
        cdef void** blocks
        cdef void* block
        if self._count == self._capacity:
            blocks = <void**>realloc(self._blocks, (self._capacity * 2 + 16) * sizeof(void*))
            if blocks == NULL:
                raise MemoryError
            self._blocks = blocks
            self._capacity = self._capacity * 2 + 16
        block = calloc(count if count else 1, size)
        if block == NULL:
            raise MemoryError
        self._blocks[self._count] = block
        self._count += 1
        return block

    cdef const char* copy(self, bytes text) except NULL:
        """The bytes of `text` and a NUL after them."""
        cdef char* block = <char*>self.take(<size_t>len(text) + 1, 1)
        memcpy(block, <const char*>text, <size_t>len(text))
        return block
