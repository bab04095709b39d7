"""Slots that hold a value: joining, reading and writing them; slots.pxd says what they hold."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcpy

from core._types cimport hash64_t, millis_t, octet_t
from core.record cimport (
    CONSENT,
    CONSENT_HEAD_BYTES,
    FLOAT,
    KEEP_FIRST,
    KEEP_LAST,
    KEEP_MIN,
    SCORE,
    SCORE_BYTES,
    STAMP_BYTES,
    STRING,
    STRING_HEAD_BYTES,
    STRINGS,
    STRINGS_LIMIT,
    TEXT_BYTES_LIMIT,
    Consent,
    RecordSlot,
    Score,
    Stamp,
    StringEntry,
    as_bits,
    as_double,
    consent_of,
    padded,
    stamp_of,
    string_next,
    text_of,
)


cdef Slot joined(Slot mine, Slot theirs):
    cdef int order = mine.compare_family(theirs)
    if order == 0:
        mine.take(theirs)
        return mine
    return mine if order > 0 else theirs.copy()


cdef inline int compare_doubles(double left, double right) noexcept:
    return (left > right) - (left < right)


cdef inline int compare_bytes(bytes left, bytes right) except? -2:
    return (left > right) - (left < right)


cdef class Slot:
    """The part that all slots share. Never made itself."""

    cdef int compare_family(self, Slot other) except? -2:
        return compare(self.kind, other.kind) or compare(self.flags, other.flags)

    cdef int take(self, Slot other) except -1:
        raise TypeError("a slot has a kind")

    cdef Slot copy(self):
        return self

    cdef size_t heap_size(self) noexcept:
        return 0

    cdef void write(self, RecordSlot* slot, octet_t* heap) noexcept:
        slot.kind = self.kind
        slot.flags = self.flags


@cython.final
cdef class Plain(Slot):
    """The value of a last, first, min or max; `flags` says which."""

    cdef int take(self, Slot other) except -1:
        cdef Plain theirs = other
        if self.yields_to(theirs):
            self.value = theirs.value
            self.at_ms = theirs.at_ms
            self.tie = theirs.tie
            self.text = theirs.text
        return 0

    cdef bint yields_to(self, Plain other) except -1:
        cdef int newer = compare(other.at_ms, self.at_ms) or compare_unsigned(other.tie, self.tie)
        if self.flags == KEEP_LAST and newer != 0:
            return newer > 0
        if self.flags == KEEP_FIRST and newer != 0:
            return newer < 0
        if self.flags == KEEP_MIN:
            return compare_values(other, self) < 0
        return compare_values(other, self) > 0

    cdef Slot copy(self):
        cdef Plain twin = Plain.__new__(Plain)
        twin.kind, twin.flags = self.kind, self.flags
        twin.value, twin.at_ms, twin.tie, twin.text = self.value, self.at_ms, self.tie, self.text
        return twin

    cdef size_t heap_size(self) noexcept:
        if self.kind != STRING:
            return STAMP_BYTES
        return padded(STAMP_BYTES + 4 + <size_t>PyBytes_GET_SIZE(self.text))

    cdef void write(self, RecordSlot* slot, octet_t* heap) noexcept:
        cdef Stamp stamp
        stamp.at_ms = self.at_ms
        stamp.tie = self.tie
        slot.kind = self.kind
        slot.flags = self.flags
        slot.value = self.value
        memcpy(heap, &stamp, STAMP_BYTES)
        if self.kind == STRING:
            write_text(heap + STAMP_BYTES, self.text)


cdef int compare_values(Plain left, Plain right) except? -2:
    if left.kind == STRING:
        return compare_bytes(left.text, right.text)
    if left.kind == FLOAT:
        return compare_doubles(as_double(left.value), as_double(right.value))
    return compare(<int64_t>left.value, <int64_t>right.value)


cdef Plain read_plain(const octet_t* record, RecordSlot slot):
    cdef Plain plain = Plain.__new__(Plain)
    cdef Stamp stamp = stamp_of(record, slot)
    cdef const octet_t* text
    cdef uint32_t size
    plain.kind = slot.kind
    plain.flags = slot.flags
    plain.value = slot.value
    plain.at_ms = stamp.at_ms
    plain.tie = stamp.tie
    if slot.kind == STRING:
        text = text_of(record, slot, &size)
        plain.text = copy_text(text, size)
    return plain


@cython.final
cdef class Text:
    """A string and when it was last seen."""


cdef Text make_text(hash64_t hash_value, millis_t last_seen_ms, bytes text):
    cdef Text entry = Text.__new__(Text)
    entry.hash = hash_value
    entry.last_seen_ms = last_seen_ms
    entry.text = text
    return entry


cdef int compare_texts(Text left, Text right) except? -2:
    return compare_unsigned(left.hash, right.hash) or compare_bytes(left.text, right.text)


@cython.final
cdef class Strings(Slot):
    """A set of strings, each with its last sighting; the newest STRINGS_LIMIT stay."""

    def __cinit__(self):
        self.kind = STRINGS
        self.entries = []

    cdef int add(self, Text entry) except -1:
        cdef Text held
        cdef Py_ssize_t place = 0
        cdef Py_ssize_t end = len(self.entries)
        cdef Py_ssize_t middle
        while place < end:
            middle = (place + end) // 2
            if compare_texts(self.entries[middle], entry) < 0:
                place = middle + 1
            else:
                end = middle
        if place < len(self.entries):
            held = self.entries[place]
            if compare_texts(held, entry) == 0:
                if entry.last_seen_ms > held.last_seen_ms:
                    self.entries[place] = entry
                return 0
        self.entries.insert(place, entry)
        if len(self.entries) > STRINGS_LIMIT:
            del self.entries[oldest_text(self.entries)]
        return 0

    cdef int take(self, Slot other) except -1:
        for entry in (<Strings>other).entries:
            self.add(entry)
        return 0

    cdef Slot copy(self):
        cdef Strings twin = Strings.__new__(Strings)
        twin.entries = self.entries.copy()
        return twin

    cdef size_t heap_size(self) noexcept:
        cdef size_t size = 0
        cdef Text entry
        for entry in self.entries:
            size += padded(STRING_HEAD_BYTES + <size_t>PyBytes_GET_SIZE(entry.text))
        return size

    cdef void write(self, RecordSlot* slot, octet_t* heap) noexcept:
        cdef Text entry
        slot.kind = STRINGS
        slot.count = len(self.entries)
        for entry in self.entries:
            memcpy(heap, &entry.hash, 8)
            memcpy(heap + 8, &entry.last_seen_ms, 8)
            write_text(heap + 16, entry.text)
            heap += padded(STRING_HEAD_BYTES + <size_t>PyBytes_GET_SIZE(entry.text))


cdef Py_ssize_t oldest_text(list entries) except -1:
    """Place of the entry that is smallest by (last seen, hash, bytes)."""
    cdef Py_ssize_t place, oldest = 0
    cdef Text least = entries[0]
    cdef Text entry
    for place in range(1, len(entries)):
        entry = entries[place]
        # The list ascends by (hash, bytes), so the first of equal times is the smallest.
        if entry.last_seen_ms < least.last_seen_ms:
            oldest = place
            least = entry
    return oldest


cdef Strings read_strings(const octet_t* record, RecordSlot slot):
    cdef Strings strings = Strings.__new__(Strings)
    cdef const octet_t* at = record + slot.heap
    cdef StringEntry entry
    for _ in range(slot.count):
        at = string_next(at, &entry)
        text = copy_text(entry.text, entry.size)
        strings.entries.append(make_text(entry.hash, entry.last_seen_ms, text))
    return strings


@cython.final
cdef class Consenting(Slot):
    """The consent to one purpose that is in force."""

    def __cinit__(self):
        self.kind = CONSENT

    cdef int take(self, Slot other) except -1:
        cdef Consenting theirs = other
        cdef int order = (
            compare(theirs.effective_at_ms, self.effective_at_ms)
            or compare(theirs.state, self.state)
            or compare_unsigned(theirs.tie, self.tie)
            or compare_bytes(theirs.text_version, self.text_version)
            or compare_bytes(theirs.source, self.source)
        )
        if order > 0:
            self.state, self.effective_at_ms, self.tie = theirs.state, theirs.effective_at_ms, theirs.tie
            self.text_version, self.source = theirs.text_version, theirs.source
        return 0

    cdef Slot copy(self):
        cdef Consenting twin = Consenting.__new__(Consenting)
        twin.state, twin.effective_at_ms, twin.tie = self.state, self.effective_at_ms, self.tie
        twin.text_version, twin.source = self.text_version, self.source
        return twin

    cdef size_t heap_size(self) noexcept:
        return padded(
            CONSENT_HEAD_BYTES
            + 8
            + <size_t>PyBytes_GET_SIZE(self.text_version)
            + <size_t>PyBytes_GET_SIZE(self.source)
        )

    cdef void write(self, RecordSlot* slot, octet_t* heap) noexcept:
        slot.kind = CONSENT
        slot.value = self.state
        memcpy(heap, &self.effective_at_ms, 8)
        memcpy(heap + 8, &self.tie, 8)
        write_text(heap + CONSENT_HEAD_BYTES, self.text_version)
        write_text(heap + CONSENT_HEAD_BYTES + 4 + PyBytes_GET_SIZE(self.text_version), self.source)


cdef Consenting read_consent(const octet_t* record, RecordSlot slot):
    cdef Consenting consenting = Consenting.__new__(Consenting)
    cdef Consent consent = consent_of(record, slot)
    consenting.state = consent.state
    consenting.effective_at_ms = consent.effective_at_ms
    consenting.tie = consent.tie
    consenting.text_version = copy_text(consent.text_version, consent.text_version_size)
    consenting.source = copy_text(consent.source, consent.source_size)
    return consenting


@cython.final
cdef class Scored(Slot):
    """A model's score."""

    def __cinit__(self):
        self.kind = SCORE

    cdef int take(self, Slot other) except -1:
        cdef Scored theirs = other
        cdef int order = (
            compare(theirs.scored_at_ms, self.scored_at_ms)
            or compare_doubles(theirs.value, self.value)
            or compare(theirs.ttl_ms, self.ttl_ms)
        )
        if order > 0:
            self.value, self.scored_at_ms, self.ttl_ms = theirs.value, theirs.scored_at_ms, theirs.ttl_ms
        return 0

    cdef Slot copy(self):
        cdef Scored twin = Scored.__new__(Scored)
        twin.value, twin.scored_at_ms, twin.ttl_ms = self.value, self.scored_at_ms, self.ttl_ms
        return twin

    cdef size_t heap_size(self) noexcept:
        return SCORE_BYTES

    cdef void write(self, RecordSlot* slot, octet_t* heap) noexcept:
        slot.kind = SCORE
        slot.value = as_bits(self.value)
        memcpy(heap, &self.scored_at_ms, 8)
        memcpy(heap + 8, &self.ttl_ms, 8)


cdef Scored read_score(const octet_t* record, RecordSlot slot):
    cdef Scored scored = Scored.__new__(Scored)
    cdef Score score
    memcpy(&score, record + slot.heap, SCORE_BYTES)
    scored.value = as_double(slot.value)
    scored.scored_at_ms = score.scored_at_ms
    scored.ttl_ms = score.ttl_ms
    return scored


# Text.

cdef inline bytes copy_text(const octet_t* text, uint32_t size):
    return PyBytes_FromStringAndSize(<const char*>text, size)


cdef inline void write_text(octet_t* at, bytes text) noexcept:
    cdef uint32_t size = PyBytes_GET_SIZE(text)
    memcpy(at, &size, 4)
    memcpy(at + 4, PyBytes_AS_STRING(text), size)


cdef bytes text_bytes(str text):
    cdef bytes whole
    cdef Py_ssize_t size
    try:
        whole = text.encode()
    except UnicodeEncodeError:
        return None
    if PyBytes_GET_SIZE(whole) <= TEXT_BYTES_LIMIT:
        return whole
    size = TEXT_BYTES_LIMIT
    while (<octet_t>PyBytes_AS_STRING(whole)[size]) & 0xC0 == 0x80:
        size -= 1
    return whole[:size]
