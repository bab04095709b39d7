"""Tables that turn attribute values into literals, and literals into rules."""

cimport cython
from cpython.ref cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint32_t

from core.conditions cimport EXTENTS, Conditions, Extent
from core.generals cimport Generals
from core.memory cimport Pool
from core.rule_index cimport RuleIndex
from core.values cimport ov_value

cdef extern from "tables.h":
    ctypedef struct ov_node_group:
        uint32_t is_or
        uint32_t arity           # inputs a node
        uint32_t count           # nodes
        uint32_t output          # literal position of the first node; the others follow
        const uint32_t* inputs   # count x arity literal positions, owned by the tables' pool


# A literal that someone reads and that rests on general conditions.
ctypedef struct Root:
    uint32_t position
    uint32_t test_count
    const uint32_t* tests    # places among the conditions' general tests


@cython.final
cdef class Tables:
    cdef Pool _pool
    cdef Conditions conditions
    cdef Generals generals
    cdef RuleIndex index
    cdef readonly uint32_t literal_count   # bytes of a literal plane
    cdef readonly uint32_t rule_count
    cdef uint32_t* positions               # literal index of the bundle -> position in the plane
    cdef uint32_t* rule_true               # rule -> position of "definitely true"
    cdef uint32_t* rule_false              # rule -> position of "definitely false"
    cdef ov_node_group* groups
    cdef size_t group_counts[EXTENTS]      # by Extent: groups [0, count) are evaluated
    cdef size_t open_groups[EXTENTS]       # by Extent: its groups from here on rest on general conditions
    cdef Root* roots
    cdef size_t root_counts[EXTENTS]       # by Extent: [0, count) are read
    cdef uint8_t* _least                   # scratch: by root
    cdef uint8_t* _wanted                  # scratch: by general test
    cdef uint32_t eager_count              # rules that `match` reads from the plane, not from the index
    cdef uint32_t* eager                   # their numbers, ascending
    cdef uint32_t* eager_true              # and their positions of "definitely true"
    cdef uint32_t* _hits                   # scratch: rules found true
    cdef list _numbers                     # the ints 0 ... rule_count - 1, so that a match makes none
    cdef PyObject** _objects               # and where they are

    cdef int evaluate(
        self, const ov_value* values, int64_t now, Extent extent, uint8_t* literals
    ) except -1 nogil
    # After `evaluate` of the same values.
    cdef list matching(self, const ov_value* values, int64_t now, const uint8_t* literals)
    # Run the nodes of an extent.
    cdef void run_nodes(self, Extent extent, uint8_t* literals) noexcept nogil

    cdef int _settle(self, Extent extent, uint8_t* literals) except -1
    cdef void _open_nodes(self, Extent extent, uint8_t* literals) noexcept nogil
    cdef _place_roots(self, document, list resting, dict readers)

    cdef _place_nodes(self, list nodes, uint32_t first, list extents, list resting)
    cdef _place_rules(self, list rules)
