"""Tables that turn attribute values into literals, and literals into rules."""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from core.memory cimport Pool
from core.values cimport ov_value

cdef extern from "tables.h":
    ctypedef struct ov_node_group:
        uint32_t is_or
        uint32_t arity           # inputs a node
        uint32_t count           # nodes
        uint32_t output          # literal position of the first node; the others follow
        const uint32_t* inputs   # count x arity literal positions, owned by the tables' pool

    void ov_range_tests(
        int64_t key,
        const int64_t* lo,
        const uint64_t* span,
        size_t count,
        uint8_t* is_true,
        uint8_t* is_false,
    ) noexcept nogil
    void ov_run_nodes(const ov_node_group* groups, size_t group_count, uint8_t* lit) noexcept nogil

cdef extern from "programs.h":
    ctypedef struct ov_step:
        uint32_t op
        uint32_t attribute
        ov_value constant

    int ov_run_program(const ov_step* steps, size_t count, const ov_value* values, int64_t now) noexcept nogil
    enum: OV_P_ATTRIBUTE

# Range tests of one attribute; conditions at positions [begin, begin + count).
ctypedef struct RangeGroup:
    uint32_t attribute
    uint32_t begin
    uint32_t count
    const int64_t* lo        # key >= lo
    const uint64_t* span     # key - lo <= span

# A string that conditions of one attribute ask for.
ctypedef struct TextLiteral:
    uint64_t hash
    const char* text
    uint32_t length
    uint32_t hit_count
    const uint32_t* hits     # positions of the conditions that this string makes true

# String tests of one attribute by literal; conditions at positions [begin, begin + count), false unless a
# literal hits.
ctypedef struct TextGroup:
    uint32_t attribute
    uint32_t begin
    uint32_t count
    bint many                     # of a strings attribute: each of its entries may hit
    uint32_t literal_count
    const TextLiteral* literals   # ascending by hash

ctypedef struct HasTest:
    uint32_t attribute
    uint32_t position

ctypedef struct PartTest:
    uint32_t attribute
    uint32_t position
    uint32_t op              # OP_CONTAINS, OP_STARTS, OP_ENDS
    uint32_t length
    const char* text

ctypedef struct ProgramTest:
    uint32_t position
    uint32_t step_count
    const ov_step* steps

# How much to evaluate: what decides, what also matches, all. Conditions that decide nothing are evaluated
# for the two latter.
cdef enum Extent:
    DECIDE = 0
    MATCH = 1
    EXPLAIN = 2


@cython.final
cdef class Tables:
    cdef Pool _pool
    cdef readonly uint32_t condition_count
    cdef readonly uint32_t literal_count   # bytes of a literal plane
    cdef readonly uint32_t rule_count
    cdef uint32_t* positions               # literal index of the bundle -> position in the plane
    cdef uint32_t* rule_true               # rule -> position of "definitely true"
    cdef uint32_t* rule_false              # rule -> position of "definitely false"
    # By whether more than deciding is asked for: [0, count) are evaluated.
    cdef RangeGroup* _ranges
    cdef size_t _range_counts[2]
    cdef TextGroup* _texts
    cdef size_t _text_counts[2]
    cdef HasTest* _has
    cdef size_t _has_counts[2]
    cdef PartTest* _parts
    cdef size_t _part_counts[2]
    cdef ProgramTest* _programs
    cdef size_t _program_counts[2]
    cdef ov_node_group* _groups
    cdef size_t _group_counts[3]           # by Extent: groups [0, count) are evaluated
    cdef uint32_t* _hits                   # scratch: rules found true
    cdef list _numbers                     # the ints 0 ... rule_count - 1, so that a match makes none

    cdef void evaluate(
        self, const ov_value* values, int64_t now, Extent extent, uint8_t* literals
    ) noexcept nogil
    cdef list matching(self, const uint8_t* literals)

    cdef _place_conditions(self, list conditions, frozenset early)
    cdef _build_ranges(self, list groups)
    cdef _build_texts(self, list groups)
    cdef int _build_text(self, TextGroup* group, attribute, list members) except -1
    cdef _build_tests(self, list conditions, dict ordered, frozenset early)
    cdef const ov_step* _build_program(self, list program) except NULL
    cdef _place_nodes(self, list nodes, frozenset deciding, frozenset matching)
