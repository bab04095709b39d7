"""Which rules an index takes, and through what it reaches them."""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from core.conditions cimport ov_find_hash, ov_rank
from core.memory cimport Pool
from core.values cimport OV_FLOAT, OV_MISSING, ov_value

cdef enum:
    # core.bundle's numbers, as C constants.
    C_OP_CONSTANT = 0
    C_OP_RANGE = 1
    C_OP_STRING_IN = 2
    C_OP_HAS = 3
    C_OP_CONTAINS = 4
    C_OP_STARTS = 5
    C_OP_ENDS = 6
    C_OP_ANY_IN = 7
    C_OP_PROGRAM = 8
    C_OP_GENERAL = 9

    CLASSES = 256
    CLASS_MISSING = 0
    CLASS_NAN = 255
    TEXT_CLASSES_MAX = 254

# A set of value classes of one attribute: class 0 is missing, 255 not a number (numeric attributes).
ctypedef struct Classes:
    uint64_t words[4]

# How the values of one attribute fall into classes, and which rules each class lets pass.
ctypedef struct Access:
    uint32_t attribute
    bint is_text
    uint32_t bound_count      # numbers: class = 1 + bounds at or below the key
    const int64_t* bounds     # ascending
    uint32_t hash_count       # strings: class = 1 + place among the hashes, or after all; with
    const uint64_t* hashes    # more than TEXT_CLASSES_MAX of them, 1 + hash modulo that number
    bint folded               # which is the case here
    uint32_t class_count      # classes that a value can have
    uint32_t columns          # words of a row: sides of blocks that use this attribute, lone ones first
    uint32_t lone_columns     # blocks that are reached through this attribute alone
    uint32_t lone_rules       # where their rules begin, 64 a block
    uint64_t* rows            # 256 rows; bit i of a word: rule i of the block may hold

# A literal as the index evaluates it. A formula is a row of them: what follows a literal that holds, and
# what follows one that does not, is told by `ends`.
ctypedef struct Literal:
    uint8_t op                # core.bundle's OP_*
    uint8_t negated           # 1: "definitely false" is asked for
    uint8_t ends              # the last literal of a term, of a clause, of the formula
    uint8_t single            # strings: one literal, whose hash is `lo`
    uint32_t attribute
    int64_t lo                # ranges; general conditions: number
    int64_t hi                # ranges; programs: steps
    const void* data          # TextGroup, PartTest or ov_step

# A node of the bundle, while the index is built.
ctypedef struct Branch:
    uint32_t is_or
    uint32_t count
    const uint32_t* inputs


@cython.final
cdef class IndexPlan:
    cdef Pool kept                         # what accesses and literals point to
    cdef Pool _pool                        # what goes with the plan
    cdef uint32_t access_count
    cdef Access* access                    # without rows
    cdef Literal* conditions               # by condition
    cdef uint32_t** formulas               # by rule, as words; NULL: not for an index
    cdef Classes* classes                  # by rule, two each: of its first access and of its second
    cdef list lone                         # [(access, -1, rule)]
    cdef list paired                       # [(first access, second access, rule)], the first below the second
    cdef uint32_t _first                   # literals of conditions; nodes come after
    cdef Branch* _branches
    cdef int32_t* _access_of               # by attribute, -1: none
    cdef uint32_t* _draft                  # the formula at hand, without its number of clauses

    cdef _take_nodes(self, list nodes)
    cdef _take_conditions(self, list conditions)
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
    cdef uint32_t* _ordered(self, int size) except NULL


cdef inline uint32_t class_of_key(const Access* access, int64_t key) noexcept nogil:
    return 1 + <uint32_t>ov_rank(access.bounds, access.bound_count, key)


cdef inline uint32_t class_of_hash(const Access* access, uint64_t number) noexcept nogil:
    cdef size_t at
    if access.folded:
        return 1 + <uint32_t>(number % TEXT_CLASSES_MAX)
    at = ov_find_hash(access.hashes, access.hash_count, number)
    if at < access.hash_count and access.hashes[at] != number:
        at = access.hash_count
    return 1 + <uint32_t>at


cdef inline uint32_t class_of(const Access* access, const ov_value* value) noexcept nogil:
    if value.type == OV_MISSING:
        return CLASS_MISSING
    if access.is_text:
        return class_of_hash(access, <uint64_t>value.number)
    if value.type == OV_FLOAT and value.real != value.real:
        return CLASS_NAN
    return class_of_key(access, value.number)
