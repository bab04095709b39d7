"""How like two offers are, and what that leaves of a candidate's score."""

cimport cython
from libc.stdint cimport uint32_t

from core.memory cimport Pool

cdef enum:
    # core.bundle's BY_*.
    BY_TAGS = 0
    BY_VECTOR = 1

# What an offer is compared by; owned by the pool.
ctypedef struct Traits:
    const uint32_t* tags         # dense numbers, ascending
    uint32_t tag_count
    const double* vector         # of length 1; NULL: none


@cython.final
cdef class Likenesses:
    cdef Pool _pool
    cdef Traits* traits          # by offer
    cdef uint32_t dimensions     # of every vector

    # The likeness, 0 to 1, of an offer to the most like of those chosen, of which there is at least one.
    cdef double to_chosen(
        self, uint32_t offer, const uint32_t* chosen, uint32_t chosen_count, int by
    ) noexcept nogil
    cdef double _between(self, uint32_t one, uint32_t other, int by) noexcept nogil

# A score in parts of the greatest finite one, -1 to 1; without a scale above 0 its sign.
cdef inline double relevance_of(double score, double scale) noexcept nogil:
    if scale > 0.0:
        score = score / scale
        return 1.0 if score > 1.0 else -1.0 if score < -1.0 else score
    return <double>((score > 0.0) - (score < 0.0))
