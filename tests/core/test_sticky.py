"""Sticky assignments: what a record keeps of exposures, in any order, and what that does to assignments."""

import random
import struct
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core import bundle as b
from core.assignment import Experiments
from core.errors import RecordError
from core.events import Event, Identifier
from core.fold import FoldPlan, State
from core.hashing import bucket, xxh64
from core.record import ASSIGNMENTS_MAX, describe, project, restamp, verify
from tests.core.profiles import START, UNIT_KEY, document_of, pack
from tests.core.sketch import assignments_slot, record
from tests.oracle import fold as oracle

MILLION: Final = 1_000_000
VARIANTS: Final = [b.Variant("a", 500_000, None, {}), b.Variant("b", MILLION, None, {})]
SOURCES: Final = [bytes([n]) * 16 for n in range(6)]


def experiment(name: str, **rest: Any) -> b.Experiment:
    plain = b.Experiment(name, name, "", 0, MILLION, MILLION, -1, [], VARIANTS, sticky=True)
    return msgspec.structs.replace(plain, **rest)


MANY: Final = [experiment(f"x{n}") for n in range(120)]
DOCUMENT: Final = document_of([], experiments=MANY)
PLAN: Final = FoldPlan(DOCUMENT)


def exposure(at_ms: int, source: bytes, *shown: tuple[str, str], name: str = "Impression") -> Event:
    entries = [{"id": one, "variant": variant, "sticky_version": 0} for one, variant in shown]
    return Event(
        f"m-{at_ms}",
        "track",
        name,
        at_ms,
        at_ms,
        (Identifier("anon", source, True),),
        {"experiments": entries},
    )


def folded(events: list[Event], state: State | None = None) -> State:
    state = State() if state is None else state
    for one in events:
        state.apply(PLAN, one, behaviour=True)
    return state


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Few or many exposures of few or all experiments, often at equal times, sometimes more than are kept."""
    chance = random.Random(draw(st.integers(0, 2**32)))
    count, width = draw(st.sampled_from([(8, 3), (60, 8), (900, len(MANY))]))
    times = draw(st.sampled_from([3, 50, 10_000]))
    return [
        exposure(
            START + chance.randrange(times),
            chance.choice(SOURCES),
            *((f"x{chance.randrange(width)}", chance.choice("ab")) for _ in range(chance.randrange(3))),
            name=chance.choice(["Impression", "Exposure"]),
        )
        for _ in range(count)
    ]


def plain(events: list[Event]) -> list[dict[str, Any]]:
    """As the oracle takes them."""
    return [
        {"name": e.name, "at_ms": e.at_ms, "properties": e.properties, "source": e.identifiers[0].hash.hex()}
        for e in events
    ]


@given(histories(), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_order_sources_and_batches_never_show(events: list[Event], draw: random.Random) -> None:
    expected = pack(folded(events))
    shuffled = draw.sample(events, len(events))
    assert pack(folded(shuffled)) == expected
    cut = draw.randrange(len(events) + 1)
    assert pack(folded(shuffled[cut:], State.unpack(pack(folded(shuffled[:cut]))))) == expected
    sources: dict[bytes, State] = {}
    for one in shuffled:
        sources.setdefault(one.identifiers[0].hash, State()).apply(PLAN, one, behaviour=True)
    merged = State()
    for state in draw.sample(list(sources.values()), len(sources)):
        merged.merge(state)
    assert pack(merged) == expected, "a person is the fold of her sources"
    verify(expected)


@given(histories())
@settings(max_examples=40, deadline=None)
def test_a_record_keeps_what_the_whole_history_says(events: list[Event]) -> None:
    authored = {
        one.id: {"id": one.id, "sticky": True, "variants": [{"id": v.id} for v in one.variants]}
        for one in MANY
    }
    expected = oracle.assignments(authored, plain(events))
    names = {b.experiment_key(one.id, 0): one.id for one in MANY}
    found: Any = describe(pack(folded(events)), DOCUMENT, START).get("assignments", [])
    assert len(found) == len(expected) <= ASSIGNMENTS_MAX
    told = {(one["experiment"], one["source"]): (one["at"], xxh64(one["variant"].encode())) for one in found}
    assert told == {
        (names[key], source.to_bytes(8, "little").hex()): value for (key, source), value in expected.items()
    }


def test_beyond_the_limit_the_earliest_stay() -> None:
    events = [
        exposure(START + number, SOURCES[number % 3], (f"x{number // 3}", "a")) for number in range(330)
    ]
    random.Random(1).shuffle(events)
    found: Any = describe(pack(folded(events)), DOCUMENT, START)["assignments"]
    assert [one["at"] - START for one in found] == list(range(ASSIGNMENTS_MAX))


def test_undoing_a_merge_gives_each_source_its_own() -> None:
    hers, devices = [exposure(START, SOURCES[1], ("x1", "a"))], [exposure(START - 9, SOURCES[2], ("x1", "b"))]
    both = folded(hers)
    both.merge(folded(devices))
    table = Experiments(MANY, [], {})
    for key, expected in ((SOURCES[1], 0), (SOURCES[2], 1), (SOURCES[3], 1)):
        assert table.variant(1, key, pack(both, unit_key=key)) == expected
    assert table.variant(1, SOURCES[1], pack(folded(hers))) == 0
    assert table.variant(1, SOURCES[2], pack(folded(devices))) == 1


def test_only_exposures_of_what_is_sticky_now_are_kept() -> None:
    one = experiment("x", sticky_version=2)
    plan = FoldPlan(document_of([], experiments=[one, experiment("plain", sticky=False)]))
    good = {"id": "x", "variant": "a", "sticky_version": 2}
    for entry in (
        {**good, "sticky_version": 1},
        {**good, "sticky_version": True},
        {**good, "sticky_version": "2"},
        {**good, "sticky_version": None},
        {**good, "variant": "c"},
        {**good, "variant": ["a"]},
        {**good, "id": "y"},
        {**good, "id": "plain", "sticky_version": 0},
        {**good, "id": 7},
        "x",
        None,
    ):
        state = State()
        event = Event("m", "track", "Impression", START, START, (), {"experiments": [entry]})
        state.apply(plan, event, behaviour=True)
        assert state.is_empty, entry
    state = State()
    other = Event(
        "m", "track", "Exposure", START, START, (), {"experiments": [None, good, {**good, "id": "y"}]}
    )
    state.apply(plan, other, behaviour=True)
    assert not state.is_empty


def test_an_exposure_without_consent_is_not_kept() -> None:
    state = State()
    state.apply(PLAN, exposure(START, SOURCES[0], ("x1", "a")), behaviour=False)
    assert state.is_empty


# Assignments.


def stored(*entries: tuple[str, int, bytes, str, int]) -> bytes:
    """A record with (experiment, version, source, variant, at ms)."""
    return record({6: assignments_slot(entries)})


def test_what_is_stored_comes_before_weights_and_traffic_but_not_before_the_layer() -> None:
    held = stored(("x", 0, UNIT_KEY, "b", START))
    drawn = bucket("layer", UNIT_KEY)
    for fields, expected in (
        ({"variants": [b.Variant("a", MILLION, None, {}), b.Variant("b", MILLION, None, {})]}, 1),
        ({"traffic": 0}, 1),
        ({"sticky_version": 1, "traffic": 0}, None),
        ({"sticky": False, "traffic": 0}, None),
        ({"variants": [b.Variant("a", MILLION, None, {})]}, 0),
        ({"layer": "layer", "layer_from": drawn, "layer_to": drawn + 1}, 1),
        ({"layer": "layer", "layer_from": drawn + 1, "layer_to": MILLION}, None),
    ):
        table = Experiments([experiment("x", **fields)], [], {})
        assert table.variant(0, UNIT_KEY, held) == expected, fields
        assert table.variant(0, UNIT_KEY, record()) == table.variant(0, UNIT_KEY)


def test_a_stored_assignment_is_found_among_many() -> None:
    entries = [(f"x{n}", 0, source, "ab"[n % 2], START) for n in range(60) for source in SOURCES[:4]]
    held = stored(*entries)
    table = Experiments(MANY[:60], [], {})
    for number in range(60):
        for key in SOURCES:
            assert table.variant(number, key, held) == number % 2


def test_a_damaged_record_is_refused() -> None:
    table = Experiments([experiment("x")], [], {})
    with pytest.raises(RecordError):
        table.variant(0, UNIT_KEY, stored(("x", 0, UNIT_KEY, "b", START))[:-8])


# The record.


def test_projection_and_restamp_keep_assignments() -> None:
    held = pack(folded([exposure(START, SOURCES[0], ("x1", "a"))]))
    assert describe(project(held, frozenset()), DOCUMENT, START)["assignments"]
    assert describe(restamp(held, 9, START), DOCUMENT, START)["assignments"]


def test_names_that_the_document_does_not_know_are_their_hashes() -> None:
    held = stored(("x1", 0, SOURCES[1], "gone", START), ("old", 4, SOURCES[1], "a", START + 1))
    assert describe(held, DOCUMENT, START)["assignments"] == [
        {"experiment": "x1", "variant": f"{xxh64(b'gone'):016x}", "at": START, "source": "01" * 8},
        {
            "experiment": f"{b.experiment_key('old', 4):016x}",
            "variant": f"{xxh64(b'a'):016x}",
            "at": START + 1,
            "source": "01" * 8,
        },
    ]


ENTRY: Final = struct.Struct("<QQQq")


@pytest.mark.parametrize(
    ("number", "slot", "message"),
    [
        (6, (12, 0, ENTRY.pack(1, 1, 1, 0) * 2, 0, 2), "ordered"),
        (6, (12, 0, ENTRY.pack(2, 1, 1, 0) + ENTRY.pack(1, 2, 1, 0), 0, 2), "ordered"),
        (6, (12, 0, ENTRY.pack(1, 1, 1, 2**53 + 1), 0, 1), "ordered"),
        (6, (12, 1, ENTRY.pack(1, 1, 1, 0), 0, 1), "value, flags and count"),
        (6, (12, 0, ENTRY.pack(1, 1, 1, 0), 1, 1), "value, flags and count"),
        (6, (12, 0, b"".join(ENTRY.pack(n, 1, 1, 0) for n in range(257)), 0, 257), "value, flags and count"),
        (6, (12, 0, b"", 0, 0), "offset|heap entry|within"),
        (6, (12, 0, ENTRY.pack(1, 1, 1, 0)[:24], 0, 1), "heap entries within|up to its end"),
        (6, (10, 0, ENTRY.pack(1, 1, 1, 0), 0, 1), "a kind that the slot may have"),
        (5, (12, 0, ENTRY.pack(1, 1, 1, 0), 0, 1), "a kind that the slot may have"),
        (16, (12, 0, ENTRY.pack(1, 1, 1, 0), 0, 1), "a kind that the slot may have"),
    ],
)
def test_assignments_that_no_packer_writes_are_refused(
    number: int, slot: tuple[int, int, bytes, int, int], message: str
) -> None:
    with pytest.raises(RecordError, match=message):
        verify(record({number: slot}, consent=None))
    verify(record({6: (12, 0, b"".join(ENTRY.pack(n, 1, 1, 0) for n in range(256)), 0, 256)}, consent=None))
