"""Likenesses of offers, for maximal marginal relevance (docs/decisions/0010-arbitration-and-slots.md)."""

cimport cython
from libc.stdint cimport uint32_t

from core.memory cimport Pool


@cython.final
cdef class Likenesses:
    """What the offers of one bundle, already checked, are compared by."""

    def __cinit__(self, list offers not None):
        cdef Traits* traits
        cdef uint32_t* tags
        cdef double* vector
        cdef size_t i, k
        self._pool = Pool()
        self.traits = <Traits*>self._pool.take(len(offers), sizeof(Traits))
        numbers = {tag: at for at, tag in enumerate(sorted({tag for offer in offers for tag in offer.tags}))}
        for i, offer in enumerate(offers):
            traits = &self.traits[i]
            tags = <uint32_t*>self._pool.take(len(offer.tags), sizeof(uint32_t))
            for k, number in enumerate(sorted({numbers[tag] for tag in offer.tags})):
                tags[k] = number
                traits.tag_count += 1
            traits.tags = tags
            if offer.vector:
                vector = <double*>self._pool.take(len(offer.vector), sizeof(double))
                for k, component in enumerate(offer.vector):
                    vector[k] = component
                traits.vector = vector
                self.dimensions = <uint32_t>len(offer.vector)

    def __reduce__(self):
        raise TypeError("Likenesses hold addresses and cannot be pickled")

    cdef double to_chosen(
        self, uint32_t offer, const uint32_t* chosen, uint32_t chosen_count, int by
    ) noexcept nogil:
        cdef uint32_t i
        cdef double found, greatest = 0.0
        for i in range(chosen_count):
            found = self._between(offer, chosen[i], by)
            if found > greatest:
                greatest = found
        return greatest

    cdef double _between(self, uint32_t one, uint32_t other, int by) noexcept nogil:
        cdef const Traits* a = &self.traits[one]
        cdef const Traits* b = &self.traits[other]
        if one == other:
            return 1.0
        if by == BY_TAGS:
            return _jaccard(a, b)
        if a.vector == NULL or b.vector == NULL:
            return 0.0
        return _cosine(a.vector, b.vector, self.dimensions)


cdef double _jaccard(const Traits* a, const Traits* b) noexcept nogil:
    """Of two sets: what is in both, in parts of what is in either."""
    cdef uint32_t i = 0, k = 0, both = 0, either
    while i < a.tag_count and k < b.tag_count:
        if a.tags[i] == b.tags[k]:
            both += 1
            i += 1
            k += 1
        elif a.tags[i] < b.tags[k]:
            i += 1
        else:
            k += 1
    either = a.tag_count + b.tag_count - both
    return <double>both / either if either else 0.0


cdef double _cosine(const double* a, const double* b, uint32_t count) noexcept nogil:
    """Of two vectors of length 1, negative ones as 0. Four sums, so that one addition need not wait for the
    last; their order is part of the definition.
    """
    cdef double sums[4]
    cdef double sum
    cdef uint32_t i
    sums[0] = sums[1] = sums[2] = sums[3] = 0.0
    for i in range(count):
        sums[i & 3] = sums[i & 3] + a[i] * b[i]
    sum = (sums[0] + sums[1]) + (sums[2] + sums[3])
    return 1.0 if sum > 1.0 else 0.0 if sum < 0.0 else sum
