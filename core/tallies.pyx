"""Slots that add up: totals, buckets of time, impressions; tallies.pxd says what they hold."""

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from libc.stdint cimport INT64_MIN, int64_t, uint64_t
from libc.string cimport memcpy, memmove

from core._types cimport octet_t
from core.mathx cimport add_wrapping
from core.record cimport (
    BUCKET_BYTES,
    BUCKETS,
    BUCKETS_HEAD_BYTES,
    BUCKETS_LIMIT,
    IMPRESSION_BYTES,
    IMPRESSIONS,
    IMPRESSIONS_LIMIT,
    TOTAL,
    BucketsHead,
    Impression,
    RecordSlot,
    buckets_head,
)
from core.slots cimport Slot, compare, compare_unsigned


@cython.final
cdef class Total(Slot):
    """An all-time count or sum."""

    def __cinit__(self):
        self.kind = TOTAL

    cdef int take(self, Slot other) except -1:
        self.value = add_wrapping(self.value, (<Total>other).value)
        return 0

    cdef Slot copy(self):
        cdef Total twin = Total.__new__(Total)
        twin.flags = self.flags
        twin.value = self.value
        return twin

    cdef void write(self, RecordSlot* slot, octet_t* heap) noexcept:
        slot.kind = TOTAL
        slot.flags = self.flags
        slot.value = <uint64_t>self.value


cdef Total read_total_slot(RecordSlot slot):
    cdef Total total = Total.__new__(Total)
    total.flags = slot.flags
    total.value = <int64_t>slot.value
    return total


@cython.final
cdef class Buckets(Slot):
    """Counts or sums per granule of time; the highest BUCKETS_LIMIT indexes above the reset index stay."""

    def __cinit__(self):
        self.kind = BUCKETS
        self.reset_index = INT64_MIN

    cdef int compare_family(self, Slot other) except? -2:
        cdef int order = Slot.compare_family(self, other)
        cdef Buckets theirs
        if order != 0:
            return order
        theirs = other
        return (
            compare(self.granularity_ms, theirs.granularity_ms)
            or compare(self.window_granules, theirs.window_granules)
            or compare(self.half_life_ms, theirs.half_life_ms)
        )

    cdef void add(self, int64_t index, int64_t value) noexcept:
        cdef unsigned int place = self.count
        if index <= self.reset_index:
            return
        while place > 0 and self.entries[place - 1].index > index:
            place -= 1
        if place > 0 and self.entries[place - 1].index == index:
            self.entries[place - 1].value = add_wrapping(self.entries[place - 1].value, value)
            return
        if self.count == BUCKETS_LIMIT:
            if place == 0:
                return
            place -= 1
            memmove(&self.entries[0], &self.entries[1], BUCKET_BYTES * place)
        else:
            memmove(&self.entries[place + 1], &self.entries[place], BUCKET_BYTES * (self.count - place))
            self.count += 1
        self.entries[place].index = index
        self.entries[place].value = value

    cdef void reset(self, int64_t index) noexcept:
        cdef unsigned int gone = 0
        if index <= self.reset_index:
            return
        self.reset_index = index
        while gone < self.count and self.entries[gone].index <= index:
            gone += 1
        self.count -= gone
        memmove(&self.entries[0], &self.entries[gone], BUCKET_BYTES * self.count)

    cdef int take(self, Slot other) except -1:
        cdef Buckets theirs = other
        cdef unsigned int place
        self.reset(theirs.reset_index)
        for place in range(theirs.count):
            self.add(theirs.entries[place].index, theirs.entries[place].value)
        return 0

    cdef Slot copy(self):
        cdef Buckets twin = Buckets.__new__(Buckets)
        twin.flags = self.flags
        twin.granularity_ms = self.granularity_ms
        twin.window_granules = self.window_granules
        twin.half_life_ms = self.half_life_ms
        twin.reset_index = self.reset_index
        twin.count = self.count
        memcpy(twin.entries, self.entries, BUCKET_BYTES * self.count)
        return twin

    cdef size_t heap_size(self) noexcept:
        return BUCKETS_HEAD_BYTES + BUCKET_BYTES * <size_t>self.count

    cdef void write(self, RecordSlot* slot, octet_t* heap) noexcept:
        """The folded value and its validity are left to `seal`, which knows when the record is packed."""
        cdef BucketsHead head
        slot.kind = BUCKETS
        slot.flags = self.flags
        slot.count = self.count
        head.granularity_ms = self.granularity_ms
        head.window_granules = self.window_granules
        head.half_life_ms = self.half_life_ms
        head.reset_index = self.reset_index
        head.valid_from_ms = head.valid_until_ms = 0
        memcpy(heap, &head, BUCKETS_HEAD_BYTES)
        memcpy(heap + BUCKETS_HEAD_BYTES, self.entries, BUCKET_BYTES * self.count)


cdef Buckets read_buckets(const octet_t* record, RecordSlot slot):
    cdef Buckets buckets = Buckets.__new__(Buckets)
    cdef BucketsHead head = buckets_head(record, slot)
    buckets.flags = slot.flags
    buckets.granularity_ms = head.granularity_ms
    buckets.window_granules = head.window_granules
    buckets.half_life_ms = head.half_life_ms
    buckets.reset_index = head.reset_index
    buckets.count = slot.count
    memcpy(buckets.entries, record + slot.heap + BUCKETS_HEAD_BYTES, BUCKET_BYTES * <size_t>slot.count)
    return buckets


cdef inline int compare_impressions(const Impression* left, const Impression* right) noexcept:
    return (
        compare(left.minute, right.minute)
        or compare_unsigned(left.offer, right.offer)
        or compare_unsigned(left.channel, right.channel)
    )


@cython.final
cdef class Impressions(Slot):
    """Displays per minute, offer and channel; the highest IMPRESSIONS_LIMIT stay."""

    def __cinit__(self):
        self.kind = IMPRESSIONS

    def __dealloc__(self):
        PyMem_Free(self.entries)

    cdef int reserve(self, unsigned int count) except -1:
        cdef Impression* larger
        if count > self.capacity:
            count = max(count, min(2 * self.capacity, <unsigned int>IMPRESSIONS_LIMIT))
            larger = <Impression*>PyMem_Realloc(self.entries, IMPRESSION_BYTES * <size_t>count)
            if larger == NULL:
                raise MemoryError
            self.entries = larger
            self.capacity = count
        return 0

    cdef int add(self, Impression one) except -1:
        cdef unsigned int place = self.count
        cdef size_t above
        cdef int order = 1
        while place > 0:
            order = compare_impressions(&one, &self.entries[place - 1])
            if order >= 0:
                break
            place -= 1
        if place > 0 and order == 0:
            one.impressions = add_wrapping(self.entries[place - 1].impressions, one.impressions)
            self.entries[place - 1] = one
            return 0
        if self.count == IMPRESSIONS_LIMIT:
            if place == 0:
                return 0
            place -= 1
            memmove(&self.entries[0], &self.entries[1], IMPRESSION_BYTES * <size_t>place)
        else:
            self.reserve(self.count + 1)
            above = self.count - place
            memmove(&self.entries[place + 1], &self.entries[place], IMPRESSION_BYTES * above)
            self.count += 1
        self.entries[place] = one
        return 0

    cdef int take(self, Slot other) except -1:
        cdef Impressions theirs = other
        cdef unsigned int place
        for place in range(theirs.count):
            self.add(theirs.entries[place])
        return 0

    cdef Slot copy(self):
        cdef Impressions twin = Impressions.__new__(Impressions)
        twin.reserve(self.count)
        twin.count = self.count
        memcpy(twin.entries, self.entries, IMPRESSION_BYTES * <size_t>self.count)
        return twin

    cdef size_t heap_size(self) noexcept:
        return IMPRESSION_BYTES * <size_t>self.count

    cdef void write(self, RecordSlot* slot, octet_t* heap) noexcept:
        slot.kind = IMPRESSIONS
        slot.count = self.count
        memcpy(heap, self.entries, IMPRESSION_BYTES * <size_t>self.count)


cdef Impressions read_impressions(const octet_t* record, RecordSlot slot):
    cdef Impressions impressions = Impressions.__new__(Impressions)
    impressions.reserve(slot.count)
    impressions.count = slot.count
    memcpy(impressions.entries, record + slot.heap, IMPRESSION_BYTES * <size_t>slot.count)
    return impressions
