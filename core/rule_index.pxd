"""The index of rules that few profiles can match: what it may skip costs a match nothing."""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from core.memory cimport Pool
from core.values cimport ov_value

# A set of value classes of one attribute: class 0 is missing, 255 not a number (numeric attributes).
ctypedef struct Classes:
    uint64_t words[4]

# How the values of one attribute fall into classes, and which rules each class lets pass.
ctypedef struct Access:
    uint32_t attribute
    bint is_text
    uint32_t bound_count      # numbers: class = 1 + bounds at or below the key
    const int64_t* bounds     # ascending
    uint32_t hash_count       # strings: class = 1 + place among the hashes, hash_count + 1: none of them; with
    const uint64_t* hashes    # more than TEXT_CLASSES_MAX of them, 1 + hash modulo that number
    bint folded               # which is the case here
    uint32_t class_count      # classes that a value can have
    uint32_t columns          # words of a row: sides of blocks that use this attribute, lone ones first
    uint32_t lone_columns     # blocks that are reached through this attribute alone
    uint32_t lone_rules       # where their rules begin, 64 a block
    uint64_t* rows            # 256 rows; bit i of a word: rule i of the block may hold

# Up to 64 rules that are reached through the same two attributes, each through both.
ctypedef struct Block:
    uint32_t first            # access
    uint32_t first_column
    uint32_t second
    uint32_t second_column
    uint32_t rules            # where the numbers of its rules begin

# A literal as the index evaluates it. A formula is a row of them: what follows a literal that holds, and what follows
# one that does not, is told by `ends`.
ctypedef struct Literal:
    uint8_t op                # core.bundle's OP_*
    uint8_t negated           # 1: "definitely false" is asked for
    uint8_t ends              # the last literal of a term, of a clause, of the formula
    uint8_t single            # strings: one literal, whose hash is `lo`
    uint32_t attribute
    int64_t lo                # ranges
    int64_t hi                # ranges; programs: steps
    const void* data          # TextGroup, PartTest or ov_step

# A node of the bundle, while the index is built.
ctypedef struct Branch:
    uint32_t is_or
    uint32_t count
    const uint32_t* inputs


@cython.final
cdef class RuleIndex:
    cdef Pool _pool
    cdef readonly uint32_t rule_count      # rules in the index
    cdef readonly size_t mark_words        # 64-bit words that `search` needs for its marks
    cdef size_t _summary                   # where the marks' second level begins: a bit for each word of the first
    cdef readonly uint32_t access_count
    cdef uint8_t* _held                    # by rule
    cdef Access* _access
    cdef Block* _blocks
    cdef uint32_t _block_count
    cdef uint32_t* _places                 # the rules in the order of the blocks
    cdef uint32_t* _begins                 # by place: where the rule's literals begin
    cdef Literal* _literals
    # Scratch of `add`.
    cdef const uint64_t** _rows
    cdef uint64_t* _marks
    cdef uint32_t* _found
    # While the index is built.
    cdef uint32_t _first                   # literals of conditions; nodes come after
    cdef Branch* _branches
    cdef int32_t* _access_of               # by attribute, -1: none
    cdef uint32_t* _draft
    cdef Literal* _conditions              # by condition
    cdef uint32_t** _formulas              # by rule, as words; NULL: not in the index

    cdef bint holds(self, size_t rule) noexcept nogil
    # Join what the index finds with `count` ascending hits; returns how many there are then.
    cdef uint32_t add(
        self, const ov_value* values, int64_t now, uint32_t* hits, uint32_t count
    ) noexcept nogil
    # Mark the rules of the index that hold. `rows`: scratch, access_count; `marks`: mark_words, zero before.
    cdef void search(
        self, const ov_value* values, int64_t now, const uint64_t** rows, uint64_t* marks
    ) noexcept nogil
    # The marked rules, ascending; the marks are zero afterwards.
    cdef uint32_t drain(self, uint64_t* marks, uint32_t* found) noexcept nogil

    cdef _take_nodes(self, Pool building, list nodes)
    cdef _take_conditions(self, Pool building, list conditions)
    cdef _take_access(self, list attributes, list conditions)
    cdef int _conjunction(self, uint32_t ref, int depth, int at) noexcept
    cdef int _disjunction(self, uint32_t ref, int depth, int at, uint32_t* terms) noexcept
    cdef Classes _literal_classes(self, uint32_t ref) noexcept
    cdef Classes _clause_classes(self, const uint32_t* clause, uint32_t attribute) noexcept
    cdef Classes _rule_classes(self, int size, uint32_t attribute) noexcept
    cdef double _share(self, const Classes* classes, const Access* access) noexcept
    cdef double _clause_share(self, const uint32_t* clause) noexcept
    cdef uint32_t _attributes_of(self, int size, uint32_t* seen) noexcept
    cdef tuple _choose(self, int size, Classes* first, Classes* second)
    cdef uint32_t* _ordered(self, Pool building, int size) except NULL
    cdef _lay_out(self, list lone, list paired, const Classes* classes)
    cdef void _place(self, uint32_t place, uint32_t number) noexcept
    cdef uint32_t _place_literals(self, uint32_t place, uint32_t begin) noexcept
    cdef void _look(
        self, uint64_t bits, uint32_t place, const ov_value* values, int64_t now, uint64_t* marks
    ) noexcept nogil
