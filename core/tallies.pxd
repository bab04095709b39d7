"""Slots that add up, one class each: totals, buckets of time, impressions."""

cimport cython
from libc.stdint cimport int64_t

from core._types cimport millis_t, octet_t
from core.record cimport BUCKETS_LIMIT, Bucket, Impression, RecordSlot
from core.slots cimport Slot


@cython.final
cdef class Total(Slot):
    cdef int64_t value


@cython.final
cdef class Buckets(Slot):
    cdef millis_t granularity_ms
    cdef int64_t window_granules
    cdef millis_t half_life_ms
    cdef int64_t reset_index
    cdef unsigned int count
    cdef Bucket[BUCKETS_LIMIT] entries  # ascending by index
    cdef void add(self, int64_t index, int64_t value) noexcept
    cdef void reset(self, int64_t index) noexcept


@cython.final
cdef class Impressions(Slot):
    cdef unsigned int count, capacity
    cdef Impression* entries  # ascending by (minute, offer, channel); owned, freed by __dealloc__
    cdef int add(self, Impression one) except -1
    cdef int reserve(self, unsigned int count) except -1


# The slot of a record that check_record has accepted.
cdef Total read_total_slot(RecordSlot slot)
cdef Buckets read_buckets(const octet_t* record, RecordSlot slot)
cdef Impressions read_impressions(const octet_t* record, RecordSlot slot)
