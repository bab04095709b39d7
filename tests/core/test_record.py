"""The record's bytes as docs/decisions/0001-record.md has them, and what other bytes meet."""

import random
import struct

import pytest
import xxhash
from hypothesis import example, given
from hypothesis import strategies as st

from core.errors import RecordError
from core.events import Event
from core.fold import State
from core.header import Header
from core.record import describe, project, read_header, restamp, verify
from tests.core.profiles import (
    DOCUMENT,
    RULES,
    SECOND,
    START,
    UNIT_KEY,
    consent_event,
    event,
    fold,
    histories,
    moments,
    pack,
)
from tests.properties.profiles import examples

HEADER = struct.Struct("<4sHHQQq16sIIQ")
SLOT = struct.Struct("<QIBBH")
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
DECLARED = frozenset(rule.slot for rule in RULES)


def with_checksum(record: bytes | bytearray) -> bytes:
    """The bytes with the checksum that they should have."""
    blank = bytes(record[:56]) + bytes(8) + bytes(record[64:])
    return blank[:56] + xxhash.xxh64_intdigest(blank).to_bytes(8, "little") + blank[64:]


def rich_record() -> bytes:
    """A record that holds every kind of slot."""
    everything = {
        "n": 2, "price": 2.5, "bool": True, "int": 3, "float": 0.5, "string": "größe",
        "tags": ["red", "blue"], "timestamp": "2026-11-23T17:43:29Z", "offer": "a", "channel": "web",
    }  # fmt: skip
    state = fold(
        [
            consent_event("personalization", "granted"),
            consent_event("loyalty", "denied"),
            *(
                event(name, START + step * 1700, everything, message_id=f"{name}{step}")
                for name in ("View", "Order", "Impression")
                for step in range(5)
            ),
        ]
    )
    state.set_score(90, 0.75, START, 1000)
    return pack(state)


# Layout.


def expected_record() -> bytes:
    """Written by hand from the decision: consent, impressions, one string, a total and windowed buckets."""
    tie = xxhash.xxh64_intdigest(b"m")
    text = b"red"
    slots = [bytes(16)] * 81
    heap: list[bytes] = []
    start = 64 + 16 * len(slots)

    def put(number: int, value: int, kind: int, flags: int, count: int, entry: bytes) -> None:
        offset = start + sum(map(len, heap)) if entry else 0
        slots[number] = SLOT.pack(value % 2**64, offset, kind, flags, count)
        heap.append(entry + bytes(-len(entry) % 8))

    consent = struct.pack("<qQI2sI3s", START - 9, xxhash.xxh64_intdigest(b"c"), 2, b"v1", 3, b"web")
    put(0, 1, 9, 0, 0, consent)
    offer, channel = xxhash.xxh64_intdigest(b"a"), xxhash.xxh64_intdigest(b"web")
    put(5, 0, 10, 0, 1, struct.pack("<QQqq", offer, channel, START // 60_000, 1))
    put(16, 2, 7, 0, 0, b"")
    put(18, 6, 7, 0, 0, b"")
    index = START // SECOND
    window = struct.pack("<qqqqqq", SECOND, 20, 0, INT64_MIN, (index + 1) * SECOND, (index + 20) * SECOND)
    put(20, 2, 8, 0, 2, window + struct.pack("<qqqq", index, 1, index + 1, 1))
    decay = struct.pack(
        "<qqqqqq", SECOND, 0, 5 * SECOND, INT64_MIN, (index + 1) * SECOND, (index + 2) * SECOND
    )
    # decay(1) of a half life of 5 granules, as `exp` of decision 0002 gives it, and 1.
    folded = struct.unpack("<Q", struct.pack("<d", 1 + 0.8705505632961241))[0]
    put(22, folded, 8, 0, 2, decay + struct.pack("<qqqq", index, 1, index + 1, 1))
    later = struct.pack("<qqqqqq", 2 * SECOND, 4, 0, INT64_MIN, 0, 0)
    granule = START // (2 * SECOND)
    later = later[:32] + struct.pack("<qq", (granule + 1) * 2 * SECOND, (granule + 4) * 2 * SECOND)
    put(25, 6, 8, 0, 2, later + struct.pack("<qqqq", granule, 3, granule + 1, 3))
    stamp = struct.pack("<qQ", START + SECOND, tie)
    put(34, xxhash.xxh64_intdigest(text), 4, 0, 0, stamp + struct.pack("<I", len(text)) + text)
    stamp = struct.pack("<qQ", START, tie)
    put(44, xxhash.xxh64_intdigest(text), 4, 1, 0, stamp + struct.pack("<I", len(text)) + text)
    put(54, xxhash.xxh64_intdigest(text), 4, 2, 0, bytes(16) + struct.pack("<I", len(text)) + text)
    put(64, xxhash.xxh64_intdigest(text), 4, 3, 0, bytes(16) + struct.pack("<I", len(text)) + text)
    entry = struct.pack("<QqI", xxhash.xxh64_intdigest(text), START + SECOND, len(text)) + text
    put(80, 0, 6, 0, 1, entry)
    size = start + sum(map(len, heap))
    header = HEADER.pack(b"OV1R", 1, len(slots), 7, 3, START, UNIT_KEY, size, 1, 0)
    return with_checksum(header + b"".join(slots) + b"".join(heap))


def test_bytes_are_those_of_the_decision() -> None:
    properties = {"n": 3, "string": "red", "tags": "red"}
    state = fold(
        [
            consent_event("personalization", "granted", START - 9),
            event("Impression", properties={"offer": "a", "channel": "web"}),
            event("View", START, properties),
            event("View", START + SECOND, properties),
        ]
    )
    # Slot 81 holds the same strings with a window; the hand-written record stops at 80.
    record = project(pack(state, START + 1, known=True), frozenset(range(81)))
    assert restamp(record, 3, START).hex(" ", 8) == expected_record().hex(" ", 8)


def test_an_empty_record_is_its_header() -> None:
    record = pack(State(), sequence=2**64 - 1)
    assert len(record) == 64
    assert read_header(record) == Header(0, 7, 2**64 - 1, START, UNIT_KEY, 64, False)
    assert describe(record, DOCUMENT, START) == {}


def test_header_is_read_from_any_buffer() -> None:
    record = rich_record()
    at_odd_address = memoryview(b"x" + record)[1:]
    for buffer in (record, bytearray(record), memoryview(record), at_odd_address):
        verify(buffer)
        assert read_header(buffer) == read_header(record)
        assert describe(buffer, DOCUMENT, START) == describe(record, DOCUMENT, START)


# The folded value beside the buckets.


@examples(100)
@given(histories(tied=True), moments(), moments(800))
def test_stored_folded_values_are_true_while_they_are_valid(
    events: list[Event], packed_at_ms: int, now_ms: int
) -> None:
    record = pack(fold(events), packed_at_ms)
    assert describe(record, DOCUMENT, now_ms) == describe(without_validity(record), DOCUMENT, now_ms)


def without_validity(record: bytes) -> bytes:
    """The same record with stored folded values that are valid never and wrong always."""
    changed = bytearray(record)
    for number in range(read_header(record).slot_count):
        _, heap, kind, _, _ = SLOT.unpack_from(record, 64 + 16 * number)
        if kind == 8:
            struct.pack_into("<Q", changed, 64 + 16 * number, 0xDEADBEEF)
            struct.pack_into("<qq", changed, heap + 32, 1, 0)
    return with_checksum(changed)


def test_a_folded_value_is_not_valid_while_other_buckets_counted() -> None:
    # Window of 20 granules: at granule 25 only the second bucket counts, at granule 10 both did.
    state = fold([event("View", START), event("View", START + 6 * SECOND)])
    record = pack(state, START + 24 * SECOND)
    assert describe(record, DOCUMENT, START + 24 * SECOND)["profile.a20"] == 1
    assert describe(record, DOCUMENT, START + 10 * SECOND)["profile.a20"] == 2
    assert describe(record, DOCUMENT, START + 3 * SECOND)["profile.a20"] == 1
    assert describe(record, DOCUMENT, START + 26 * SECOND)["profile.a20"] == 0


# Projection.


@examples(100)
@given(histories(tied=True), st.frozensets(st.sampled_from(sorted(DECLARED | {100, 4000}))))
def test_projection_keeps_system_slots_and_those_asked_for(
    events: list[Event], slots: frozenset[int]
) -> None:
    record = pack(fold(events), known=True)
    projected = project(record, slots)
    verify(projected)
    kept = {f"profile.a{slot}" for slot in slots} | {
        name for name in describe(record, DOCUMENT, START) if not name.startswith("profile.")
    }
    if 100 not in slots:
        kept.discard("consent.loyalty")
    whole = describe(record, DOCUMENT, START)
    assert describe(projected, DOCUMENT, START) == {name: whole[name] for name in whole if name in kept}
    before, after = read_header(record), read_header(projected)
    assert (after.sequence, after.packed_at_ms, after.unit_key, after.known, after.layout_id) == (
        before.sequence, before.packed_at_ms, before.unit_key, before.known, before.layout_id,
    )  # fmt: skip
    assert project(projected, slots) == projected
    assert pack(State.unpack(projected), known=True) == projected


# Other bytes.


def test_every_truncation_is_refused() -> None:
    record = rich_record()
    for size in range(len(record)):
        with pytest.raises(RecordError):
            verify(record[:size])
        with pytest.raises(RecordError):
            read_header(record[:size], verify=False)


def test_every_changed_byte_is_refused() -> None:
    record = bytearray(rich_record())
    for place in range(len(record)):
        record[place] ^= 1 << place % 8
        with pytest.raises(RecordError):
            verify(record)
        record[place] ^= 1 << place % 8
    verify(record)


@examples(600)
@given(st.randoms(use_true_random=False), st.integers(1, 6))
def test_bytes_with_a_right_checksum_are_refused_or_safe_to_read(draw: random.Random, changes: int) -> None:
    record = bytearray(rich_record())
    for _ in range(changes):
        place = draw.randrange(len(record))
        if draw.random() < 0.3:
            place &= ~7
        record[place] = draw.choice([0, 1, 2, 0x7F, 0x80, 0xFF, draw.randrange(256)])
    refused_or_safe(with_checksum(record))


@examples(200)
@given(st.binary(max_size=400), st.integers(0, 30))
@example(b"", 0)
def test_arbitrary_slots_are_refused_or_safe_to_read(body: bytes, slots: int) -> None:
    body += bytes(-len(body) % 8)
    header = HEADER.pack(b"OV1R", 1, slots, 0, 0, START, UNIT_KEY, 64 + len(body), 0, 0)
    refused_or_safe(with_checksum(header + body))


def refused_or_safe(record: bytes) -> None:
    """Bytes either raise RecordError, or everything that reads and rewrites records copes with them."""
    try:
        verify(record)
    except RecordError:
        for read in (State.unpack, read_header, lambda bad: project(bad, DECLARED)):
            with pytest.raises(RecordError):
                read(record)
        return
    for now_ms in (START, INT64_MIN, -1, 0, INT64_MAX):
        describe(record, DOCUMENT, now_ms)
        verify(restamp(record, 1, now_ms))
    verify(project(record, DECLARED))
    state = State.unpack(record)
    state.merge(State.unpack(rich_record()))
    state.merge(state.copy())
    verify(pack(state))


def patched(place: int, form: str, value: int) -> bytes:
    record = bytearray(rich_record())
    struct.pack_into(form, record, place, value)
    return with_checksum(record)


def longer() -> bytes:
    """Eight bytes behind the last heap entry."""
    record = bytearray(rich_record() + bytes(8))
    struct.pack_into("<I", record, 48, len(record))
    return with_checksum(record)


def slot_place(kind: int) -> int:
    """Where the first slot of a kind (buckets: one that has some) stands in the rich record."""
    record = rich_record()
    slots = range(64, 64 + 16 * read_header(record).slot_count, 16)
    return next(place for place in slots if record[place + 12] == kind and (kind != 8 or record[place + 14]))


def min_place() -> int:
    """Where the stamp of a minimum stands; it must be zero."""
    return int(struct.unpack_from("<I", rich_record(), 64 + 16 * 52 + 8)[0])


def heap_place(kind: int) -> int:
    return int(struct.unpack_from("<I", rich_record(), slot_place(kind) + 8)[0])


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (b"", "expected a header of 64 bytes, got 0 bytes"),
        (patched(0, "<I", 7), r"magic OV1R.* at \$\.magic"),
        (patched(4, "<H", 2), "format 1"),
        (patched(6, "<H", 4097), "slots within the record"),
        (patched(6, "<H", 4000), "slots within the record"),
        (patched(48, "<I", 8), "the size of the bytes"),
        (patched(52, "<I", 3), "no flag but known"),
        (patched(56, "<Q", 3)[:-1], "the size of the bytes"),
        (rich_record()[:56] + bytes(8) + rich_record()[64:], "the checksum of the bytes"),
        (patched(64 + 12, "<B", 4), "a kind that the slot may have"),
        (patched(64 + 16 * 5 + 12, "<B", 9), "a kind that the slot may have"),
        (patched(slot_place(1) + 12, "<B", 12), "a kind that the slot may have"),
        (patched(64 + 16 * 10, "<Q", 1), "value, flags and count"),
        (patched(slot_place(1), "<Q", 2), "value, flags and count"),
        (patched(slot_place(1) + 13, "<B", 4), "value, flags and count"),
        (patched(slot_place(1) + 14, "<H", 1), "value, flags and count"),
        (patched(slot_place(3), "<Q", 0x7FF8000000000000), "value, flags and count"),
        (patched(slot_place(6) + 14, "<H", 64), "value, flags and count"),
        (patched(slot_place(6) + 14, "<H", 0), "heap entries within"),
        (patched(slot_place(7) + 8, "<I", 64), "a heap entry where the one before ends"),
        (patched(slot_place(8) + 14, "<H", 65), "value, flags and count"),
        (patched(slot_place(9), "<Q", 4), "value, flags and count"),
        (patched(slot_place(10) + 14, "<H", 257), "value, flags and count"),
        (patched(slot_place(11), "<Q", 0xFFF8000000000000), "value, flags and count"),
        (patched(slot_place(2) + 8, "<I", 2**32 - 8), "a heap entry where the one before ends"),
        (patched(heap_place(4) + 16, "<I", 2**32 - 1), "heap entries within"),
        (patched(heap_place(4) + 20, "<B", 0xFF), "an ordered heap entry"),
        (patched(min_place(), "<q", 1), "an ordered heap entry"),
        (patched(min_place() + 8, "<Q", 1), "an ordered heap entry"),
        (patched(heap_place(6) + 16, "<I", 2**32 - 1), "heap entries within"),
        (patched(heap_place(6), "<Q", 2**64 - 1), "an ordered heap entry"),
        (patched(heap_place(8), "<q", 0), "an ordered heap entry"),
        (patched(heap_place(8) + 8, "<q", -1), "an ordered heap entry"),
        (patched(heap_place(8) + 16, "<q", 2**60), "an ordered heap entry"),
        (patched(heap_place(8) + 24, "<q", 2**53 - 1), "an ordered heap entry"),
        (patched(heap_place(8) + 48, "<q", 2**53 - 1), "an ordered heap entry"),
        (patched(heap_place(9), "<q", INT64_MAX), "an ordered heap entry"),
        (patched(heap_place(9) + 16, "<I", 2**32 - 1), "heap entries within"),
        (patched(heap_place(10) + 16, "<q", 2**60), "an ordered heap entry"),
        (patched(heap_place(11), "<q", INT64_MIN), "an ordered heap entry"),
        (longer(), "heap entries within"),
    ],
)  # fmt: skip
def test_each_fault_is_named(record: bytes, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        verify(record)


@pytest.mark.parametrize(
    "text", [b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\x80", b"\xff"]
)
def test_text_that_is_not_utf8_is_refused(text: bytes) -> None:
    record = bytearray(rich_record())
    place = heap_place(4) + 20
    record[place : place + len(text)] = text
    if len(text) < 7:
        record[place + len(text) : place + 7] = b"x" * (7 - len(text))
    with pytest.raises(RecordError, match="an ordered heap entry"):
        verify(with_checksum(record))


@examples(100)
@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_every_text_of_utf8_passes(text: str) -> None:
    record = pack(fold([event("View", properties={"string": text})]))
    verify(record)
    assert describe(record, DOCUMENT, START)["profile.a34"] == text


@pytest.mark.parametrize("read", [verify, read_header, State.unpack])
def test_other_objects_are_refused(read: object) -> None:
    with pytest.raises(TypeError):
        read("text")  # type: ignore[operator]
    with pytest.raises(TypeError):
        read(None)  # type: ignore[operator]
