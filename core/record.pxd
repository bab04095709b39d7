"""The profile record in place (docs/decisions/0001-record.md): structs, and accessors without Python objects.

Everything here reads bytes that `check_record` has accepted; it alone checks bounds. Structs are copied out
by value, so a record may lie at any address. A reader must compare `kind` with what it expects and take any
other kind for absent. Nothing here owns memory: pointers go into the record and end with it. Times are ms
since 1970 UTC.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from core._types cimport hash64_t, millis_t, octet_t
from core.mathx cimport floor_div

cdef enum:
    MAGIC = 0x5231564F  # "OV1R" as a little-endian number
    FORMAT = 1
    HEADER_BYTES = 64
    SLOT_BYTES = 16
    CHECKSUM_OFFSET = 56
    FLAG_KNOWN = 1  # header flag: the profile holds a verified identifier

    SYSTEM_SLOT_COUNT = 16
    SLOT_CONSENT_PERSONALIZATION = 0
    SLOT_CONSENT_ADS = 4
    SLOT_IMPRESSIONS = 5
    SLOT_ASSIGNMENTS = 6

    RECORD_BYTES_LIMIT = 65536
    SLOT_LIMIT = 4096
    TEXT_BYTES_LIMIT = 1024
    STRINGS_LIMIT = 63
    BUCKETS_LIMIT = 64
    IMPRESSIONS_LIMIT = 256
    ASSIGNMENTS_LIMIT = 256
    # Times, spans of time and bucket indexes lie within +-2^53, so sums of two of them cannot overflow.
    TIME_BITS = 53

    STAMP_BYTES = 16
    BUCKETS_HEAD_BYTES = 48
    BUCKET_BYTES = 16
    STRING_HEAD_BYTES = 20
    IMPRESSION_BYTES = 32
    ASSIGNMENT_BYTES = 32
    CONSENT_HEAD_BYTES = 16
    SCORE_BYTES = 16
    MINUTE_MS = 60000  # an impression's unit of time

cdef enum Kind:
    ABSENT = 0
    BOOL = 1  # 1 to 5: the value of a last, first, min or max; heap: Stamp (STRING: then u32 size, text)
    INT = 2
    FLOAT = 3
    STRING = 4
    TIMESTAMP = 5
    STRINGS = 6  # heap: `count` entries, see string_next
    TOTAL = 7  # no heap; value as int64
    BUCKETS = 8  # heap: BucketsHead, then `count` Bucket
    CONSENT = 9  # heap: i64 effective at, u64 tie, u32 size, text version, u32 size, source
    IMPRESSIONS = 10  # heap: `count` Impression
    SCORE = 11  # heap: Score
    ASSIGNMENTS = 12  # heap: `count` Assignment

# Slot flags of BOOL to TIMESTAMP: which of several values stays.
cdef enum Keep:
    KEEP_LAST = 0
    KEEP_FIRST = 1
    KEEP_MIN = 2
    KEEP_MAX = 3

# Slot flag of TOTAL and BUCKETS: a sum in millionths; else a count, or a sum of integers.
cdef enum:
    MILLIONTHS = 1

cdef enum ConsentState:
    GRANTED = 1
    DENIED = 2
    WITHDRAWN = 3

# What check_record found; 0: nothing. FAULTS in record.pyx has the words.
cdef enum Fault:
    FAULT_NONE = 0
    FAULT_SHORT
    FAULT_MAGIC
    FAULT_FORMAT
    FAULT_SIZE
    FAULT_FLAGS
    FAULT_SLOT_COUNT
    FAULT_CHECKSUM
    FAULT_KIND
    FAULT_SLOT
    FAULT_HEAP_OFFSET
    FAULT_HEAP_END
    FAULT_ENTRY

cdef struct RecordHeader:
    uint32_t magic  # MAGIC
    uint16_t format  # FORMAT
    uint16_t slot_count  # slots that follow the header, at most SLOT_LIMIT
    uint64_t layout_id  # XXH64 of the layout the packer knew; information only
    uint64_t sequence  # change-log number; 0 in a source state
    millis_t packed_at_ms
    octet_t unit_key[16]  # what experiments and holdouts hash; owned by the profile, never folded
    uint32_t size  # bytes of the whole record, a multiple of 8
    uint32_t flags  # FLAG_KNOWN
    hash64_t checksum  # XXH64 of the whole record with this field zero

cdef struct RecordSlot:
    uint64_t value  # by kind: 0 or 1, int64, double bits, hash of the text, folded value, ConsentState
    uint32_t heap  # bytes from the record's start, 0: none
    uint8_t kind  # Kind
    uint8_t flags  # Keep, or MILLIONTHS
    uint16_t count  # entries of STRINGS, BUCKETS, IMPRESSIONS, ASSIGNMENTS; else 0

# The event that a value came from; all zero for min and max.
cdef struct Stamp:
    millis_t at_ms
    hash64_t tie  # XXH64 of its message id

cdef struct BucketsHead:
    millis_t granularity_ms  # > 0; a bucket's index is floor(event time / granularity)
    int64_t window_granules  # 0: no window
    millis_t half_life_ms  # 0: no decay
    int64_t reset_index  # buckets up to here are gone; INT64_MIN: none
    millis_t valid_from_ms  # the slot's value is the folded value on [valid from, valid until)
    millis_t valid_until_ms

# Ascending by index, every index above the reset index.
cdef struct Bucket:
    int64_t index  # granules since 1970
    int64_t value  # count, sum of integers, or sum in millionths

# Ascending by (minute, offer, channel).
cdef struct Impression:
    hash64_t offer  # XXH64 of the offer's id
    hash64_t channel  # XXH64 of the channel's name
    int64_t minute  # minutes since 1970
    int64_t impressions

# A sticky assignment: what a source was shown first of an experiment. Ascending by (experiment, source).
cdef struct Assignment:
    hash64_t experiment  # core.bundle.experiment_key: the experiment's id and sticky version
    hash64_t source  # the first 8 bytes of the source's identifier hash
    hash64_t variant  # XXH64 of the variant's id
    millis_t at_ms  # of the exposure

cdef struct Score:
    millis_t scored_at_ms
    millis_t ttl_ms  # absent once now >= scored at + ttl

# One entry of a STRINGS slot; entries ascend by (hash, bytes).
cdef struct StringEntry:
    hash64_t hash
    millis_t last_seen_ms
    uint32_t size  # bytes of the text
    const octet_t* text  # UTF-8, in the record, without a terminator

cdef struct Consent:
    int state  # ConsentState, 0: none was recorded
    millis_t effective_at_ms
    hash64_t tie  # XXH64 of the message id
    uint32_t text_version_size
    const octet_t* text_version  # UTF-8, in the record
    uint32_t source_size
    const octet_t* source


# The whole check: header, checksum, every slot and heap entry. Returns FAULT_NONE or the first Fault.
cdef int check_record(const octet_t* record, size_t size) noexcept nogil

# The header alone, without the checksum: enough to pass a record on, not to read slots.
cdef int check_header(const octet_t* record, size_t size) noexcept nogil

# Fold what counts in granule floor(now / granularity): the integer sum, and for a decaying aggregate the
# double sum in *decayed.
cdef int64_t fold_granule(
    const octet_t* record, RecordSlot slot, const BucketsHead* head, int64_t granule, double* decayed
) noexcept nogil

# Finish a record that is being written: fold its buckets at `packed at`, then set the checksum.
cdef void seal(octet_t* record) noexcept nogil

# Raise RecordError for a Fault of bytes of this size; nothing for FAULT_NONE.
cdef int require(int fault, size_t size) except -1

# Refuse bytes that are no record: RecordError.
cdef int require_record(const octet_t* record, size_t size) except -1


cdef inline uint32_t load32(const octet_t* at) noexcept nogil:
    cdef uint32_t value
    memcpy(&value, at, 4)
    return value


cdef inline int64_t load64(const octet_t* at) noexcept nogil:
    cdef int64_t value
    memcpy(&value, at, 8)
    return value


cdef inline double as_double(uint64_t bits) noexcept nogil:
    cdef double value
    memcpy(&value, &bits, 8)
    return value


cdef inline uint64_t as_bits(double value) noexcept nogil:
    cdef uint64_t bits
    memcpy(&bits, &value, 8)
    return bits


cdef inline size_t padded(size_t size) noexcept nogil:
    return (size + 7) & ~<size_t>7


cdef inline RecordHeader header_at(const octet_t* record) noexcept nogil:
    cdef RecordHeader header
    memcpy(&header, record, HEADER_BYTES)
    return header


# The unit key where it lies in the record.
cdef inline const octet_t* unit_key_of(const octet_t* record) noexcept nogil:
    return (<const RecordHeader*>record).unit_key


# The slot, all zero (ABSENT) where the record is NULL or does not have it.
cdef inline RecordSlot slot_at(const octet_t* record, unsigned int number) noexcept nogil:
    cdef RecordSlot slot
    cdef uint16_t count = 0
    if record != NULL:
        memcpy(&count, record + 6, 2)
    if number < count:
        memcpy(&slot, record + HEADER_BYTES + SLOT_BYTES * <size_t>number, SLOT_BYTES)
    else:
        slot.value = 0
        slot.heap = 0
        slot.kind = ABSENT
        slot.flags = 0
        slot.count = 0
    return slot


# BOOL to TIMESTAMP.
cdef inline Stamp stamp_of(const octet_t* record, RecordSlot slot) noexcept nogil:
    cdef Stamp stamp
    memcpy(&stamp, record + slot.heap, STAMP_BYTES)
    return stamp


# STRING: the text's first byte and, in *size, its length.
cdef inline const octet_t* text_of(const octet_t* record, RecordSlot slot, uint32_t* size) noexcept nogil:
    size[0] = load32(record + slot.heap + STAMP_BYTES)
    return record + slot.heap + STAMP_BYTES + 4


# STRINGS: the entry at a heap position (the first at record + slot.heap); sets *entry, returns the next
# position. Walk it `slot.count` times; an attribute with a window skips entries with last_seen_ms <= now -
# window.
cdef inline const octet_t* string_next(const octet_t* at, StringEntry* entry) noexcept nogil:
    entry.hash = <hash64_t>load64(at)
    entry.last_seen_ms = load64(at + 8)
    entry.size = load32(at + 16)
    entry.text = at + STRING_HEAD_BYTES
    return at + padded(STRING_HEAD_BYTES + entry.size)


# BUCKETS.
cdef inline BucketsHead buckets_head(const octet_t* record, RecordSlot slot) noexcept nogil:
    cdef BucketsHead head
    memcpy(&head, record + slot.heap, BUCKETS_HEAD_BYTES)
    return head


cdef inline Bucket bucket_at(const octet_t* record, RecordSlot slot, unsigned int number) noexcept nogil:
    cdef Bucket bucket
    memcpy(&bucket, record + slot.heap + BUCKETS_HEAD_BYTES + BUCKET_BYTES * <size_t>number, BUCKET_BYTES)
    return bucket


# BUCKETS folded at now. Returns 0: a CEL int, in *whole; 1: a CEL double, in *real (sums in millionths
# divided, decay applied). The common case is the two compares with the stored value's validity.
cdef inline int fold_buckets(
    const octet_t* record, RecordSlot slot, millis_t now_ms, double* real, int64_t* whole
) noexcept nogil:
    cdef BucketsHead head = buckets_head(record, slot)
    cdef double decayed = 0.0
    cdef int64_t total
    if head.valid_from_ms <= now_ms < head.valid_until_ms:
        total = <int64_t>slot.value
        decayed = as_double(slot.value)
    else:
        total = fold_granule(record, slot, &head, floor_div(now_ms, head.granularity_ms), &decayed)
    if head.half_life_ms > 0:
        real[0] = decayed / 1e6 if slot.flags & MILLIONTHS else decayed
        return 1
    if slot.flags & MILLIONTHS:
        real[0] = <double>total / 1e6
        return 1
    whole[0] = total
    return 0


# TOTAL: as fold_buckets, without a time.
cdef inline int read_total(RecordSlot slot, double* real, int64_t* whole) noexcept nogil:
    if slot.flags & MILLIONTHS:
        real[0] = <double><int64_t>slot.value / 1e6
        return 1
    whole[0] = <int64_t>slot.value
    return 0


# CONSENT.
cdef inline Consent consent_of(const octet_t* record, RecordSlot slot) noexcept nogil:
    cdef Consent consent
    cdef const octet_t* at = record + slot.heap
    consent.state = <int>slot.value
    consent.effective_at_ms = load64(at)
    consent.tie = <hash64_t>load64(at + 8)
    consent.text_version_size = load32(at + CONSENT_HEAD_BYTES)
    consent.text_version = at + CONSENT_HEAD_BYTES + 4
    consent.source_size = load32(consent.text_version + consent.text_version_size)
    consent.source = consent.text_version + consent.text_version_size + 4
    return consent


# The consent of a purpose's slot; state 0, nothing else set, where the slot is absent or of another kind.
cdef inline Consent consent_at(const octet_t* record, unsigned int number) noexcept nogil:
    cdef Consent consent
    cdef RecordSlot slot = slot_at(record, number)
    if slot.kind == CONSENT:
        return consent_of(record, slot)
    memset(&consent, 0, sizeof(Consent))
    return consent


# Whether a purpose is granted at now.
cdef inline bint consent_granted(const octet_t* record, unsigned int number, millis_t now_ms) noexcept nogil:
    cdef RecordSlot slot = slot_at(record, number)
    return slot.kind == CONSENT and slot.value == GRANTED and load64(record + slot.heap) <= now_ms


# IMPRESSIONS: entry `number` of `slot.count`.
cdef inline Impression impression_at(
    const octet_t* record, RecordSlot slot, unsigned int number
) noexcept nogil:
    cdef Impression impression
    memcpy(&impression, record + slot.heap + IMPRESSION_BYTES * <size_t>number, IMPRESSION_BYTES)
    return impression


# ASSIGNMENTS: entry `number` of `slot.count`.
cdef inline Assignment assignment_at(
    const octet_t* record, RecordSlot slot, unsigned int number
) noexcept nogil:
    cdef Assignment assignment
    memcpy(&assignment, record + slot.heap + ASSIGNMENT_BYTES * <size_t>number, ASSIGNMENT_BYTES)
    return assignment


# SCORE: 1 and the score in *value, or 0 once its time to live is over.
cdef inline bint score_at(
    const octet_t* record, RecordSlot slot, millis_t now_ms, double* value
) noexcept nogil:
    cdef Score score
    memcpy(&score, record + slot.heap, SCORE_BYTES)
    value[0] = as_double(slot.value)
    return now_ms < score.scored_at_ms + score.ttl_ms
