"""Folding events into profiles (docs/decisions/0001-record.md), for hub ingestion and the edge's overlay.

A `FoldPlan` says which event feeds which slot, a `State` is a profile's slots while they are folded. Applying
an event builds the slot that the event alone would make and joins it, so the order of arrival never shows.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy, memset

from core._types cimport hash64_t, millis_t, octet_t
from core.hashing cimport xxh64_c
from core.mathx cimport floor_div
from core.plan cimport Feed
from core.plan cimport FoldPlan as Plan
from core.record cimport (
    ABSENT,
    ASSIGNMENTS,
    BUCKETS,
    CONSENT,
    DENIED,
    FLAG_KNOWN,
    FORMAT,
    GRANTED,
    HEADER_BYTES,
    IMPRESSIONS,
    MAGIC,
    MINUTE_MS,
    RECORD_BYTES_LIMIT,
    SLOT_ASSIGNMENTS,
    SLOT_BYTES,
    SLOT_IMPRESSIONS,
    SLOT_LIMIT,
    STRINGS,
    SYSTEM_SLOT_COUNT,
    TIME_BITS,
    TIMESTAMP,
    TOTAL,
    WITHDRAWN,
    Impression,
    RecordHeader,
    RecordSlot,
    header_at,
    require_record,
    seal,
    slot_at,
)
from core.slots cimport (
    Consenting,
    Scored,
    Slot,
    joined,
    read_consent,
    read_plain,
    read_score,
    read_strings,
    text_bytes,
)
from core.sticky cimport exposed, read_assignments
from core.tallies cimport Impressions, read_buckets, read_impressions, read_total_slot

from core.errors import RecordError
from core.events import ALWAYS_KEPT as _KEPT
from core.events import EXPOSURES as _EXPOSURES
from core.events import IMPRESSION as _IMPRESSION
from core.identifiers import KNOWN_TYPES as _KNOWN
from core.plan import FoldPlan  # no-cython-lint: part of this module's public names

IGNORED = 0
APPLIED = 1
DROPPED = 2

cdef int64_t TIME_LIMIT = <int64_t>1 << TIME_BITS
cdef dict CONSENT_STATES = {"granted": GRANTED, "denied": DENIED, "withdrawn": WITHDRAWN}
cdef frozenset KEPT = _KEPT
cdef frozenset KNOWN = _KNOWN
cdef str IMPRESSION = _IMPRESSION
cdef frozenset EXPOSURES = _EXPOSURES


@cython.final
cdef class State:
    """The slots of one source profile (or of several, merged), open for folding."""

    cdef dict slots  # slot number -> Slot; the slots belong to this state alone

    def __cinit__(self):
        self.slots = {}

    def __reduce__(self):
        raise TypeError("a state travels as the record that pack() makes of it")

    @staticmethod
    def unpack(record):
        """Open a record for folding; packed again with the same header it gives the same bytes."""
        cdef Py_buffer view
        PyObject_GetBuffer(record, &view, PyBUF_SIMPLE)
        try:
            require_record(<const octet_t*>view.buf, view.len)
            return unpack_trusted(<const octet_t*>view.buf)
        finally:
            PyBuffer_Release(&view)

    @property
    def is_empty(self):
        """Whether no slot is present."""
        return not self.slots

    @property
    def size(self):
        """Bytes that pack() would give."""
        return packed_size(self.slots)

    def copy(self):
        """Return a state that can be folded on without changing this one."""
        cdef State twin = State()
        cdef Slot slot
        twin.slots = {number: slot.copy() for number, slot in self.slots.items()}
        return twin

    def apply(self, Plan plan not None, event not None, *, bint behaviour):
        """Fold in one event.

        Parameters
        ----------
        plan : which slots care for which event.
        event : core.events.Event; its times lie within +-2^53 ms, any other event is ignored.
        behaviour : whether the person lets behaviour shape the profile; orders, tickets, consents and
            verified `identify` events pass without.

        Returns
        -------
        int
            IGNORED (no slot cares), APPLIED, or DROPPED (behaviour, and it may not).
        """
        cdef str kind = event.kind
        cdef str name = plan.canonical_name(event.name)
        cdef object at = event.at_ms
        cdef millis_t at_ms
        if not behaviour and not passes_always(event, kind, name):
            return DROPPED
        if not -TIME_LIMIT <= at <= TIME_LIMIT:
            return IGNORED
        at_ms = at
        if kind == "consent":
            return self.apply_consent(plan, event, at_ms)
        return self.apply_fact(plan, event, name, at_ms)

    cdef int apply_fact(self, Plan plan, object event, str name, millis_t at_ms) except -1:
        cdef Feed feed
        cdef Slot slot
        cdef int result = 0
        cdef tuple feeds = plan.feeds.get(name)
        cdef hash64_t tie
        if feeds is not None:
            tie = hash_text(event.message_id)
            for feed in feeds:
                slot = feed.slot_of(event, at_ms, tie)
                if slot is not None:
                    self.join(feed.slot, slot)
                    result = 1
        if name == IMPRESSION:
            slot = impression_slot(event.properties, at_ms)
            if slot is not None:
                self.join(SLOT_IMPRESSIONS, slot)
                result = 1
        if plan.sticky and name in EXPOSURES:
            slot = exposed(plan.sticky, event, at_ms)
            if slot is not None:
                self.join(SLOT_ASSIGNMENTS, slot)
                result = 1
        return result

    cdef int apply_consent(self, Plan plan, object event, millis_t at_ms) except -1:
        cdef object consent = event.consent
        cdef object number, state
        cdef Consenting slot
        if consent is None:
            return 0
        number = plan.purpose_slots.get(consent.purpose)
        state = CONSENT_STATES.get(consent.state)
        if number is None or state is None:
            return 0
        slot = Consenting.__new__(Consenting)
        slot.state = state
        slot.effective_at_ms = at_ms
        slot.tie = hash_text(event.message_id)
        slot.text_version = text_bytes(consent.text_version) or b""
        slot.source = text_bytes(consent.source) or b""
        self.join(number, slot)
        return 1

    cdef int join(self, object number, Slot slot) except -1:
        """Join a slot that nobody else holds."""
        cdef object held = self.slots.get(number)
        self.slots[number] = slot if held is None else joined(held, slot)
        return 0

    def merge(self, State other not None):
        """Fold in another source; slots that no plan knows included. Commutative and associative."""
        cdef Slot slot
        for number, slot in other.slots.items():
            held = self.slots.get(number)
            self.slots[number] = slot.copy() if held is None else joined(held, slot)

    def set_score(self, unsigned int slot, double value, millis_t scored_at_ms, millis_t ttl_ms):
        """Fold in a model's score, absent from `scored_at_ms + ttl_ms` on; an older one changes nothing."""
        cdef Scored scored = Scored.__new__(Scored)
        cdef bint fits = value == value and SYSTEM_SLOT_COUNT <= slot < SLOT_LIMIT
        if not (fits and -TIME_LIMIT <= scored_at_ms <= TIME_LIMIT and 0 <= ttl_ms <= TIME_LIMIT):
            raise RecordError(
                expected="a number, a slot of 16 to 4095, times within 2^53 ms",
                got=f"{value} in slot {slot}, scored at {scored_at_ms} for {ttl_ms} ms",
            )
        scored.value = value + 0.0
        scored.scored_at_ms = scored_at_ms
        scored.ttl_ms = ttl_ms
        self.join(slot, scored)

    def consent(self, unsigned int slot):
        """Return (state, effective at ms) of a purpose's slot: 1 granted, 2 denied, 3 withdrawn."""
        cdef object held = self.slots.get(slot)
        cdef Consenting consenting
        if held is None or (<Slot>held).kind != CONSENT:
            return None
        consenting = held
        return consenting.state, consenting.effective_at_ms

    def allows_behaviour(self, Plan plan not None, millis_t at_ms):
        """Say whether one of the plan's behaviour purposes is granted at `at_ms`."""
        cdef object held
        cdef Consenting consenting
        for number in plan.behaviour_slots:
            held = self.slots.get(number)
            if held is not None and (<Slot>held).kind == CONSENT:
                consenting = held
                if consenting.state == GRANTED and consenting.effective_at_ms <= at_ms:
                    return True
        return False

    def pack(
        self,
        *,
        uint64_t layout_id,
        uint64_t sequence,
        millis_t packed_at_ms,
        bytes unit_key not None,
        bint known,
    ):
        """Return the record. Raises RecordError for one above 64 KiB."""
        cdef RecordHeader header
        if len(unit_key) != sizeof(header.unit_key):
            raise RecordError(expected="a unit key of 16 bytes", got=f"{len(unit_key)} bytes")
        header.magic = MAGIC
        header.format = FORMAT
        header.layout_id = layout_id
        header.sequence = sequence
        header.packed_at_ms = packed_at_ms
        memcpy(header.unit_key, PyBytes_AS_STRING(unit_key), sizeof(header.unit_key))
        header.flags = FLAG_KNOWN if known else 0
        return pack_record(&header, self.slots)


def fold_overlay(
    record,
    events not None,
    Plan plan not None,
    *,
    bytes unit_key not None,
    millis_t now_ms,
    uint64_t layout_id,
):
    """Fold what a node saw after the record's watermark into it, as decision 0002 defines the overlay.

    Parameters
    ----------
    record : bytes of a record, or None.
    events : core.events.Event, in any order. Which behaviour may shape a profile was decided where they were
        taken in, so all of them count.
    unit_key : 16 bytes, used where there is no record.
    now_ms : the new record's packing time where there is no record.

    Returns
    -------
    bytes
        The record with sequence, packing time, unit key and flags of the given one. An event that would make
        it larger than a record may be is left out, as ingestion quarantines it.
    """
    cdef State state = State() if record is None else State.unpack(record)
    cdef RecordHeader header
    if record is None:
        if len(unit_key) != sizeof(header.unit_key):
            raise RecordError(expected="a unit key of 16 bytes", got=f"{len(unit_key)} bytes")
        header.magic = MAGIC
        header.format = FORMAT
        header.sequence = 0
        header.packed_at_ms = now_ms
        memcpy(header.unit_key, PyBytes_AS_STRING(unit_key), sizeof(header.unit_key))
        header.flags = 0
    else:
        header = header_of(record)
    header.layout_id = layout_id
    for event in events:
        state.apply(plan, event, behaviour=True)
    if packed_size(state.slots) > RECORD_BYTES_LIMIT:
        state = fold_what_fits(State() if record is None else State.unpack(record), events, plan)
    return pack_record(&header, state.slots)


cdef State fold_what_fits(State state, object events, Plan plan):
    """Fold events one by one, leaving out those that would make the record too large."""
    cdef State tried
    for event in events:
        tried = state.copy()
        tried.apply(plan, event, behaviour=True)
        if packed_size(tried.slots) <= RECORD_BYTES_LIMIT:
            state = tried
    return state


cdef RecordHeader header_of(object record) except *:
    cdef Py_buffer view
    cdef RecordHeader header
    PyObject_GetBuffer(record, &view, PyBUF_SIMPLE)
    header = header_at(<const octet_t*>view.buf)
    PyBuffer_Release(&view)
    return header


cdef bint passes_always(object event, str kind, str name) except -1:
    """Facts that a shop must keep, consents, and traits of a person who is proved to be who she says."""
    if kind == "consent" or name in KEPT:
        return True
    if kind == "identify":
        for identifier in event.identifiers:
            if identifier.verified and identifier.kind in KNOWN:
                return True
    return False


cdef Slot impression_slot(object properties, millis_t at_ms):
    """One display of the offer on the channel; None if the event does not name an offer."""
    cdef Impressions slot
    cdef Impression one
    cdef object offer = properties.get("offer")
    cdef object channel = properties.get("channel")
    if type(offer) is not str:
        return None
    one.offer = hash_text(offer)
    one.channel = hash_text(channel if type(channel) is str else "")
    one.minute = floor_div(at_ms, MINUTE_MS)
    one.impressions = 1
    slot = Impressions.__new__(Impressions)
    slot.add(one)
    return slot


cdef hash64_t hash_text(str text) except? 0:
    cdef bytes octets = text.encode("utf-8", "replace")
    return xxh64_c(<const octet_t*>PyBytes_AS_STRING(octets), PyBytes_GET_SIZE(octets), 0)


# Packing and unpacking.

cdef Slot read_slot(const octet_t* record, RecordSlot slot):
    if slot.kind == ABSENT:
        return None
    if slot.kind <= TIMESTAMP:
        return read_plain(record, slot)
    if slot.kind == STRINGS:
        return read_strings(record, slot)
    if slot.kind == TOTAL:
        return read_total_slot(slot)
    if slot.kind == BUCKETS:
        return read_buckets(record, slot)
    if slot.kind == CONSENT:
        return read_consent(record, slot)
    if slot.kind == IMPRESSIONS:
        return read_impressions(record, slot)
    if slot.kind == ASSIGNMENTS:
        return read_assignments(record, slot)
    return read_score(record, slot)


cdef State unpack_trusted(const octet_t* record):
    cdef State state = State.__new__(State)
    cdef unsigned int number
    cdef RecordSlot slot
    for number in range(header_at(record).slot_count):
        slot = slot_at(record, number)
        if slot.kind != ABSENT:
            state.slots[number] = read_slot(record, slot)
    return state


cdef size_t packed_size(dict slots) except 0:
    cdef Slot slot
    cdef size_t heap = 0
    if not slots:
        return HEADER_BYTES
    for slot in slots.values():
        heap += slot.heap_size()
    return HEADER_BYTES + SLOT_BYTES * <size_t>(max(slots) + 1) + heap


cdef bytes pack_record(RecordHeader* header, dict slots):
    """The record of a header whose slot count, size and checksum are still open."""
    cdef size_t size = packed_size(slots)
    cdef size_t heap
    cdef bytes record
    cdef octet_t* out
    cdef unsigned int number
    cdef RecordSlot packed
    cdef Slot slot
    cdef list numbers = sorted(slots)
    if size > RECORD_BYTES_LIMIT:
        raise RecordError(expected=f"a record of at most {RECORD_BYTES_LIMIT} bytes", got=f"{size} bytes")
    record = PyBytes_FromStringAndSize(NULL, size)
    out = <octet_t*>PyBytes_AS_STRING(record)
    memset(out, 0, size)
    header.slot_count = numbers[len(numbers) - 1] + 1 if numbers else 0
    header.size = size
    memcpy(out, header, HEADER_BYTES)
    heap = HEADER_BYTES + SLOT_BYTES * <size_t>header.slot_count
    for number in numbers:
        slot = slots[number]
        size = slot.heap_size()
        memset(&packed, 0, SLOT_BYTES)
        packed.heap = heap if size > 0 else 0
        slot.write(&packed, out + heap)
        memcpy(out + HEADER_BYTES + SLOT_BYTES * <size_t>number, &packed, SLOT_BYTES)
        heap += size
    seal(out)
    return record
