"""Linear and logistic models that read the same features, computed side by side (linear.h).

Models that come out of one training read the same features in the same order, so most of a placement's
models share their terms. A model whose terms are its own is summed by `core.scoring`.
"""

cimport cython
from libc.stdint cimport int32_t, uint32_t
from libc.string cimport memcpy

from core.memory cimport Pool

cdef extern from "linear.h" nogil:
    void ov_linear_block(
        const double* x,
        const uint32_t* terms,
        uint32_t count,
        const double* weights,
        bint logistic,
        double* out,
    ) noexcept


@cython.final
cdef class LinearModels:
    """`models`: by model, None or (terms, logistic, intercept, weights) of one to be computed here unless it
    is alone.
    """

    def __cinit__(self, list models not None):
        cdef size_t at = 0, i
        self._pool = Pool()
        self._reading = 1
        self.seats = <Seat*>self._pool.take(len(models), sizeof(Seat))
        alike = {}
        for i, model in enumerate(models):
            self.seats[i].lanes = -1
            if model is not None and model[0]:
                alike.setdefault(model[:2], []).append((i, *model[2:]))
        sharing = [(key, members) for key, members in alike.items() if len(members) > 1]
        parts = sum([(len(members) + OV_LINEAR_LANES - 1) // OV_LINEAR_LANES for _, members in sharing])
        self._lanes = <Lanes*>self._pool.take(parts, sizeof(Lanes))
        for (terms, logistic), members in sharing:
            for first in range(0, len(members), OV_LINEAR_LANES):
                part = members[first:first + OV_LINEAR_LANES]
                self._build(&self._lanes[at], terms, logistic, part)
                for lane, member in enumerate(part):
                    self.seats[<size_t>member[0]].lanes = <int32_t>at
                    self.seats[<size_t>member[0]].lane = <uint32_t>lane
                at += 1

    def __reduce__(self):
        raise TypeError("LinearModels hold addresses and cannot be pickled")

    cdef int _build(self, Lanes* lanes, tuple terms, bint logistic, list members) except -1:
        cdef uint32_t* numbers = <uint32_t*>self._pool.take(len(terms), sizeof(uint32_t))
        cdef double* weights = <double*>self._pool.take(len(terms) * OV_LINEAR_LANES, sizeof(double))
        lanes.logistic = logistic
        lanes.count = <uint32_t>len(terms)
        for i, term in enumerate(terms):
            numbers[<size_t>i] = term
        for lane, (_, intercept, row) in enumerate(members):
            lanes.intercepts[<size_t>lane] = intercept
            for i, weight in enumerate(row):
                weights[<size_t>(i * OV_LINEAR_LANES + lane)] = weight
        lanes.terms = numbers
        lanes.weights = weights
        return 0

    cdef void begin(self) noexcept nogil:
        self._reading = self._reading + 1

    cdef double output(self, Seat seat, const double* x) noexcept nogil:
        cdef Lanes* lanes = &self._lanes[seat.lanes]
        if lanes.computed_at != self._reading:
            memcpy(lanes.outputs, lanes.intercepts, sizeof(lanes.intercepts))
            ov_linear_block(x, lanes.terms, lanes.count, lanes.weights, lanes.logistic, lanes.outputs)
            lanes.computed_at = self._reading
        return lanes.outputs[seat.lane]
