"""Scores of candidates."""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from core.linear cimport LinearModels
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

# What an offer is to its model, or to the two parts of an uplift, treated first.
ctypedef struct OfferRead:
    const double* columns[2]
    const void* words[2]     # what the columns leave of the trees' words; NULL: no trees that read the offer

ctypedef struct Model:
    bint plain               # linear or logistic without calibration: no more than terms of the person
    bint of_offer            # it or a part of it reads the offer
    uint32_t column_count    # of the offer, that it reads itself
    const uint32_t* columns  # by column: the number of the feature; linear and logistic only
    void* half               # scratch: what the person leaves of the trees' words
    uint64_t half_at         # the round that it is of
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


# Offers that wait for the same trees.
ctypedef struct Gathered:
    Model* model
    uint32_t count
    const void* words[4]     # OV_TREE_OFFERS
    double* wanted[4]

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
    cdef LinearModels _linear
    cdef OfferRead* _offers  # by offer
    cdef OfferRead* _nothing  # by model: an offer without attributes
    cdef uint64_t _round

    # Read what the models of a placement need (the number of placements: of all models) before their outputs.
    cdef void read(self, uint32_t placement, const ov_value* values) noexcept nogil
    # Outputs of models (-1: none, 1.0) for the values that were read, each for an offer; `offers` NULL: for
    # one without attributes.
    cdef void outputs(
        self,
        const int32_t* models,
        const uint32_t* offers,
        uint32_t count,
        const ov_value* values,
        double* out,
    ) noexcept nogil
    # LinUCB's row of a bandit: the intercept, then weight * feature; OUT, one longer than its terms.
    cdef void vector(self, uint32_t model, double* out) noexcept nogil
    # From here on the values are others: forget outputs.
    cdef void begin(self) noexcept nogil

    cdef double propensity(self, Model* model, const ov_value* values) noexcept nogil

    cdef double _offered(
        self, Model* model, const ov_value* values, const OfferRead* read, int part
    ) noexcept nogil
    cdef double _part(
        self, int32_t model, const ov_value* values, const OfferRead* read, int part
    ) noexcept nogil
    cdef void _join(self, Gathered* gathered, const ov_value* values) noexcept nogil
    cdef void _read_person(self, Model* model, const ov_value* values) noexcept nogil

    cdef list _alike(self)
    cdef int _build(self, Model* target, uint32_t number, model, dict numbers) except -1
    cdef int _build_terms(self, Model* target, uint32_t number, list items, dict numbers) except -1
    cdef int _build_offers(self, list models, list offers) except -1
    cdef int _build_read(self, OfferRead* target, list models, int32_t model, columns) except -1
    cdef int _build_words(self, OfferRead* target, int part, const Model* model, trees) except -1
    cdef int _build_feature(self, Feature* target, attribute, equals, missing) except -1
    cdef int _build_groups(self, list models, list groups, dict numbers) except -1
    cdef int _build_trees(self, Model* target, trees) except -1
    cdef int _build_categories(self, Input* target, list names) except -1
    cdef int _build_calibration(self, Model* target, calibration) except -1
    cdef double* _doubles(self, list values) except NULL
    cdef double _output(self, Model* model, const ov_value* values) noexcept nogil
    cdef double _trees_output(self, const Model* model, const ov_value* values) noexcept nogil
    cdef const Model* _model_of_trees(self, uint32_t model) except NULL
