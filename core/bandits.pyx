"""What bandits know of their arms, held as arrays; already checked by `core.check`."""

cimport cython
from libc.math cimport sqrt
from libc.stdint cimport int32_t, uint32_t
from libc.string cimport memcpy

from core.memory cimport Pool


@cython.final
cdef class Bandits:
    """The bandits of one bundle, by model."""

    def __cinit__(self, document not None):
        cdef Bandit* target
        cdef int32_t* arms
        cdef size_t i, k, offers = <size_t>len(document.offers)
        cdef bytes name
        self._pool = Pool()
        self.samples_max = 1
        self.of_model = <Bandit*>self._pool.take(len(document.models), sizeof(Bandit))
        for i, model in enumerate(document.models):
            if model.bandit is None:
                continue
            target = &self.of_model[i]
            name = model.id.encode()
            arms = <int32_t*>self._pool.take(offers, sizeof(int32_t))
            for k in range(offers):
                arms[k] = -1
            for k, offer in enumerate(model.bandit.arms):
                arms[<size_t>offer] = <int32_t>k
            target.samples = model.bandit.samples
            target.floor = model.bandit.floor
            target.dimensions = <uint32_t>len(model.features) + 1 if model.bandit.weights else 0
            target.width = model.bandit.width
            target.arm_of = arms
            target.draws = self._doubles(model.bandit.draws)
            target.weights = self._doubles(model.bandit.weights)
            target.inverses = self._doubles(model.bandit.inverses)
            target.id = self._pool.copy(name)
            target.id_length = <uint32_t>len(name)
            self.samples_max = max(self.samples_max, target.samples)

    def __reduce__(self):
        raise TypeError("Bandits hold addresses and cannot be pickled")

    cdef const double* _doubles(self, bytes content) except NULL:
        cdef double* copy = <double*>self._pool.take(<size_t>len(content) // 8, sizeof(double))
        memcpy(copy, <const char*>content, <size_t>len(content))
        return copy


cdef double arm_value(const Bandit* bandit, uint32_t arm, uint32_t sample, const double* x) noexcept nogil:
    """The sample's draw, or for LinUCB `w . x + width * sqrt(x . (M x))` (Li et al., WWW 2010)."""
    cdef uint32_t d = bandit.dimensions, i, k
    cdef const double* weights
    cdef const double* row
    cdef double mean = 0.0, spread = 0.0, sum
    if d == 0:
        return bandit.draws[<size_t>arm * bandit.samples + sample]
    weights = &bandit.weights[<size_t>arm * d]
    row = &bandit.inverses[<size_t>arm * d * d]
    for i in range(d):
        mean = mean + weights[i] * x[i]
        sum = 0.0
        for k in range(d):
            sum = sum + row[k] * x[k]
        spread = spread + x[i] * sum
        row += d
    return mean + bandit.width * sqrt(spread if spread > 0.0 else 0.0)
