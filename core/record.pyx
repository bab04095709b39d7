"""The profile record (docs/decisions/0001-record.md): check, read the head, fold at now, project, restamp.

`describe` shows one to people.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from core._types cimport hash64_t, millis_t, octet_t
from core.hashing cimport record_checksum
from core.heap cimport check_slots, heap_bytes
from core.mathx cimport add_capped, add_wrapping, decay, floor_div, multiply_capped

from operator import itemgetter

from core.bundle import experiment_key
from core.errors import RecordError
from core.hashing import xxh64
from core.header import Header

RECORD_BYTES_MAX = RECORD_BYTES_LIMIT
SLOTS_MAX = SLOT_LIMIT
SYSTEM_SLOTS = SYSTEM_SLOT_COUNT
STRING_BYTES_MAX = TEXT_BYTES_LIMIT
STRINGS_MAX = STRINGS_LIMIT
BUCKETS_MAX = BUCKETS_LIMIT
IMPRESSIONS_MAX = IMPRESSIONS_LIMIT
ASSIGNMENTS_MAX = ASSIGNMENTS_LIMIT
UNIT_KEY_BYTES = 16

cdef dict CONSENT_STATES = {GRANTED: "granted", DENIED: "denied", WITHDRAWN: "withdrawn"}

# Fault -> (expected, where).
cdef dict FAULTS = {
    FAULT_SHORT: ("a header of 64 bytes", "$"),
    FAULT_MAGIC: ("magic OV1R", "$.magic"),
    FAULT_FORMAT: ("format 1", "$.format"),
    FAULT_SIZE: ("the size of the bytes, a multiple of 8, at most 65536", "$.size"),
    FAULT_FLAGS: ("no flag but known", "$.flags"),
    FAULT_SLOT_COUNT: ("slots within the record, at most 4096", "$.slot_count"),
    FAULT_CHECKSUM: ("the checksum of the bytes", "$.checksum"),
    FAULT_KIND: ("a kind that the slot may have", "$.slots"),
    FAULT_SLOT: ("value, flags and count that the slot's kind may have", "$.slots"),
    FAULT_HEAP_OFFSET: ("a heap entry where the one before ends", "$.slots"),
    FAULT_HEAP_END: ("heap entries within the record, up to its end", "$.heap"),
    FAULT_ENTRY: ("an ordered heap entry within the limits of its kind", "$.heap"),
}


def read_header(record, *, bint verify=True):
    """Return the head of a record; `verify=False` trusts slots, heap and checksum."""
    cdef Py_buffer view
    PyObject_GetBuffer(record, &view, PyBUF_SIMPLE)
    try:
        if verify:
            require_record(<const octet_t*>view.buf, view.len)
        else:
            require(check_header(<const octet_t*>view.buf, view.len), view.len)
        return make_header(<const octet_t*>view.buf)
    finally:
        PyBuffer_Release(&view)


def verify(record):
    """Check a record as a whole, checksum included; what passes can be read in place. Raises RecordError."""
    cdef Py_buffer view
    PyObject_GetBuffer(record, &view, PyBUF_SIMPLE)
    try:
        require_record(<const octet_t*>view.buf, view.len)
    finally:
        PyBuffer_Release(&view)


def project(record, frozenset slots not None):
    """Return the record with the system slots and `slots` alone: the others are absent, the head stays."""
    cdef Py_buffer view
    PyObject_GetBuffer(record, &view, PyBUF_SIMPLE)
    try:
        require_record(<const octet_t*>view.buf, view.len)
        return project_record(<const octet_t*>view.buf, slots)
    finally:
        PyBuffer_Release(&view)


def restamp(record, uint64_t sequence, millis_t packed_at_ms):
    """Return the record as if packed with this sequence at this time: buckets folded anew, new checksum."""
    cdef Py_buffer view
    cdef bytes copy
    cdef octet_t* out
    PyObject_GetBuffer(record, &view, PyBUF_SIMPLE)
    try:
        require_record(<const octet_t*>view.buf, view.len)
        copy = PyBytes_FromStringAndSize(<char*>view.buf, view.len)
    finally:
        PyBuffer_Release(&view)
    out = <octet_t*>PyBytes_AS_STRING(copy)
    memcpy(out + 16, &sequence, 8)
    memcpy(out + 24, &packed_at_ms, 8)
    seal(out)
    return copy


def describe(record, document not None, millis_t now_ms):
    """Return what a record holds at now, for people: attributes, `consent.<purpose>`, `impressions`,
    `assignments`.

    Only what is present appears, defaults do not. Timestamps are ms since 1970, a consent is
    `{"state", "at", "text_version", "source"}`, impressions a list of `{"offer", "channel", "at", "count"}`,
    assignments (sticky ones, as they were first shown) of `{"experiment", "variant", "at", "source"}`. An id
    that the document does not know is its hash in hex, a source the first 16 digits of its identifier's hash.
    """
    cdef Py_buffer view
    cdef const octet_t* at
    cdef dict found = {}
    PyObject_GetBuffer(record, &view, PyBUF_SIMPLE)
    try:
        at = <const octet_t*>view.buf
        require_record(at, view.len)
        for attribute in document.attributes:
            if attribute.slot >= 0:
                value = plain_value(at, slot_at(at, attribute.slot), now_ms, attribute.window_ms)
                if value is not None:
                    found[attribute.name] = value
        for purpose in document.purposes:
            consent = plain_consent(at, slot_at(at, purpose.slot))
            if consent is not None:
                found["consent." + purpose.id] = consent
        impressions = plain_impressions(at, slot_at(at, SLOT_IMPRESSIONS), document)
        if impressions:
            found["impressions"] = impressions
        assignments = plain_assignments(at, slot_at(at, SLOT_ASSIGNMENTS), document)
        if assignments:
            found["assignments"] = assignments
    finally:
        PyBuffer_Release(&view)
    return found


cdef object plain_value(const octet_t* record, RecordSlot slot, millis_t now_ms, millis_t window_ms):
    cdef uint32_t size
    cdef const octet_t* text
    cdef double real = 0.0
    cdef int64_t whole = 0
    if slot.kind == BOOL:
        return slot.value != 0
    if slot.kind == INT or slot.kind == TIMESTAMP:
        return <int64_t>slot.value
    if slot.kind == FLOAT:
        return as_double(slot.value)
    if slot.kind == STRING:
        text = text_of(record, slot, &size)
        return plain_text(text, size)
    if slot.kind == STRINGS:
        return plain_strings(record, slot, now_ms, window_ms)
    if slot.kind == TOTAL:
        return real if read_total(slot, &real, &whole) else whole
    if slot.kind == BUCKETS:
        return real if fold_buckets(record, slot, now_ms, &real, &whole) else whole
    if slot.kind == SCORE:
        return real if score_at(record, slot, now_ms, &real) else None
    return None


cdef str plain_text(const octet_t* text, uint32_t size):
    return (<const char*>text)[:size].decode("utf-8")


cdef list plain_strings(const octet_t* record, RecordSlot slot, millis_t now_ms, millis_t window_ms):
    cdef StringEntry entry
    cdef const octet_t* at = record + slot.heap
    cdef millis_t after_ms = add_capped(now_ms, -window_ms) if window_ms > 0 else INT64_MIN
    cdef list values = []
    for _ in range(slot.count):
        at = string_next(at, &entry)
        if entry.last_seen_ms > after_ms:
            values.append(plain_text(entry.text, entry.size))
    return sorted(values)


cdef dict plain_consent(const octet_t* record, RecordSlot slot):
    cdef Consent consent
    if slot.kind != CONSENT:
        return None
    consent = consent_of(record, slot)
    return {
        "state": CONSENT_STATES[consent.state],
        "at": consent.effective_at_ms,
        "text_version": plain_text(consent.text_version, consent.text_version_size),
        "source": plain_text(consent.source, consent.source_size),
    }


cdef list plain_impressions(const octet_t* record, RecordSlot slot, document):
    cdef Impression one
    cdef unsigned int number
    cdef dict names = {xxh64(offer.id.encode()): offer.id for offer in document.offers}
    names |= {xxh64(placement.channel.encode()): placement.channel for placement in document.placements}
    cdef list found = []
    for number in range(slot.count if slot.kind == IMPRESSIONS else 0):
        one = impression_at(record, slot, number)
        found.append(
            {
                "offer": names.get(one.offer, f"{one.offer:016x}"),
                "channel": names.get(one.channel, f"{one.channel:016x}"),
                "at": one.minute * MINUTE_MS,
                "count": one.impressions,
            }
        )
    return found


cdef list plain_assignments(const octet_t* record, RecordSlot slot, document):
    cdef Assignment one
    cdef unsigned int number
    cdef dict names = {}
    cdef list found = []
    if slot.kind != ASSIGNMENTS:
        return found
    for experiment in document.experiments:
        variants = {xxh64(variant.id.encode()): variant.id for variant in experiment.variants}
        names[experiment_key(experiment.id, experiment.sticky_version)] = experiment.id, variants
    for number in range(slot.count):
        one = assignment_at(record, slot, number)
        name, variants = names.get(one.experiment, (f"{one.experiment:016x}", {}))
        found.append(
            {
                "experiment": name,
                "variant": variants.get(one.variant, f"{one.variant:016x}"),
                "at": one.at_ms,
                "source": int(one.source).to_bytes(8, "little").hex(),
            }
        )
    return sorted(found, key=itemgetter("at", "experiment", "source"))


cdef object make_header(const octet_t* record):
    cdef RecordHeader header = header_at(record)
    return Header(
        header.slot_count,
        header.layout_id,
        header.sequence,
        header.packed_at_ms,
        PyBytes_FromStringAndSize(<const char*>record + 32, 16),
        header.size,
        (header.flags & FLAG_KNOWN) != 0,
    )


cdef bytes project_record(const octet_t* record, frozenset slots):
    cdef RecordHeader header = header_at(record)
    cdef RecordSlot slot
    cdef unsigned int number, count = 0
    cdef size_t heap = 0, size, bytes_of_slot
    cdef bytes copy
    cdef octet_t* out
    cdef list kept = []
    for number in range(header.slot_count):
        if number < SYSTEM_SLOT_COUNT or number in slots:
            kept.append(number)
    for number in kept:
        slot = slot_at(record, number)
        if slot.kind != ABSENT:
            count = number + 1
            heap += heap_bytes(record, slot)
    size = HEADER_BYTES + SLOT_BYTES * <size_t>count + heap
    copy = PyBytes_FromStringAndSize(NULL, size)
    out = <octet_t*>PyBytes_AS_STRING(copy)
    memset(out, 0, size)
    heap = HEADER_BYTES + SLOT_BYTES * <size_t>count
    header.slot_count = count
    header.size = size
    memcpy(out, &header, HEADER_BYTES)
    for number in kept:
        slot = slot_at(record, number)
        bytes_of_slot = heap_bytes(record, slot)
        if bytes_of_slot > 0:
            memcpy(out + heap, record + slot.heap, bytes_of_slot)
            slot.heap = heap
            heap += bytes_of_slot
        if slot.kind != ABSENT:
            memcpy(out + HEADER_BYTES + SLOT_BYTES * <size_t>number, &slot, SLOT_BYTES)
    seal(out)
    return copy


# Checking.

cdef int require_record(const octet_t* record, size_t size) except -1:
    return require(check_record(record, size), size)


cdef int require(int fault, size_t size) except -1:
    if fault != FAULT_NONE:
        expected, path = FAULTS[fault]
        raise RecordError(expected=expected, got=f"{size} bytes that say otherwise", path=path)
    return 0


cdef int check_record(const octet_t* record, size_t size) noexcept nogil:
    cdef int fault = check_header(record, size)
    if fault != FAULT_NONE:
        return fault
    if <hash64_t>load64(record + CHECKSUM_OFFSET) != record_checksum(record, size):
        return FAULT_CHECKSUM
    return check_slots(record, size)


cdef int check_header(const octet_t* record, size_t size) noexcept nogil:
    cdef RecordHeader header
    if size < HEADER_BYTES:
        return FAULT_SHORT
    header = header_at(record)
    if header.magic != MAGIC:
        return FAULT_MAGIC
    if header.format != FORMAT:
        return FAULT_FORMAT
    if header.size != size or size > RECORD_BYTES_LIMIT or size % 8 != 0:
        return FAULT_SIZE
    if header.flags & ~<uint32_t>FLAG_KNOWN:
        return FAULT_FLAGS
    if header.slot_count > SLOT_LIMIT or HEADER_BYTES + SLOT_BYTES * <size_t>header.slot_count > size:
        return FAULT_SLOT_COUNT
    return FAULT_NONE


# Folding and sealing.

cdef int64_t fold_granule(
    const octet_t* record, RecordSlot slot, const BucketsHead* head, int64_t granule, double* decayed
) noexcept nogil:
    cdef int64_t total = 0
    cdef int64_t after = INT64_MIN
    cdef Bucket bucket
    cdef unsigned int number
    if head.window_granules > 0:
        after = add_capped(granule, -head.window_granules)
    decayed[0] = 0.0
    for number in range(slot.count):
        bucket = bucket_at(record, slot, number)
        if bucket.index > granule:
            break
        if bucket.index <= after:
            continue
        total = add_wrapping(total, bucket.value)
        if head.half_life_ms > 0:
            decayed[0] += <double>bucket.value * decay(
                add_capped(granule, -bucket.index), head.granularity_ms, head.half_life_ms
            )
    return total


cdef void seal(octet_t* record) noexcept nogil:
    cdef RecordHeader header = header_at(record)
    cdef RecordSlot slot
    cdef unsigned int number
    for number in range(header.slot_count):
        slot = slot_at(record, number)
        if slot.kind == BUCKETS:
            seal_buckets(record, number, slot, header.packed_at_ms)
    header.checksum = record_checksum(record, header.size)
    memcpy(record + CHECKSUM_OFFSET, &header.checksum, 8)


# The folded value at max(packed at, start of the newest bucket), and the span of time on which it stays true.
cdef void seal_buckets(
    octet_t* record, unsigned int number, RecordSlot slot, millis_t packed_at_ms
) noexcept nogil:
    cdef BucketsHead head = buckets_head(record, slot)
    cdef int64_t granule, first, last
    cdef double decayed = 0.0
    head.valid_from_ms = INT64_MIN
    head.valid_until_ms = INT64_MAX
    slot.value = 0
    if slot.count > 0:
        granule = floor_div(packed_at_ms, head.granularity_ms)
        granule = max(granule, bucket_at(record, slot, slot.count - 1).index)
        slot.value = <uint64_t>fold_granule(record, slot, &head, granule, &decayed)
        if head.half_life_ms > 0:
            slot.value = as_bits(decayed)
            first, last = granule, add_capped(granule, 1)
        else:
            first = last = granule
            constant_span(record, slot, &head, granule, &first, &last)
        head.valid_from_ms = multiply_capped(first, head.granularity_ms)
        head.valid_until_ms = INT64_MAX if last == INT64_MAX else multiply_capped(last, head.granularity_ms)
    memcpy(record + slot.heap, &head, BUCKETS_HEAD_BYTES)
    memcpy(record + HEADER_BYTES + SLOT_BYTES * <size_t>number, &slot, SLOT_BYTES)


# Granules [first, last) around `granule` (at or after the newest bucket) in which the same buckets count.
cdef void constant_span(
    const octet_t* record,
    RecordSlot slot,
    const BucketsHead* head,
    int64_t granule,
    int64_t* first,
    int64_t* last,
) noexcept nogil:
    cdef int64_t end
    cdef unsigned int number
    first[0] = bucket_at(record, slot, slot.count - 1).index
    last[0] = INT64_MAX
    if head.window_granules == 0:
        return
    for number in range(slot.count):
        end = bucket_at(record, slot, number).index + head.window_granules
        if end > granule:
            last[0] = end
            return
        first[0] = max(first[0], end)
