"""Gradient-boosted trees as tables; trees.h has the loops, docs/decisions/0008-scoring.md the definition."""

cimport cython
from libc.stdint cimport uint32_t, uint64_t

from core.memory cimport Pool

cdef extern from "trees.h" nogil:
    enum: OV_WORD_BITS, OV_NARROW_BITS, OV_TREE_OFFERS

    ctypedef struct ov_column:
        uint32_t numeric, numeric_end
        uint32_t missing, missing_end
        uint32_t zero, zero_end
        uint32_t category, category_end
        uint32_t zero_is_missing
        uint32_t has_special
        uint32_t of_offer

    ctypedef struct ov_set:
        uint32_t begin, count

    ctypedef struct ov_trees:
        uint32_t library
        uint32_t column_count, tree_count, word_count, entry_count, first_set
        double base
        const ov_column* columns
        const double* thresholds
        const uint32_t* words
        const uint64_t* wide
        const uint32_t* narrow
        const ov_set* sets
        const uint32_t* bits
        const uint32_t* tree_words
        const uint32_t* word_leaves
        const double* leaves

    # Bytes of scratch for one row, and for any number of them.
    size_t ov_trees_state_size(const ov_trees* trees) noexcept
    size_t ov_trees_lanes_size(const ov_trees* trees) noexcept
    # Raw score of one row of `column_count` values, NaN where missing.
    double ov_trees_row(const ov_trees* trees, const double* row, void* state) noexcept
    # What one half of the columns leaves of the words; OUT, ov_trees_state_size bytes.
    void ov_trees_half(const ov_trees* trees, const double* row, uint32_t of_offer, void* state) noexcept
    # Raw scores of OV_TREE_OFFERS offers from the person's half and theirs.
    void ov_trees_offers(
        const ov_trees* trees, const void* person, const void** offers, double* out
    ) noexcept
    # Raw scores of rows that lie one after the other.
    void ov_trees_rows(
        const ov_trees* trees, const double* rows, size_t count, void* scratch, double* out
    ) noexcept


@cython.final
cdef class Ensemble:
    cdef Pool _pool
    cdef ov_trees trees

    cdef const void* _array(self, str path, bytes content, size_t size, size_t count) except NULL
    cdef int _count(self, str path, trees) except -1
    cdef int _lists(self, str path, trees) except -1
    cdef int _thresholds(self, str path, bytes content) except -1
    cdef int _entries(self, str path) except -1
    cdef int _sets(self, str path, bytes sets, bytes bits) except -1
    cdef int _narrow(self) except -1
