"""Frequency caps: impressions of a record counted against limits."""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from core._types cimport octet_t
from core.memory cimport Pool

ctypedef struct Cap:
    int64_t max
    int64_t window_minutes
    bint per_all                 # count every offer that the cap applies to, not the candidate's alone
    const uint64_t* channels     # ascending hashes; none: every channel
    uint32_t channel_count
    const uint32_t* offers       # ascending
    uint32_t offer_count
    int32_t rule                 # `when`, -1: always

# One offer's id by its hash.
ctypedef struct OfferHash:
    uint64_t hash
    uint32_t offer

# One impression entry of the record that belongs to an offer of the bundle.
ctypedef struct Shown:
    uint32_t offer
    int32_t next                 # next entry of the same offer, -1: none
    uint64_t channel
    int64_t minute
    int64_t count


@cython.final
cdef class Caps:
    cdef Pool _pool
    cdef Cap* caps
    cdef uint32_t _cap_count
    cdef uint32_t _offer_count
    cdef OfferHash* _hashes      # open addressing; offer is NONE in a free cell
    cdef uint32_t _mask          # cells - 1
    cdef Shown* _shown           # entries of the record being decided on
    cdef uint32_t _shown_count
    cdef int32_t* _first         # per offer: its newest entry, -1: none
    cdef int64_t* _totals        # per cap of `per: all`: the count, -1: not yet counted
    cdef const octet_t* _record  # whose entries are chained; placements without a purpose have none
    cdef bint _loaded

    # Forget the record of the last decision.
    cdef void reset(self) noexcept nogil
    # Whether an offer has reached a cap; `record` may be NULL.
    cdef bint reached(self, uint32_t cap, uint32_t offer, const octet_t* record, int64_t now) noexcept nogil

    cdef int _build(self, Cap* target, cap) except -1
    cdef int _index(self, list ids) except -1
    cdef uint32_t _offer_of(self, uint64_t number) noexcept nogil
    cdef void _load(self, const octet_t* record) noexcept nogil
    cdef int64_t _count(self, const Cap* cap, uint32_t offer, int64_t minute) noexcept nogil
