"""Scores of candidates."""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from core.memory cimport Pool
from core.trees cimport ov_trees
from core.values cimport ov_value

# What a term of linear models reads; models that read the same share it.
ctypedef struct Feature:
    uint32_t attribute
    bint equals              # compare with `text` instead of reading a number
    double missing           # what a missing attribute counts as
    uint64_t hash            # of the text
    const char* text         # owned by the models' pool
    uint32_t length

# One of the strings that a column of trees counts as numbers.
ctypedef struct Category:
    uint64_t hash            # XXH64 of the text
    const char* text         # owned by the models' pool
    uint32_t length
    uint32_t code            # its place in the declared list

# What a column of trees reads.
ctypedef struct Input:
    uint32_t attribute
    const Category* categories  # by hash, ascending; none: a number
    uint32_t count

# What the output goes through at the end.
ctypedef struct Calibration:
    double a                 # 1 / (1 + exp(a * s + b)) where there are no points
    double b
    const double* x          # points, ascending
    const double* y
    uint32_t count           # of points

ctypedef struct Model:
    bint plain               # linear or logistic without calibration: no more than terms
    int kind                 # MODEL_*
    bint logistic
    double intercept
    const uint32_t* terms    # numbers of features, in the order of the sum
    const double* weights    # by term
    uint32_t count           # of terms
    const ov_trees* trees    # owned by an Ensemble of the models
    const Input* inputs      # one per column of the trees
    int link                 # LINK_*
    double scale
    const Calibration* calibration  # NULL: none
    int32_t treated
    int32_t control
    uint64_t remembered_at   # round whose output is remembered; trees and uplift only
    double remembered


# The features that the models of a placement read.
ctypedef struct Group:
    const uint32_t* features
    uint32_t count


@cython.final
cdef class Models:
    cdef Pool _pool
    cdef Feature* _features
    cdef double* _x          # scratch: values of the features
    cdef Group* _groups      # by placement, and one of all models at the end
    cdef uint32_t _group_count
    cdef Model* models
    cdef readonly uint32_t count
    cdef list _ensembles     # owners of the trees
    cdef double* _row        # scratch: the inputs of one row
    cdef void* _state        # scratch of ov_trees_row
    cdef uint64_t _round

    # Read what the models of a placement need (the number of placements: of all models) before their outputs.
    cdef void read(self, uint32_t placement, const ov_value* values) noexcept nogil
    # Outputs of models (-1: none, 1.0) for the values that were read.
    cdef void outputs(
        self, const int32_t* models, uint32_t count, const ov_value* values, double* out
    ) noexcept nogil
    # LinUCB's row of a bandit: the intercept, then weight * feature; OUT, one longer than its terms.
    cdef void vector(self, uint32_t model, double* out) noexcept nogil
    # From here on the values are others: forget outputs.
    cdef void begin(self) noexcept nogil

    cdef double propensity(self, Model* model, const ov_value* values) noexcept nogil

    cdef int _build(self, Model* target, model, dict numbers) except -1
    cdef int _build_terms(self, Model* target, list items, dict numbers) except -1
    cdef int _build_feature(self, Feature* target, attribute, equals, missing) except -1
    cdef int _build_groups(self, list models, list groups, dict numbers) except -1
    cdef int _build_trees(self, Model* target, trees) except -1
    cdef int _build_categories(self, Input* target, list names) except -1
    cdef int _build_calibration(self, Model* target, calibration) except -1
    cdef double* _doubles(self, list values) except NULL
    cdef double _output(self, Model* model, const ov_value* values) noexcept nogil
    cdef double _trees_output(self, const Model* model, const ov_value* values) noexcept nogil
    cdef const Model* _model_of_trees(self, uint32_t model) except NULL
