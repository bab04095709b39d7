"""The distinct conditions of a bundle, laid out by attribute, and their evaluation into a plane of
literals.
"""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from core.memory cimport Pool
from core.values cimport ov_value

cdef extern from "tables.h":
    enum: OV_LANES
    size_t ov_rank(const int64_t* bounds, size_t count, int64_t key) noexcept nogil
    size_t ov_find_hash(const uint64_t* hashes, size_t count, uint64_t hash) noexcept nogil

cdef extern from "programs.h":
    ctypedef struct ov_step:
        uint32_t op
        uint32_t attribute
        ov_value constant

    int ov_run_program(const ov_step* steps, size_t count, const ov_value* values, int64_t now) noexcept nogil
    enum: OV_P_ATTRIBUTE

# How much to evaluate: what decides, what also matches, all.
cdef enum Extent:
    DECIDE = 0
    MATCH = 1
    EXPLAIN = 2
    EXTENTS = 3

# Range tests of one attribute; conditions at positions [begin, begin + count). A key's rank is the number
# of bounds at or below it; a condition holds on the ranks [low, low + span].
ctypedef struct RangeGroup:
    uint32_t attribute
    uint32_t begin
    uint32_t count           # padded to OV_LANES
    uint32_t members         # without the padding
    uint32_t width           # bytes of a rank: 1, 2 or 4
    uint32_t bound_count
    const int64_t* bounds    # ascending
    const void* low          # `count` ranks of `width` bytes
    const void* span

# `contains`, `startsWith` or `endsWith` of a string attribute.
ctypedef struct PartTest:
    uint32_t position
    uint32_t op              # OP_CONTAINS, OP_STARTS, OP_ENDS
    uint32_t length
    const char* text

# A string that conditions of one attribute ask for.
ctypedef struct TextLiteral:
    const char* text
    uint32_t length
    uint32_t hit_count
    const uint32_t* hits     # positions of the conditions that this string makes true

# String tests of one attribute; conditions at positions [begin, begin + count). Of a string that is a
# literal of the group every verdict is known in advance, parts included; of another one only the parts need
# a look.
ctypedef struct TextGroup:
    uint32_t attribute
    uint32_t begin
    uint32_t count                # padded to OV_LANES
    bint many                     # of a strings attribute: each of its entries may hit
    uint32_t literal_count
    uint32_t part_count
    const uint64_t* hashes        # of the literals, ascending
    const TextLiteral* literals   # in that order
    const PartTest* parts
    const uint8_t* rows           # literal_count rows of `count` verdicts; NULL: too large, `hits` have them
    const uint8_t* blank          # a row of zeros

ctypedef struct HasTest:
    uint32_t attribute
    uint32_t position

ctypedef struct ProgramTest:
    uint32_t position
    uint32_t step_count
    const ov_step* steps

# What the general evaluator is asked: `Conditions.evaluate` leaves it alone.
ctypedef struct GeneralTest:
    uint32_t position
    uint32_t number          # among the bundle's general expressions
    uint32_t condition


@cython.final
cdef class Conditions:
    cdef Pool _pool
    cdef readonly uint32_t width           # bytes of one plane of the conditions, padding included
    cdef uint32_t* positions               # condition -> position in its plane; 0 is the constant
    # By extent: [0, count) are evaluated.
    cdef RangeGroup* ranges
    cdef size_t range_counts[EXTENTS]
    cdef TextGroup* texts
    cdef size_t text_counts[EXTENTS]
    cdef HasTest* has
    cdef size_t has_counts[EXTENTS]
    cdef ProgramTest* programs
    cdef size_t program_counts[EXTENTS]
    cdef GeneralTest* generals
    cdef size_t general_counts[EXTENTS]

    # Fill both planes of the conditions: `literals` and `literals + width`.
    cdef void evaluate(
        self, const ov_value* values, int64_t now, Extent extent, uint8_t* literals
    ) noexcept nogil

    cdef uint32_t _place(self, list members, uint32_t position)
    cdef int _build_range(self, RangeGroup* group, list conditions, attribute, list members) except -1
    cdef int _build_text(self, TextGroup* group, list conditions, attribute, list members) except -1
    cdef int _build_rows(self, TextGroup* group) except -1

# Make strings ready for find_literal; a dict of them gives the positions of the conditions that each makes
# true.
cdef int take_literals(Pool pool, TextGroup* group, wanted) except -1

cdef const ov_step* build_program(Pool pool, list program) except NULL

# The literal of a group that a string is, or literal_count.
cdef uint32_t find_literal(
    const TextGroup* group, uint64_t number, const char* text, uint32_t length
) noexcept nogil

cdef bint part_holds(const PartTest* test, const char* text, uint32_t length) noexcept nogil
