"""Bandits: values of their arms, and the draw of a decision (docs/decisions/0008-scoring.md)."""

cimport cython
from libc.stdint cimport int32_t, uint32_t

from core.memory cimport Pool

cdef enum:
    DIMENSIONS_MAX = 64
    MILLIONTHS = 1000000

ctypedef struct Bandit:
    uint32_t samples         # 0: the model is no bandit
    uint32_t floor           # millionths
    uint32_t dimensions      # of LinUCB; 0: draws
    double width
    const int32_t* arm_of    # by offer; -1: not one of its arms
    const double* draws      # by arm and sample
    const double* weights    # by arm and dimension
    const double* inverses   # by arm, row and column
    const char* id           # the model's, owned by the pool
    uint32_t id_length


@cython.final
cdef class Bandits:
    cdef Pool _pool
    cdef Bandit* of_model    # by model
    cdef uint32_t samples_max

    cdef const double* _doubles(self, bytes content) except NULL

# What an arm is worth in a sample; x: LinUCB's row, of `dimensions`.
cdef double arm_value(const Bandit* bandit, uint32_t arm, uint32_t sample, const double* x) noexcept nogil
