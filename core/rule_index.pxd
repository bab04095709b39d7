"""The index of rules that few profiles can match: what it may skip costs a match nothing."""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from core.generals cimport Generals
from core.index_plan cimport Access, IndexPlan, Literal
from core.memory cimport Pool
from core.values cimport ov_value

# Up to 64 rules that are reached through the same two attributes, each through both.
ctypedef struct Block:
    uint32_t first            # access
    uint32_t first_column
    uint32_t second
    uint32_t second_column
    uint32_t rules            # where the numbers of its rules begin


@cython.final
cdef class RuleIndex:
    cdef Pool _pool
    cdef Pool _kept                        # the plan's, to which accesses and literals point
    cdef readonly uint32_t rule_count      # rules in the index
    cdef readonly size_t mark_words        # 64-bit words that `search` needs for its marks
    cdef size_t _summary                   # where the second level of the marks begins: a bit a word
    cdef readonly uint32_t access_count
    cdef uint8_t* _held                    # by rule
    cdef Access* _access
    cdef Block* _blocks
    cdef uint32_t _block_count
    cdef uint32_t* _places                 # the rules in the order of the blocks
    cdef uint32_t* _begins                 # by place: where the rule's literals begin
    cdef Literal* _literals
    cdef readonly bint rests               # whether a rule of the index rests on a general condition
    cdef uint32_t* _place_of               # by rule of the index: its place
    # Scratch of `add`.
    cdef const uint64_t** _rows
    cdef uint64_t* _marks
    cdef uint32_t* _found

    cdef bint holds(self, size_t rule) noexcept nogil
    cdef bint rests_on_general(self, size_t rule) noexcept nogil
    # Join what the index finds with `count` ascending hits; returns how many there are then.
    cdef uint32_t add(
        self, const ov_value* values, int64_t now, Generals generals, uint32_t* hits, uint32_t count
    ) except? 0xFFFFFFFF
    # Mark the rules of the index that hold, or may hold by the general conditions that `states` do not know.
    # Scratch: `rows`, access_count; `asked`, rule_count. `marks`:
    # mark_words, zero before.
    cdef void search(
        self, const ov_value* values, int64_t now, const uint8_t* states, const uint64_t** rows,
        uint64_t* marks, uint32_t* asked
    ) noexcept nogil
    # Of the rules found, those that hold, general conditions and all; returns how many.
    cdef uint32_t settle(
        self, const ov_value* values, int64_t now, Generals generals, uint32_t* found, uint32_t count
    ) except? 0xFFFFFFFF
    # The marked rules, ascending; the marks are zero afterwards.
    cdef uint32_t drain(self, uint64_t* marks, uint32_t* found) noexcept nogil

    cdef _lay_out(self, list lone, list paired, IndexPlan plan)
    cdef void _place(self, uint32_t place, uint32_t number) noexcept
    cdef uint32_t _place_literals(self, IndexPlan plan, uint32_t place, uint32_t begin) noexcept
