"""Models that run in the core: linear and logistic, in a fixed order of sums, with the core's own exp."""

cimport cython
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcmp

from core._types cimport octet_t
from core.hashing cimport xxh64_c
from core.mathx cimport exp_c
from core.memory cimport Pool
from core.values cimport OV_FLOAT, OV_MISSING, ov_value

from core import bundle


@cython.final
cdef class Models:
    """The models of one bundle, already checked by `core.check`."""

    def __cinit__(self, list models not None):
        self._pool = Pool()
        self.count = <uint32_t>len(models)
        self.models = <Model*>self._pool.take(self.count, sizeof(Model))
        for i, model in enumerate(models):
            self._build(&self.models[<size_t>i], model)

    def __reduce__(self):
        raise TypeError("Models hold addresses and cannot be pickled")

    cdef int _build(self, Model* target, model) except -1:
        cdef Feature* features = <Feature*>self._pool.take(len(model.features), sizeof(Feature))
        cdef bytes text
        for i, feature in enumerate(model.features):
            features[<size_t>i].attribute = feature.attribute
            features[<size_t>i].weight = feature.weight
            features[<size_t>i].missing = feature.missing
            if feature.equals is not None:
                text = feature.equals.encode()
                features[<size_t>i].equals = True
                features[<size_t>i].text = self._pool.copy(text)
                features[<size_t>i].length = <uint32_t>len(text)
                features[<size_t>i].hash = xxh64_c(<const octet_t*><const char*>text, len(text), 0)
        target.logistic = model.kind == bundle.MODEL_LOGISTIC
        target.intercept = model.intercept
        target.features = features
        target.count = <uint32_t>len(model.features)
        return 0

    cdef double propensity(self, uint32_t model, const ov_value* values) noexcept nogil:
        return score_row(&self.models[model], values)


cdef double score_row(const Model* model, const ov_value* values) noexcept nogil:
    """Propensity of one row (docs/decisions/0002-decision.md, step 5).

    `s = intercept; s = s + weight * x` for each feature in order, then `1 / (1 + exp(-s))` for a logistic
    model.

    Parameters
    ----------
    model : IN
    values : IN, one per attribute of the bundle
    """
    cdef double total = model.intercept
    cdef const Feature* feature
    cdef uint32_t i
    for i in range(model.count):
        feature = &model.features[i]
        total = total + feature.weight * _input(feature, &values[feature.attribute])
    return 1.0 / (1.0 + exp_c(-total)) if model.logistic else total


cdef inline double _input(const Feature* feature, const ov_value* value) noexcept nogil:
    if feature.equals:
        return 1.0 if _equals(feature, value) else 0.0
    if value.type == OV_MISSING:
        return feature.missing
    return value.real if value.type == OV_FLOAT else <double>value.number


cdef inline bint _equals(const Feature* feature, const ov_value* value) noexcept nogil:
    return (
        value.type != OV_MISSING
        and <uint64_t>value.number == feature.hash
        and value.length == feature.length
        and memcmp(value.text, feature.text, feature.length) == 0
    )
