"""Linear and logistic models that read the same features, computed side by side."""

cimport cython
from libc.stdint cimport int32_t, uint32_t, uint64_t

from core.memory cimport Pool

cdef extern from "linear.h":
    enum: OV_LINEAR_LANES

# Up to OV_LINEAR_LANES models with the same terms in the same order.
ctypedef struct Lanes:
    bint logistic
    const uint32_t* terms    # numbers of features
    uint32_t count
    const double* weights    # OV_LINEAR_LANES for each term
    double intercepts[8]     # OV_LINEAR_LANES
    double outputs[8]        # scratch
    uint64_t computed_at     # the reading that the outputs are of

# Where a model is computed.
ctypedef struct Seat:
    int32_t lanes            # -1: alone
    uint32_t lane


@cython.final
cdef class LinearModels:
    cdef Pool _pool
    cdef Lanes* _lanes
    cdef Seat* seats         # by model
    cdef uint64_t _reading

    # Features have new values.
    cdef void begin(self) noexcept nogil
    # Output of the model in a seat that has lanes; `x`: values of the features.
    cdef double output(self, Seat seat, const double* x) noexcept nogil

    cdef int _build(self, Lanes* lanes, tuple terms, bint logistic, list members) except -1
