"""Scores of candidates."""

cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t

from core.memory cimport Pool
from core.values cimport ov_value

ctypedef struct Feature:
    uint32_t attribute
    bint equals              # compare with `text` instead of reading a number
    double weight
    double missing           # what a missing attribute counts as
    uint64_t hash            # of the text
    const char* text         # owned by the models' pool
    uint32_t length

ctypedef struct Model:
    bint logistic
    double intercept
    const Feature* features
    uint32_t count


@cython.final
cdef class Models:
    cdef Pool _pool
    cdef Model* models
    cdef readonly uint32_t count

    cdef double propensity(self, uint32_t model, const ov_value* values) noexcept nogil

    cdef int _build(self, Model* target, model) except -1

# Propensity of one row of attribute values.
cdef double score_row(const Model* model, const ov_value* values) noexcept nogil
