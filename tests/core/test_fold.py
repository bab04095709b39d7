"""The fold: whatever the order, the record holds what the whole history says at now."""

import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import bundle as b
from core.errors import BundleError, RecordError
from core.events import ALWAYS_KEPT, Consent, Event, Identifier
from core.fold import APPLIED, DROPPED, IGNORED, FoldPlan, State, fold_overlay
from core.hashing import xxh64
from core.record import describe, read_header, restamp, verify
from tests.core.profiles import (
    DOCUMENT,
    PLAN,
    PURPOSES,
    RULES,
    SECOND,
    START,
    TYPE_NAMES,
    UNIT_KEY,
    consent_event,
    document_of,
    event,
    fold,
    histories,
    moments,
    pack,
    rule,
    source_of,
)
from tests.oracle import fold as oracle
from tests.oracle.evaluate import Timestamp
from tests.properties.profiles import examples

DAY = 86_400_000


def readings(events: Sequence[Event], now_ms: int, rules: Sequence[b.FoldRule] = RULES) -> dict[str, Any]:
    """What the oracle says of a history: every attribute that is present, consents, impressions."""
    plain = [as_dict(one) for one in events]
    found: dict[str, Any] = {}
    for one in rules:
        value = oracle.attribute_value(source_of(one), TYPE_NAMES[one.type], plain, now_ms)
        if value is not None:
            found[f"profile.a{one.slot}"] = shown(value)
    for purpose in (*PURPOSES, "loyalty"):
        state = oracle.consent_at(purpose, plain)
        if state is not None:
            found[f"consent.{purpose}"] = state
    impressions = oracle.impressions(plain)
    if impressions:
        found["impressions"] = [(minute * 60_000, hex16(o), hex16(c), n) for minute, o, c, n in impressions]
    return found


def as_dict(event: Event) -> dict[str, Any]:
    found = {name: getattr(event, name) for name in ("message_id", "name", "at_ms", "properties", "traits")}
    if event.consent is not None:
        found["consent"] = {"purpose": event.consent.purpose, "state": event.consent.state}
    return found


def shown(value: Any) -> Any:
    if isinstance(value, Timestamp):
        return value.ms
    return sorted(value) if isinstance(value, list) else value


def hex16(number: int) -> str:
    return f"{number:016x}"


def described(record: bytes, now_ms: int, document: b.BundleDocument = DOCUMENT) -> dict[str, Any]:
    found: dict[str, Any] = describe(record, document, now_ms)
    for key, value in found.items():
        if key.startswith("consent."):
            found[key] = (value["state"], value["at"])
    if "impressions" in found:
        found["impressions"] = [
            (one["at"], one["offer"], one["channel"], one["count"]) for one in found["impressions"]
        ]
    return found


@examples(100)
@given(histories(tied=False), moments(), moments())
def test_reading_at_any_moment_equals_the_whole_history(
    events: list[Event], packed_at_ms: int, now_ms: int
) -> None:
    record = pack(fold(events), packed_at_ms)
    verify(record)
    assert described(record, now_ms) == readings(events, now_ms)


@examples(100)
@given(histories(tied=True), st.randoms(use_true_random=False))
def test_order_of_events_never_shows(events: list[Event], draw: random.Random) -> None:
    shuffled = draw.sample(events, len(events))
    assert pack(fold(shuffled)) == pack(fold(events))


@examples(100)
@given(histories(tied=True), st.randoms(use_true_random=False), st.integers(1, 4))
def test_splitting_into_sources_and_merging_never_shows(
    events: list[Event], draw: random.Random, count: int
) -> None:
    sources: list[list[Event]] = [[] for _ in range(count)]
    for one in events:
        draw.choice(sources).append(one)
    states = [State.unpack(pack(fold(part))) for part in sources]
    while len(states) > 1:
        left = states.pop(draw.randrange(len(states)))
        into = draw.choice(states)
        before = pack(left)
        into.merge(left)
        assert pack(left) == before
    assert pack(states[0]) == pack(fold(events))


@examples(100)
@given(histories(tied=True), moments())
def test_unpacking_and_packing_gives_the_same_bytes(events: list[Event], packed_at_ms: int) -> None:
    record = pack(fold(events), packed_at_ms)
    assert pack(State.unpack(record), packed_at_ms) == record
    assert pack(State.unpack(memoryview(bytearray(record))), packed_at_ms) == record


@examples(100)
@given(histories(tied=True), histories(tied=True, size=5), moments())
def test_folding_on_from_a_record_equals_folding_all(
    before: list[Event], after: list[Event], packed_at_ms: int
) -> None:
    state = State.unpack(pack(fold(before), packed_at_ms))
    for one in after:
        state.apply(PLAN, one, behaviour=True)
    assert pack(state) == pack(fold(before + after))


@examples(100)
@given(histories(tied=True), moments(), moments())
def test_restamped_record_is_the_one_packed_then(events: list[Event], first_ms: int, second_ms: int) -> None:
    state = fold(events)
    assert restamp(pack(state, first_ms), 9, second_ms) == pack(state, second_ms, sequence=9)


@examples(100)
@given(histories(tied=True, size=10), histories(tied=True, size=10))
def test_a_copy_goes_its_own_way(events: list[Event], more: list[Event]) -> None:
    state = fold(events)
    before = pack(state)
    twin = state.copy()
    assert pack(twin) == before
    for one in more:
        twin.apply(PLAN, one, behaviour=True)
    twin.merge(fold(more))
    assert pack(state) == before
    assert state.size == len(before)


# Eviction: more than a record keeps.

CROWDED = [
    rule(20, b.F_COUNT, b.INT, "View", granularity_ms=SECOND),
    rule(21, b.F_SUM, b.FLOAT, "View", property="n", granularity_ms=SECOND, half_life_ms=9 * SECOND),
    rule(22, b.F_COUNT, b.INT, "View", granularity_ms=SECOND, window_ms=80 * SECOND, resets=["Order"]),
    rule(80, b.F_STRINGS, b.STRINGS, "View", property="tags"),
]


@examples(25)
@given(st.randoms(use_true_random=False), st.integers(0, 500))
def test_beyond_the_limits_the_newest_stay_in_any_order(draw: random.Random, now_second: int) -> None:
    document = document_of(CROWDED)
    plan = FoldPlan(document)
    now_ms = START + now_second * SECOND
    events = [
        event("View", START + draw.randrange(400) * SECOND, crowd(draw), message_id=str(number))
        for number in range(300)
    ]
    events += [
        event(
            "Impression", START + draw.randrange(300) * 60_000, {"offer": draw.choice("ab"), "channel": "web"}
        )
        for _ in range(500)
    ]
    events += [event("Order", START + draw.randrange(300) * SECOND) for _ in range(2)]
    draw.shuffle(events)
    half = fold(events[:400], plan)
    half.merge(fold(events[400:], plan))
    record = pack(half)
    assert record == pack(fold(events, plan))
    verify(record)
    assert described(record, now_ms, document) == readings(events, now_ms, CROWDED)


def crowd(draw: random.Random) -> dict[str, Any]:
    return {"n": draw.randrange(-9, 9) / 4, "tags": [f"tag {draw.randrange(120)}" for _ in range(3)]}


# What events mean.


@pytest.mark.parametrize(
    ("one", "behaviour", "expected"),
    [
        (event("View"), True, APPLIED),
        (event("PDP_Visit"), True, APPLIED),
        (event("View"), False, DROPPED),
        (event("Other"), True, IGNORED),
        (event("Other"), False, DROPPED),
        (event("Impression", properties={"offer": "a"}), True, APPLIED),
        (event("Impression", properties={"offer": 3}), True, IGNORED),
        (event("Impression", properties={"offer": "a"}), False, DROPPED),
        (consent_event("email", "granted"), False, APPLIED),
        (consent_event("unheard-of", "granted"), False, IGNORED),
        (consent_event("email", "perhaps"), False, IGNORED),
        (event("Consent", kind="consent"), False, IGNORED),
        (event("View", at_ms=2**53 + 1), True, IGNORED),
        (event("View", at_ms=-(2**63)), True, IGNORED),
        (event("View", at_ms=-(2**53)), True, APPLIED),
    ],
)
def test_apply_says_what_became_of_an_event(one: Event, behaviour: bool, expected: int) -> None:
    state = State()
    assert state.apply(PLAN, one, behaviour=behaviour) == expected
    assert state.is_empty == (expected != APPLIED)


@pytest.mark.parametrize("name", sorted(ALWAYS_KEPT))
def test_orders_and_tickets_need_no_consent(name: str) -> None:
    plan = FoldPlan(document_of([rule(16, b.F_COUNT, b.INT, name)], aliases={"alias": name}))
    assert State().apply(plan, event(name), behaviour=False) == APPLIED
    assert State().apply(plan, event("alias"), behaviour=False) == APPLIED


@pytest.mark.parametrize(
    ("kind", "verified", "expected"),
    [("id", True, APPLIED), ("email", True, APPLIED), ("id", False, DROPPED), ("device", True, DROPPED)],
)
def test_only_a_proved_person_identifies_without_consent(kind: str, verified: bool, expected: int) -> None:
    who = (Identifier(kind, b"h" * 16, verified),)
    traits = {"address": {"city": "Ulm"}}
    one = event("Identify", kind="identify", traits=traits, identifiers=who)
    state = State()
    assert state.apply(PLAN, one, behaviour=False) == expected
    assert described(pack(state), START) == ({"profile.a82": "Ulm"} if expected == APPLIED else {})


def test_consent_keeps_what_was_shown_and_where() -> None:
    state = fold([consent_event("ads", "denied", START - 5)])
    shown = describe(pack(state), DOCUMENT, START)
    assert shown == {
        "consent.ads": {"state": "denied", "at": START - 5, "text_version": "v1", "source": "web"}
    }
    assert state.consent(4) == (2, START - 5)
    assert state.consent(0) is None
    assert state.consent(5000) is None


def test_equally_late_consents_withdraw() -> None:
    states = ["granted", "withdrawn", "denied"]
    state = fold([consent_event("ads", name, START) for name in states])
    assert state.consent(4) == (3, START)
    state.apply(PLAN, consent_event("ads", "granted", START + 1), behaviour=False)
    assert state.consent(4) == (1, START + 1)


@pytest.mark.parametrize("purpose", ["personalization", "analytics"])
def test_behaviour_is_allowed_by_a_purpose_that_stands_for_it(purpose: str) -> None:
    state = fold([consent_event(purpose, "granted", START)])
    assert not state.allows_behaviour(PLAN, START - 1)
    assert state.allows_behaviour(PLAN, START)
    state.apply(PLAN, consent_event(purpose, "withdrawn", START + 2), behaviour=False)
    assert not state.allows_behaviour(PLAN, START + 3)


def test_other_purposes_allow_no_behaviour() -> None:
    assert not fold([consent_event("email", "granted")]).allows_behaviour(PLAN, START)


def test_sums_stop_at_the_limit_of_one_value_and_wrap_beyond_64_bits() -> None:
    plan = FoldPlan(document_of([rule(16, b.F_SUM, b.INT, "A", property="n")]))

    def total(*values: int) -> Any:
        state = fold([event("A", properties={"n": value}) for value in values], plan)
        return describe(pack(state), document_of([rule(16, b.F_SUM, b.INT, "A", property="n")]), START)[
            "profile.a16"
        ]

    assert total(2**63 - 1) == 2**62
    assert total(-(2**63), 1) == 1 - 2**62
    assert total(2**62, 2**62) == -(2**63)
    assert total(2**62, 2**62, -(2**62)) == 2**62


def test_sums_are_kept_in_millionths_rounded_half_even() -> None:
    rules = [rule(16, b.F_SUM, b.FLOAT, "A", property="n")]
    plan, document = FoldPlan(document_of(rules)), document_of(rules)

    def total(*values: float) -> Any:
        record = pack(fold([event("A", properties={"n": value}) for value in values], plan))
        return describe(record, document, START)["profile.a16"]

    assert total(0.1, 0.2) == 0.3
    assert total(2.5e-6) == 2e-6
    assert total(3.5e-6) == 4e-6
    assert total(1e300) == 2**62 / 1e6


def test_a_score_ends_with_its_time_to_live() -> None:
    score = b.Attribute("profile.churn", b.FLOAT, b.READ_SCORE, 50, True, None)
    document = document_of([], attributes=[score])
    state = State()
    state.set_score(50, 0.25, START, 10)
    state.set_score(50, 0.75, START - 1, 1000)
    record = pack(state)
    assert describe(record, document, START + 9) == {"profile.churn": 0.25}
    assert describe(record, document, START + 10) == {}
    assert pack(State.unpack(record)) == record


@pytest.mark.parametrize(
    ("slot", "value", "ttl_ms"),
    [(15, 0.5, 1), (4096, 0.5, 1), (16, float("nan"), 1), (16, 0.5, -1), (16, 0.5, 2**54)],
)
def test_scores_that_a_record_cannot_hold_are_refused(slot: int, value: float, ttl_ms: int) -> None:
    with pytest.raises(RecordError, match="expected a number, a slot"):
        State().set_score(slot, value, START, ttl_ms)


def test_slots_that_no_plan_knows_are_kept_and_merged() -> None:
    elsewhere = FoldPlan(document_of([]))
    state = State.unpack(pack(fold([event("View", properties={"n": 2})])))
    state.apply(elsewhere, event("View", properties={"n": 2}), behaviour=True)
    other = fold([event("View", properties={"n": 3}, message_id="n")])
    state.merge(other)
    assert described(pack(state), START)["profile.a18"] == 5


def test_merging_leaves_the_other_state_alone() -> None:
    everything = {"n": 2, "price": 2.5, "string": "red", "tags": ["red"], "offer": "a"}
    names = ("View", "Order", "Impression")
    other = fold([event(name, properties=everything) for name in names] + [consent_event("ads", "granted")])
    other.set_score(90, 0.5, START, 1)
    before = pack(other)
    state = State()
    state.merge(other)
    for name in names:
        more = everything | {"string": "blue", "tags": ["blue"]}
        state.apply(PLAN, event(name, START + 9 * SECOND, more), behaviour=True)
    state.apply(PLAN, consent_event("ads", "denied", START + 1), behaviour=True)
    state.set_score(90, 0.75, START + 1, 1)
    assert pack(other) == before


def test_both_zeros_are_one() -> None:
    zeros = [event("View", properties={"float": zero}, message_id="m") for zero in (0.0, -0.0)]
    assert pack(fold(zeros[:1])) == pack(fold(zeros[1:]))


@pytest.mark.parametrize(
    ("smaller", "greater"),
    [
        (rule(16, b.F_LAST, b.INT, "A", property="n"), rule(16, b.F_LAST, b.FLOAT, "A", property="n")),
        (rule(16, b.F_LAST, b.INT, "A", property="n"), rule(16, b.F_MAX, b.INT, "A", property="n")),
        (rule(16, b.F_COUNT, b.INT, "A"), rule(16, b.F_SUM, b.FLOAT, "A", property="n")),
        (
            rule(16, b.F_COUNT, b.INT, "A", granularity_ms=2, window_ms=6),
            rule(16, b.F_COUNT, b.INT, "A", granularity_ms=2, window_ms=8),
        ),
    ],
)
def test_of_two_rules_in_one_slot_the_greater_family_stays(smaller: b.FoldRule, greater: b.FoldRule) -> None:
    plans = [FoldPlan(document_of([one])) for one in (smaller, greater)]
    first, second = (event("A", properties={"n": n}, message_id=str(n)) for n in (3, 4))
    states = [fold([first], plan) for plan in plans]
    kept = pack(states[1])
    for order in (states, states[::-1]):
        merged = order[0].copy()
        merged.merge(order[1])
        assert pack(merged) == kept
        merged.apply(plans[1], second, behaviour=True)
        assert pack(states[1]) == kept


@pytest.mark.parametrize(
    ("allowed", "value", "matches"),
    [
        ([True], True, True),
        ([True], 1, False),
        ([1], True, False),
        ([1], 1.0, True),
        ([0.5], 0.5, True),
        (["1"], 1, False),
        (["red"], "red", True),
        (["red"], ["red"], False),
        ([0], None, False),
        ([], "red", False),
    ],
)
def test_where_compares_plain_values_of_one_kind(allowed: list[Any], value: object, matches: bool) -> None:
    plan = FoldPlan(document_of([rule(16, b.F_COUNT, b.INT, "A", where={"deep.color": allowed})]))
    one = event("A", properties={"deep": {"color": value}})
    assert State().apply(plan, one, behaviour=True) == (APPLIED if matches else IGNORED)


def test_granules_before_1970_are_rounded_down() -> None:
    state = fold([event("View", -1), event("View", -SECOND), event("View", -SECOND - 1), event("View", 0)])
    record = pack(state, -10 * SECOND)
    counts = [described(record, now_ms)["profile.a20"] for now_ms in (-SECOND - 1, -SECOND, -1, 0)]
    assert counts == [1, 3, 3, 4]


def test_text_is_cut_at_the_border_of_a_character() -> None:
    state = fold([event("View", properties={"string": "x" + "é" * 600})])
    assert described(pack(state), START)["profile.a34"] == "x" + "é" * 511


def test_text_that_utf8_cannot_hold_contributes_nothing() -> None:
    state = fold([event("View", properties={"string": "\ud800", "tags": ["\udfff", "red"]})])
    found = described(pack(state), START)
    assert "profile.a34" not in found
    assert found["profile.a80"] == ["red"]


# The overlay.


def overlay(record: bytes | None, *events: Event, plan: FoldPlan = PLAN) -> bytes:
    return fold_overlay(record, events, plan, unit_key=b"o" * 16, now_ms=START + 5, layout_id=8)


def test_overlay_without_a_record_makes_one() -> None:
    record = overlay(None, consent_event("personalization", "granted"), event("View"))
    header = read_header(record)
    assert (header.sequence, header.packed_at_ms, header.unit_key) == (0, START + 5, b"o" * 16)
    assert (header.layout_id, header.known) == (8, False)
    assert described(record, START)["profile.a16"] == 1


def test_overlay_keeps_the_head_of_the_record() -> None:
    record = pack(fold([consent_event("analytics", "granted")]), known=True)
    folded = overlay(record, event("View"))
    assert folded == pack(
        fold([consent_event("analytics", "granted"), event("View")]), known=True, layout_id=8
    )
    assert overlay(record) == pack(State.unpack(record), known=True, layout_id=8)


def test_overlay_takes_every_event_in_any_order() -> None:
    """Behaviour without consent was dropped before the journal; here it is not asked about again."""
    events = [
        event("View", START),
        consent_event("personalization", "granted", START + 1),
        event("View", START + 2),
        consent_event("personalization", "withdrawn", START + 3),
        event("View", START + 4),
    ]
    record = overlay(None, *events)
    assert described(record, START + 9)["profile.a16"] == 3
    assert overlay(None, *reversed(events)) == record


def test_overlay_leaves_out_what_a_record_cannot_hold() -> None:
    texts = [f"{number:02d}" + "x" * 1000 for number in range(70)]
    grant = consent_event("personalization", "granted")
    events = [event("View", properties={"tags": texts[at : at + 7]}) for at in range(0, 70, 7)]
    record = overlay(None, grant, *events, event("View", properties={"int": 4}, message_id="n"))
    found = described(record, START)
    assert len(record) <= 65_536
    assert found["profile.a80"] == found["profile.a81"] == texts[:28]
    assert found["profile.a32"] == 4
    with pytest.raises(RecordError, match="at most 65536 bytes"):
        pack(fold(events))


@examples(100)
@given(histories(tied=True), histories(tied=True, size=6))
def test_overlay_equals_what_ingestion_would_pack(before: list[Event], after: list[Event]) -> None:
    record = pack(fold(before))
    state = State.unpack(record)
    for one in after:
        state.apply(PLAN, one, behaviour=True)
    assert overlay(record, *after) == pack(state, layout_id=8)


# The plan.


def test_plan_resolves_aliases() -> None:
    assert PLAN.canonical("PDP_Visit") == "View"
    assert PLAN.canonical("View") == "View"


@pytest.mark.parametrize(
    ("broken", "path"),
    [
        (rule(15, b.F_COUNT, b.INT, "A"), r"\$\.folds\[1\]\.slot"),
        (rule(4096, b.F_COUNT, b.INT, "A"), r"\$\.folds\[1\]\.slot"),
        (rule(20, 7, b.INT, "A"), "function"),
        (rule(20, b.F_SUM, b.STRING, "A", property="x"), "type"),
        (rule(20, b.F_LAST, b.STRINGS, "A", property="x"), "type"),
        (rule(20, b.F_STRINGS, b.STRING, "A", property="x"), "type"),
        (rule(20, b.F_SUM, b.INT, "A"), "property"),
        (rule(20, b.F_COUNT, b.INT, "A", window_ms=DAY), "granularity_ms"),
        (rule(20, b.F_COUNT, b.INT, "A", half_life_ms=DAY), "granularity_ms"),
        (rule(20, b.F_COUNT, b.INT, "A", resets=["B"]), "granularity_ms"),
        (rule(20, b.F_COUNT, b.INT, "A", granularity_ms=-1), "granularity_ms"),
        (rule(20, b.F_COUNT, b.INT, "A", granularity_ms=2**54), "granularity_ms"),
        (rule(20, b.F_COUNT, b.INT, "A", granularity_ms=7, window_ms=8), "window_ms"),
        (rule(20, b.F_LAST, b.INT, "A", property="x", granularity_ms=7), "granularity_ms"),
        (rule(20, b.F_COUNT, b.INT, "A", "B", subtract=["B"]), "subtract"),
    ],
)
def test_plan_refuses_rules_that_a_record_cannot_hold(broken: b.FoldRule, path: str) -> None:
    with pytest.raises(BundleError, match=path):
        FoldPlan(document_of([RULES[0], broken]))


@pytest.mark.parametrize(
    "fields",
    [
        {"purposes": [b.Purpose("x", 5, False)], "behaviour_purposes": []},
        {"purposes": [b.Purpose("x", 4096, False)], "behaviour_purposes": []},
        {"behaviour_purposes": [9]},
        {"behaviour_purposes": [-1]},
    ],
)
def test_plan_refuses_purposes_out_of_range(fields: dict[str, Any]) -> None:
    with pytest.raises(BundleError, match="purposes"):
        FoldPlan(document_of([], **fields))


def test_pack_refuses_a_unit_key_of_another_length() -> None:
    with pytest.raises(RecordError, match="a unit key of 16 bytes, got 15 bytes"):
        pack(State(), unit_key=UNIT_KEY[:15])
    with pytest.raises(RecordError, match="a unit key of 16 bytes, got 0 bytes"):
        fold_overlay(None, [], PLAN, unit_key=b"", now_ms=START, layout_id=0)


def test_impressions_name_the_offers_and_channels_that_the_document_knows() -> None:
    shown: Any = describe(pack(fold([event("Impression", properties={"offer": "spring"})])), DOCUMENT, START)
    assert shown["impressions"] == [
        {
            "offer": f"{xxh64(b'spring'):016x}",
            "channel": f"{xxh64(b''):016x}",
            "at": START // 60_000 * 60_000,
            "count": 1,
        }
    ]


def test_a_consent_event_without_words_is_kept_as_such() -> None:
    one = event("Consent", kind="consent", consent=Consent("sms", "granted", "\ud800", ""))
    shown = describe(pack(fold([one])), DOCUMENT, START)
    assert shown["consent.sms"] == {"state": "granted", "at": START, "text_version": "", "source": ""}
