"""Matching many profiles at once: blocks of them, one bit a profile, on several threads."""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from core._types cimport octet_t
from core.conditions cimport RangeGroup, TextGroup
from core.memory cimport Pool
from core.rules cimport Tables
from core.values cimport Attributes, ov_value

cdef extern from "lanes.h":
    enum: OV_BLOCK

    # One bit for each profile of a block.
    ctypedef struct ov_lanes:
        pass

# One record; NULL: a profile of which nothing is known. The bytes belong to the caller.
ctypedef struct Packed:
    const octet_t* record
    size_t size

# The sets of the conditions of one text group, for ov_quad_lanes; sets NULL: `hits` of the literals are used.
ctypedef struct QuadSets:
    uint32_t quads           # half-bytes a set
    const uint8_t* sets      # `count` of the group x quads

# What one thread needs. Owned by the batch's pool.
ctypedef struct Scratch:
    ov_value* values         # of the profile at hand; the context's are there already
    ov_lanes* plane          # literals
    ov_lanes* ranks          # all range groups: bound_count + 2 vectors each
    ov_lanes* rank_known     # by range group
    ov_lanes* strings        # all text groups: literal_count vectors each, padded to a multiple of 4
    ov_lanes* text_known     # by text group
    ov_lanes* quads          # tables of one text group
    uint32_t* touched        # literals that some profile has, of all text groups; as `strings`
    uint32_t* touched_counts  # by text group
    ov_lanes* found          # by rule of the index
    const uint64_t** rows    # for the index
    uint64_t* marks
    uint32_t* marked
    size_t number            # of the thread
    uint8_t* unknown         # states of general conditions: nothing is known of any
    ov_lanes* least          # by root of the tables
    ov_lanes* wanted         # by general test: the profiles that it is evaluated for
    size_t damaged           # the first of its records that is none, or the number of all
    int fault                # what that one lacks

# One call.
ctypedef struct Job:
    void* batch              # the Batch; borrowed
    const Packed* packed
    size_t count             # profiles
    int64_t now
    uint64_t* out            # rules x words
    size_t words             # of a rule's row, a multiple of 2
    size_t next_block        # shared by the threads


@cython.final
cdef class Matches:
    cdef readonly bytes bits
    cdef readonly size_t rule_count
    cdef readonly size_t profile_count
    cdef size_t _words
    cdef const uint64_t* _row(self, size_t rule) except NULL


@cython.final
cdef class Batch:
    cdef Pool _pool
    cdef Tables _tables
    cdef Attributes _attributes
    cdef QuadSets* _sets                   # by text group
    cdef size_t* _rank_begins              # by range group, into Scratch.ranks
    cdef size_t* _string_begins            # by text group, into Scratch.strings
    cdef size_t _rank_total
    cdef size_t _string_total
    cdef size_t _quads_max
    cdef Scratch* _scratch                 # by thread
    cdef size_t _scratch_count
    cdef list _generals                    # by thread
    cdef object _raised                    # what ended a general condition's evaluation: None, or e.g. Ctrl-C

    cdef Matches match(self, list records, const ov_value* values, int64_t now, size_t threads)

    cdef int _build_sets(self, size_t number) except -1
    cdef int _take_scratch(self, Scratch* scratch) except -1
    cdef int _refuse_damaged(self, const Job* job, size_t threads) except -1
    cdef void _run(self, Job* job, Scratch* scratch) noexcept nogil
    cdef bint _check_block(self, const Job* job, size_t block, Scratch* scratch) noexcept nogil
    cdef void _run_block(self, Job* job, size_t block, Scratch* scratch) noexcept nogil
    cdef void _scatter(self, Scratch* scratch, uint32_t lane, int64_t now) noexcept nogil
    cdef void _scatter_text(
        self, const TextGroup* group, size_t number, const ov_value* value, Scratch* scratch, uint32_t lane
    ) noexcept nogil
    cdef uint32_t _settle_found(
        self, Scratch* scratch, int64_t now, uint32_t found
    ) noexcept with gil
    cdef bint _want_generals(self, Scratch* scratch, const ov_lanes* all_lanes) noexcept nogil
    cdef void _settle_block(
        self, const Job* job, size_t begin, uint32_t lanes, Scratch* scratch
    ) noexcept with gil
    cdef void _open_nodes(self, ov_lanes* plane) noexcept nogil
    cdef void _gather_range(self, const RangeGroup* group, size_t number, Scratch* scratch) noexcept nogil
    cdef void _gather_text(self, const TextGroup* group, size_t number, Scratch* scratch) noexcept nogil
