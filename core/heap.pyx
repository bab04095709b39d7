"""Slots and heap entries of a record, checked before anybody reads them in place."""

from libc.stdint cimport INT64_MIN, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from core._types cimport octet_t
from core.record cimport (
    ABSENT,
    ASSIGNMENT_BYTES,
    ASSIGNMENTS,
    ASSIGNMENTS_LIMIT,
    BOOL,
    BUCKET_BYTES,
    BUCKETS,
    BUCKETS_HEAD_BYTES,
    BUCKETS_LIMIT,
    CONSENT,
    CONSENT_HEAD_BYTES,
    FAULT_ENTRY,
    FAULT_HEAP_END,
    FAULT_HEAP_OFFSET,
    FAULT_KIND,
    FAULT_NONE,
    FAULT_SLOT,
    FLOAT,
    GRANTED,
    HEADER_BYTES,
    IMPRESSION_BYTES,
    IMPRESSIONS,
    IMPRESSIONS_LIMIT,
    INT,
    KEEP_MAX,
    KEEP_MIN,
    MILLIONTHS,
    MINUTE_MS,
    SCORE,
    SCORE_BYTES,
    SLOT_ASSIGNMENTS,
    SLOT_BYTES,
    SLOT_CONSENT_ADS,
    SLOT_IMPRESSIONS,
    STAMP_BYTES,
    STRING,
    STRING_HEAD_BYTES,
    STRINGS,
    STRINGS_LIMIT,
    TEXT_BYTES_LIMIT,
    TIME_BITS,
    TIMESTAMP,
    TOTAL,
    WITHDRAWN,
    Assignment,
    BucketsHead,
    Impression,
    RecordSlot,
    Stamp,
    StringEntry,
    as_double,
    assignment_at,
    bucket_at,
    buckets_head,
    header_at,
    impression_at,
    load32,
    load64,
    padded,
    stamp_of,
    string_next,
)

cdef extern from "utf8.h" nogil:
    bint is_utf8 "ov_is_utf8"(const octet_t* text, size_t size) noexcept


# Heap entries stand in slot order without gaps, so one cursor checks offsets, overlap and the end.
cdef int check_slots(const octet_t* record, size_t size) noexcept nogil:
    cdef unsigned int number
    cdef unsigned int count = header_at(record).slot_count
    cdef size_t cursor = HEADER_BYTES + SLOT_BYTES * <size_t>count
    cdef size_t taken
    cdef RecordSlot slot
    for number in range(count):
        memcpy(&slot, record + HEADER_BYTES + SLOT_BYTES * <size_t>number, SLOT_BYTES)
        taken = plain_bytes(record, number, &slot, cursor, size)
        if taken > 0:
            cursor += taken
            continue
        if slot.kind == ABSENT:
            if slot.value != 0 or slot.heap != 0 or slot.flags != 0 or slot.count != 0:
                return FAULT_SLOT
            continue
        if not kind_fits(number, slot.kind):
            return FAULT_KIND
        if not slot_fits(slot):
            return FAULT_SLOT
        if slot.kind == TOTAL:
            if slot.heap != 0:
                return FAULT_HEAP_OFFSET
            continue
        if slot.heap != cursor:
            return FAULT_HEAP_OFFSET
        taken = heap_within(record, slot, size - cursor)
        if taken == 0:
            return FAULT_HEAP_END
        if not entry_fits(record, slot):
            return FAULT_ENTRY
        cursor += taken
    return FAULT_NONE if cursor == size else FAULT_HEAP_END


# Most slots are plain values, and most of those are in order: one look says so. Bytes of the slot's heap
# entry, or 0: what does not pass here is looked at again, to say what is wrong.
cdef inline size_t plain_bytes(
    const octet_t* record, unsigned int number, const RecordSlot* slot, size_t cursor, size_t size
) noexcept nogil:
    cdef size_t taken = STAMP_BYTES
    cdef uint32_t length
    if number <= SLOT_ASSIGNMENTS or slot.heap != cursor or slot.flags >= KEEP_MIN or slot.count != 0:
        return 0
    if size - cursor < STAMP_BYTES or not in_range(load64(record + cursor)):
        return 0
    if slot.kind == STRING:
        if size - cursor < STAMP_BYTES + 4:
            return 0
        length = load32(record + cursor + STAMP_BYTES)
        taken = padded(STAMP_BYTES + 4 + <size_t>length)
        if length > TEXT_BYTES_LIMIT or taken > size - cursor:
            return 0
        return taken if is_utf8(record + cursor + STAMP_BYTES + 4, length) else 0
    if slot.kind == FLOAT:
        return 0 if is_nan(slot.value) else taken
    if slot.kind == BOOL:
        return taken if slot.value <= 1 else 0
    return taken if slot.kind == INT or slot.kind == TIMESTAMP else 0


cdef inline bint kind_fits(unsigned int number, uint8_t kind) noexcept nogil:
    if number <= SLOT_CONSENT_ADS:
        return kind == CONSENT
    if number == SLOT_IMPRESSIONS:
        return kind == IMPRESSIONS
    if number == SLOT_ASSIGNMENTS:
        return kind == ASSIGNMENTS
    return kind <= SCORE


cdef inline bint slot_fits(RecordSlot slot) noexcept nogil:
    cdef uint8_t kind = slot.kind
    if kind <= TIMESTAMP:
        if slot.flags > KEEP_MAX or slot.count != 0:
            return False
        if kind == BOOL:
            return slot.value <= 1
        if kind == FLOAT:
            return not is_nan(slot.value)
        return True
    if kind == STRINGS:
        return slot.flags == 0 and slot.value == 0 and slot.count <= STRINGS_LIMIT
    if kind == TOTAL:
        return slot.flags <= MILLIONTHS and slot.count == 0
    if kind == BUCKETS:
        return slot.flags <= MILLIONTHS and slot.count <= BUCKETS_LIMIT
    if kind == CONSENT:
        return slot.flags == 0 and slot.count == 0 and GRANTED <= slot.value <= WITHDRAWN
    if kind == IMPRESSIONS:
        return slot.flags == 0 and slot.value == 0 and slot.count <= IMPRESSIONS_LIMIT
    if kind == ASSIGNMENTS:
        return slot.flags == 0 and slot.value == 0 and slot.count <= ASSIGNMENTS_LIMIT
    return slot.flags == 0 and slot.count == 0 and not is_nan(slot.value)


cdef inline bint is_nan(uint64_t bits) noexcept nogil:
    cdef double value = as_double(bits)
    return value != value


# Bytes of the slot's heap entry if it lies within the `room` bytes that are left, else 0. So an empty list,
# which has no entry, does not pass: such a slot is absent.
cdef inline size_t heap_within(const octet_t* record, RecordSlot slot, size_t room) noexcept nogil:
    cdef const octet_t* at = record + slot.heap
    cdef size_t used = 0
    if slot.kind == STRINGS:
        for _ in range(slot.count):
            if used + STRING_HEAD_BYTES > room:
                return 0
            used += padded(STRING_HEAD_BYTES + <size_t>load32(at + used + 16))
            if used > room:
                return 0
        return used
    if slot.kind == STRING:
        if room < STAMP_BYTES + 4:
            return 0
        used = padded(STAMP_BYTES + 4 + <size_t>load32(at + STAMP_BYTES))
    elif slot.kind == CONSENT:
        if room < CONSENT_HEAD_BYTES + 4:
            return 0
        used = CONSENT_HEAD_BYTES + 4 + <size_t>load32(at + CONSENT_HEAD_BYTES)
        if used + 4 > room:
            return 0
        used = padded(used + 4 + <size_t>load32(at + used))
    else:
        used = heap_bytes(record, slot)
    return used if used <= room else 0


cdef size_t heap_bytes(const octet_t* record, RecordSlot slot) noexcept nogil:
    cdef const octet_t* at = record + slot.heap
    cdef StringEntry entry
    cdef uint32_t text
    if slot.kind == ABSENT or slot.kind == TOTAL:
        return 0
    if slot.kind == STRING:
        return padded(STAMP_BYTES + 4 + <size_t>load32(at + STAMP_BYTES))
    if slot.kind <= TIMESTAMP:
        return STAMP_BYTES
    if slot.kind == STRINGS:
        for _ in range(slot.count):
            at = string_next(at, &entry)
        return <size_t>at - <size_t>(record + slot.heap)
    if slot.kind == BUCKETS:
        return BUCKETS_HEAD_BYTES + BUCKET_BYTES * <size_t>slot.count
    if slot.kind == CONSENT:
        text = load32(at + CONSENT_HEAD_BYTES)
        return padded(CONSENT_HEAD_BYTES + 8 + <size_t>text + load32(at + CONSENT_HEAD_BYTES + 4 + text))
    if slot.kind == IMPRESSIONS:
        return IMPRESSION_BYTES * <size_t>slot.count
    if slot.kind == ASSIGNMENTS:
        return ASSIGNMENT_BYTES * <size_t>slot.count
    return SCORE_BYTES


# The heap entry's bytes are there; whether they are ones that a packer writes.
cdef inline bint entry_fits(const octet_t* record, RecordSlot slot) noexcept nogil:
    if slot.kind <= TIMESTAMP:
        return plain_fits(record, slot)
    if slot.kind == STRINGS:
        return strings_fit(record, slot)
    if slot.kind == BUCKETS:
        return buckets_fit(record, slot)
    if slot.kind == CONSENT:
        return consent_fits(record + slot.heap)
    if slot.kind == IMPRESSIONS:
        return impressions_fit(record, slot)
    if slot.kind == ASSIGNMENTS:
        return assignments_fit(record, slot)
    return in_range(load64(record + slot.heap)) and in_range(load64(record + slot.heap + 8))


cdef inline bint in_range(int64_t value) noexcept nogil:
    return -(<int64_t>1 << TIME_BITS) <= value <= <int64_t>1 << TIME_BITS


cdef inline bint plain_fits(const octet_t* record, RecordSlot slot) noexcept nogil:
    cdef Stamp stamp = stamp_of(record, slot)
    if slot.flags >= KEEP_MIN and (stamp.at_ms != 0 or stamp.tie != 0):
        return False
    if slot.kind == STRING and not text_fits(record + slot.heap + STAMP_BYTES):
        return False
    return in_range(stamp.at_ms)


# A length and its text.
cdef inline bint text_fits(const octet_t* at) noexcept nogil:
    cdef uint32_t size = load32(at)
    return size <= TEXT_BYTES_LIMIT and is_utf8(at + 4, size)


cdef inline bint strings_fit(const octet_t* record, RecordSlot slot) noexcept nogil:
    cdef StringEntry entry, previous
    cdef const octet_t* at = string_next(record + slot.heap, &previous)
    if not string_fits(&previous):
        return False
    for _ in range(1, slot.count):
        at = string_next(at, &entry)
        if not string_fits(&entry) or not string_before(&previous, &entry):
            return False
        previous = entry
    return True


cdef inline bint string_fits(const StringEntry* entry) noexcept nogil:
    return in_range(entry.last_seen_ms) and text_fits(entry.text - 4)


cdef inline bint string_before(const StringEntry* left, const StringEntry* right) noexcept nogil:
    cdef int order
    if left.hash != right.hash:
        return left.hash < right.hash
    order = memcmp(left.text, right.text, min(left.size, right.size))
    return order < 0 or (order == 0 and left.size < right.size)


cdef inline bint buckets_fit(const octet_t* record, RecordSlot slot) noexcept nogil:
    cdef BucketsHead head = buckets_head(record, slot)
    cdef int64_t previous = head.reset_index
    cdef int64_t index
    cdef unsigned int number
    if head.granularity_ms <= 0 or head.window_granules < 0 or head.half_life_ms < 0:
        return False
    if not (in_range(head.granularity_ms) and in_range(head.window_granules) and in_range(head.half_life_ms)):
        return False
    if previous != INT64_MIN and not in_range(previous):
        return False
    for number in range(slot.count):
        index = bucket_at(record, slot, number).index
        if index <= previous or not in_range(index):
            return False
        previous = index
    return True


cdef inline bint consent_fits(const octet_t* at) noexcept nogil:
    cdef uint32_t version = load32(at + CONSENT_HEAD_BYTES)
    return (
        in_range(load64(at))
        and text_fits(at + CONSENT_HEAD_BYTES)
        and text_fits(at + CONSENT_HEAD_BYTES + 4 + version)
    )


cdef inline bint impressions_fit(const octet_t* record, RecordSlot slot) noexcept nogil:
    cdef Impression one
    cdef Impression previous = impression_at(record, slot, 0)
    cdef unsigned int number
    if not minute_in_range(previous.minute):
        return False
    for number in range(1, slot.count):
        one = impression_at(record, slot, number)
        if not minute_in_range(one.minute) or not impression_before(previous, one):
            return False
        previous = one
    return True


cdef inline bint minute_in_range(int64_t minute) noexcept nogil:
    cdef int64_t limit = (<int64_t>1 << TIME_BITS) // MINUTE_MS + 1
    return -limit <= minute <= limit


cdef inline bint impression_before(Impression left, Impression right) noexcept nogil:
    if left.minute != right.minute:
        return left.minute < right.minute
    if left.offer != right.offer:
        return left.offer < right.offer
    return left.channel < right.channel


cdef inline bint assignments_fit(const octet_t* record, RecordSlot slot) noexcept nogil:
    cdef Assignment one
    cdef Assignment previous = assignment_at(record, slot, 0)
    cdef unsigned int number
    if not in_range(previous.at_ms):
        return False
    for number in range(1, slot.count):
        one = assignment_at(record, slot, number)
        if not in_range(one.at_ms) or not assignment_before(previous, one):
            return False
        previous = one
    return True


cdef inline bint assignment_before(Assignment left, Assignment right) noexcept nogil:
    if left.experiment != right.experiment:
        return left.experiment < right.experiment
    return left.source < right.source
