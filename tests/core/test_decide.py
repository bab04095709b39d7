"""The steps of docs/decisions/0002-decision.md, one by one, on bundles made by hand."""

import json
import math
from typing import Any

import msgspec
import pytest

from core import bundle as b
from core.decide import LOG_FIELDS, LOG_PLACEMENT_FIELDS, REFUSED_LOGGED_MAX, Decision, Engine, Request
from core.errors import RecordError, RequestError
from core.events import Consent, Event, Identifier
from core.hashing import bucket
from core.reasons import REASONS
from tests.core.sketch import (
    DAY,
    GRANTED,
    MINUTE,
    NOW,
    UNIT_KEY,
    Entry,
    Sketch,
    bool_slot,
    consent_slot,
    float_slot,
    impressions_slot,
    int_slot,
    record,
    score_slot,
    string_slot,
    time_slot,
)

HERO = "home.hero"


def ask(*placements: str, **rest: Any) -> Request:
    fields: dict[str, Any] = {"context": {}, "unit_key": UNIT_KEY} | rest
    return Request("d-1", placements or (HERO,), **fields)


def decide(
    sketch: Sketch,
    request: Request | None = None,
    slots: dict[int, Entry] | None = None,
    *,
    now_ms: int = NOW,
    **rest: Any,
) -> Decision:
    return Engine(sketch.content(), 1).decide(record(slots, **rest), (), request or ask(), now_ms)


def placements_of(decision: Decision) -> dict[str, Any]:
    body: dict[str, dict[str, Any]] = json.loads(decision.body)
    return body["placements"]


def rows_of(decision: Decision) -> list[dict[str, Any]]:
    row = dict(zip(LOG_FIELDS, decision.log_row(), strict=True))
    return [dict(zip(LOG_PLACEMENT_FIELDS, values, strict=True)) for values in row["placements"]]


def outcome(decision: Decision, at: int = 0) -> tuple[str | None, str, str | None]:
    """(offer, reason, cause) of one placement."""
    row = rows_of(decision)[at]
    return row["offer"], row["reason"], row["cause"]


def simple() -> Sketch:
    """One placement, one offer `a` that everyone may see."""
    sketch = Sketch()
    sketch.placement()
    sketch.treatment(sketch.offer("a"))
    return sketch


def on_missing(sketch: Sketch) -> int:
    """A condition on an attribute that profiles lack: its rules come to an error."""
    return sketch.condition(b.OP_RANGE, sketch.attribute("profile.absent", b.INT), lo=0, hi=9)


# Output.


def test_body_is_the_documented_json() -> None:
    engine = Engine(simple().content(), 41)
    decision = engine.decide(record(), (), ask(HERO, "nowhere", HERO), NOW)
    assert decision.body == (
        b'{"id":"d-1","now":"2026-11-23T17:43:29.000Z",'
        b'"bundle":{"revision":41,"hash":"' + engine.content_hash.encode() + b'"},'
        b'"profile":{"sequence":7,"age_ms":1000,"stale":false,"starter":false},'
        b'"placements":{"home.hero":{"offer":"a","treatment":"a@home.hero",'
        b'"blocks":{"headline":{"block":"a-headline","value":"a"}},'
        b'"fallback":false,"reason":"ok","ai":false,"experiments":[]},'
        b'"nowhere":{"offer":null,"treatment":null,"blocks":{},'
        b'"fallback":true,"reason":"unknown_placement","ai":false,"experiments":[]}}}'
    )
    assert decision.reasons == ("ok", "unknown_placement")
    assert (decision.known, decision.fallbacks) == (1, 1)


@pytest.mark.parametrize(
    "text", ["", 'a"b\\c/d', "\x00\x1f\x7f\n\r\t\b\f", "käse 中文 🎉 \u2028", "<script>&'"]
)
def test_strings_are_escaped_as_msgspec_does(text: str) -> None:
    sketch = simple()
    shown = sketch.attribute("profile.text", b.STRING)
    block = sketch.block("said", kind=b.SLOT_TEXT, attribute=shown)
    sketch.treatments[0] = msgspec.structs.replace(sketch.treatments[0], blocks=[block])
    engine = Engine(sketch.content(), 1)
    request = Request(text, (HERO, "x" + text), {}, UNIT_KEY)
    body = engine.decide(record({16: string_slot(text)}), (), request, NOW).body
    for piece in (
        b'{"id":' + msgspec.json.encode(text) + b",",
        b'"value":' + msgspec.json.encode(text) + b"}",
        msgspec.json.encode("x" + text) + b":{",
    ):
        assert piece in body
    assert json.loads(body)["id"] == text


@pytest.mark.parametrize(
    ("now_ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (951_782_399_999, "2000-02-28T23:59:59.999Z"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z"),
        (-62_135_596_800_000, "0001-01-01T00:00:00.000Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_now_is_written_as_rfc_3339(now_ms: int, text: str) -> None:
    body = Engine(simple().content(), 1).decide(None, (), ask(), now_ms).body
    assert json.loads(body)["now"] == text


@pytest.mark.parametrize(
    ("request_", "now_ms", "path"),
    [
        (ask(*["p"] * 65), NOW, "$.placements"),
        (ask(unit_key=b"short"), NOW, "$.unit_key"),
        (ask(), 253_402_300_800_000, "$.now"),
        (ask(), -62_135_596_800_001, "$.now"),
        (Request("\ud800", (HERO,), {}, UNIT_KEY), NOW, "$.decision_id"),
        (ask("\ud800"), NOW, "$.placements[0]"),
    ],
)
def test_a_request_of_another_form_is_refused(request_: Request, now_ms: int, path: str) -> None:
    engine = Engine(simple().content(), 1)
    with pytest.raises(RequestError) as caught:
        engine.decide(record(), (), request_, now_ms)
    assert caught.value.path == path
    assert engine.decide(record(), (), ask(), NOW).reasons == ("ok",)


def test_a_damaged_record_is_refused_whatever_byte_it_is() -> None:
    engine = Engine(simple().content(), 1)
    whole = record({16: string_slot("x")})
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 0x40
        with pytest.raises(RecordError):
            engine.decide(damaged, (), ask(), NOW)
    with pytest.raises(RecordError):
        engine.decide(whole[:-1], (), ask(), NOW)
    assert engine.decide(memoryview(whole), (), ask(), NOW).reasons == ("ok",)


# Step 0: unknown placements; what is answered where.


def test_a_placement_of_the_hub_is_unknown_on_an_edge() -> None:
    sketch = Sketch()
    sketch.placement("mail.top", answered_at=b.ANSWERED_AT_HUB)
    sketch.treatment(sketch.offer("a"))
    engine = Engine(sketch.content(), 1)
    on_edge = engine.decide(record(), (), ask("mail.top", "mail.top"), NOW)
    assert (on_edge.reasons, on_edge.known) == (("unknown_placement",), 0)
    on_hub = engine.decide(record(), (), ask("mail.top"), NOW, at_edge=False)
    assert (on_hub.reasons, on_hub.known) == (("ok",), 1)


# Step 1: consent.


@pytest.mark.parametrize(
    ("consent", "reason", "logged"),
    [
        (consent_slot(1, NOW), "ok", "granted"),
        (consent_slot(1, NOW + 1), "no_consent", "granted"),
        (consent_slot(2, NOW - 1), "no_consent", "denied"),
        (consent_slot(3, NOW - 1), "no_consent", "withdrawn"),
        (None, "no_consent", "missing"),
    ],
)
def test_consent(consent: Entry | None, reason: str, logged: str) -> None:
    decision = decide(simple(), consent=consent)
    assert decision.reasons == (reason,)
    assert rows_of(decision)[0]["consent"][:2] == ("personalization", logged)


def test_global_privacy_control_overrules_only_purposes_that_heed_it() -> None:
    sketch = simple()
    sketch.placement("ad", purpose=4)
    sketch.treatment(0, 1)
    slots = {0: GRANTED, 4: GRANTED}
    plain = decide(sketch, ask(HERO, "ad"), slots)
    assert plain.reasons == ("ok", "suppressed")  # the offer was shown above
    opted_out = decide(sketch, ask(HERO, "ad", context={"gpc": True}), slots)
    assert opted_out.reasons == ("ok", "no_consent")
    assert rows_of(opted_out)[1]["consent"] == ("ads", "gpc", NOW - DAY)
    for not_true in (1, "true", None, False):
        assert decide(sketch, ask("ad", context={"gpc": not_true}), slots).reasons == ("ok",)


def test_a_named_person_without_record_is_no_profile() -> None:
    engine = Engine(simple().content(), 1)
    assert engine.decide(None, (), ask(), NOW).reasons == ("no_consent",)
    assert engine.decide(None, (), ask(named=True), NOW).reasons == ("no_profile",)
    assert engine.decide(record(consent=None), (), ask(named=True), NOW).reasons == ("no_consent",)


def test_a_placement_without_purpose_never_sees_the_profile() -> None:
    sketch = Sketch()
    sketch.placement("open", purpose=-1, max_age_ms=1)
    name = sketch.attribute("profile.name", b.STRING)
    has = sketch.rule("eligibility:known", sketch.condition(b.OP_HAS, name))
    sketch.treatment(sketch.offer("all-known", eligibility=has, priority=9))
    said = sketch.block("said", "you", attribute=name, prefix="Hello ")
    cap = sketch.cap("once", 1, [1])
    sketch.treatment(sketch.offer("for-all"), blocks=[said], caps=[cap])
    sketch.placement(HERO)
    slots = {16: string_slot("Ada"), 5: impressions_slot([("for-all", "web", NOW // MINUTE, 5)])}
    decision = decide(sketch, ask("open", HERO), slots, packed_at_ms=NOW - DAY)
    shown = placements_of(decision)["open"]
    assert (shown["offer"], shown["reason"]) == ("for-all", "ok")
    assert shown["blocks"]["headline"]["value"] == "Hello you"
    assert rows_of(decision)[0]["consent"] is None


# Step 2: holdout and staleness.


def held_out_share(salt: str, key: bytes = UNIT_KEY) -> int:
    """The smallest share that holds the unit out."""
    return bucket(salt, key) + 1


def test_holdouts_apply_in_id_order_to_their_placements() -> None:
    sketch = simple()
    share = held_out_share("s")
    sketch.holdouts += [
        b.Holdout("z-global", "s", 1_000_000, []),
        b.Holdout("b-just", "s", share, [0]),
        b.Holdout("a-missed", "s", share - 1, []),
        b.Holdout("a-elsewhere", "s", 1_000_000, [1]),
    ]
    sketch.placement("other")
    decision = decide(sketch, ask(HERO, "other"))
    assert outcome(decision) == (None, "holdout", "b-just")
    assert outcome(decision, 1) == (None, "holdout", "a-elsewhere")


def test_holdout_hashes_the_records_unit_key_and_the_requests_without_one() -> None:
    sketch = simple()
    sketch.placements[0] = msgspec.structs.replace(sketch.placements[0], purpose=-1)
    key = bytes(range(1, 17))
    assert bucket("s", key) < bucket("s", UNIT_KEY)
    sketch.holdouts.append(b.Holdout("h", "s", held_out_share("s", key), []))
    engine = Engine(sketch.content(), 1)
    assert engine.decide(record(unit_key=key), (), ask(), NOW).reasons == ("holdout",)
    assert engine.decide(None, (), ask(unit_key=key), NOW).reasons == ("holdout",)
    assert engine.decide(record(), (), ask(unit_key=key), NOW).reasons == ("ok",)


def test_staleness() -> None:
    sketch = Sketch(stale_after_ms=500)
    sketch.placement(max_age_ms=1_000)
    sketch.treatment(sketch.offer("a"))
    at_limit = decide(sketch, packed_at_ms=NOW - 1_000)
    assert at_limit.reasons == ("ok",)
    assert json.loads(at_limit.body)["profile"] == {
        "sequence": 7, "age_ms": 1000, "stale": True, "starter": False,
    }  # fmt: skip
    assert decide(sketch, packed_at_ms=NOW - 1_001).reasons == ("stale",)
    early = decide(sketch, packed_at_ms=NOW + 5)
    assert json.loads(early.body)["profile"]["age_ms"] == 0


# Step 3: candidates.


@pytest.mark.parametrize(
    ("begins", "ends", "offer"),
    [(NOW, NOW + 1, "a"), (NOW + 1, NOW + 2, None), (NOW - 1, NOW, None)],
)
def test_an_offer_is_valid_from_until(begins: int, ends: int, offer: str | None) -> None:
    sketch = Sketch()
    sketch.placement()
    sketch.treatment(sketch.offer("a", valid_from_ms=begins, valid_until_ms=ends))
    assert outcome(decide(sketch))[0] == offer


def test_an_error_does_not_match_in_eligibility_weights_and_experiments() -> None:
    sketch = simple()
    missing = on_missing(sketch)
    rule = sketch.rule("eligibility:b", missing)
    sketch.treatment(sketch.offer("b", eligibility=rule, priority=5))
    sketch.treatment(sketch.offer("c", weights=[(rule, 100.0)]))
    sketch.experiment("x", [b.Variant("only", 1_000_000, None, {})], eligibility=rule)
    decision = decide(sketch)
    assert outcome(decision)[0] == "a"
    assert rows_of(decision)[0]["refused"] == [("b", "not_eligible", "b", "3a")]
    assert rows_of(decision)[0]["experiments"] == []


@pytest.mark.parametrize(
    ("kind", "field", "reason", "step"),
    [
        (b.SUPPRESSION, "suppressions", "suppressed", "3b"),
        (b.SUPPRESSION, "suppressions", "open_ticket", "3b"),
        (b.EXCLUSION, "exclusions", "suppressed", "3b"),
        (b.BRAND_SAFETY, "brand_safety", "brand_safety", "3d"),
    ],
)
def test_guards_block_when_true_and_when_an_error(kind: int, field: str, reason: str, step: str) -> None:
    sketch = Sketch()
    sketch.placement()
    guard = sketch.guard("g", kind, sketch.rule("g", on_missing(sketch)), reason)
    fields: dict[str, Any] = {field: [guard]}
    sketch.treatment(sketch.offer("a"), **fields)
    for slots in ({}, {16: int_slot(5)}):
        decision = decide(sketch, slots=slots)
        assert outcome(decision) == (None, reason, "g")
        assert rows_of(decision)[0]["refused"] == [("a", reason, "g", step)]
    assert outcome(decide(sketch, slots={16: int_slot(50)})) == ("a", "ok", None)


def test_the_first_rule_in_id_order_is_the_cause() -> None:
    sketch = Sketch()
    sketch.placement()
    always = sketch.rule("always", 0)
    late = sketch.guard("z", b.SUPPRESSION, always)
    early = sketch.guard("b", b.SUPPRESSION, always, "open_ticket")
    exclusion = sketch.guard("a", b.EXCLUSION, always)
    sketch.treatment(sketch.offer("a"), suppressions=[early, late], exclusions=[exclusion])
    assert outcome(decide(sketch)) == (None, "open_ticket", "b")


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize(
    ("kind", "field"),
    [(b.SUPPRESSION, "suppressions"), (b.EXCLUSION, "exclusions"), (b.BRAND_SAFETY, "brand_safety")],
)
def test_every_rule_of_a_candidate_is_asked(kind: int, field: str, place: int) -> None:
    sketch = Sketch()
    sketch.placement()
    never, always = sketch.formula("never", 1, 0), sketch.formula("always", 0, 1)
    guards = [sketch.guard(f"g{at}", kind, always if at == place else never) for at in range(3)]
    fields: dict[str, Any] = {field: guards}
    sketch.treatment(sketch.offer("a"), **fields)
    assert outcome(decide(sketch))[2] == f"g{place}"


# Step 3c: caps.

THIS_MINUTE = NOW // MINUTE


def capped(sketch: Sketch, shown: list[tuple[str, str, int, int]]) -> bool:
    decision = decide(sketch, slots={5: impressions_slot(shown)} if shown else {})
    return "capped" in [row[1] for row in rows_of(decision)[0]["refused"]]


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ([("a", "web", THIS_MINUTE, 2)], True),
        ([("a", "web", THIS_MINUTE, 1)], False),
        ([("a", "web", THIS_MINUTE, 1), ("a", "mail", THIS_MINUTE - 9, 1)], True),
        ([("a", "web", THIS_MINUTE - 10, 5)], False),
        ([("a", "web", THIS_MINUTE - 9, 5)], True),
        ([("a", "web", THIS_MINUTE + 1, 5)], False),
        ([("b", "web", THIS_MINUTE, 5)], False),
        ([], False),
    ],
)
def test_a_cap_per_offer_counts_its_window(shown: list[tuple[str, str, int, int]], expected: bool) -> None:
    sketch = Sketch()
    sketch.placement()
    cap = sketch.cap("two", 2, [0, 1], window_minutes=10)
    sketch.treatment(sketch.offer("a"), caps=[cap])
    sketch.treatment(sketch.offer("b"))
    assert capped(sketch, shown) is expected


def test_a_cap_over_all_counts_every_offer_that_it_applies_to() -> None:
    sketch = Sketch()
    sketch.placement()
    cap = sketch.cap("three", 3, [0, 1], per=b.PER_ALL)
    sketch.treatment(sketch.offer("a"), caps=[cap])
    sketch.offer("b")
    sketch.treatment(sketch.offer("c"))
    shown = [("a", "web", THIS_MINUTE, 1), ("b", "web", THIS_MINUTE, 1)]
    assert not capped(sketch, [*shown, ("c", "web", THIS_MINUTE, 9), ("gone", "web", THIS_MINUTE, 9)])
    assert capped(sketch, [*shown, ("b", "web", THIS_MINUTE - 1, 1)])


def test_a_cap_counts_only_its_channels() -> None:
    sketch = Sketch()
    sketch.placement()
    cap = sketch.cap("one", 1, [0], channels=["web", "app"])
    sketch.treatment(sketch.offer("a"), caps=[cap])
    assert capped(sketch, [("a", "app", THIS_MINUTE, 1)])
    assert not capped(sketch, [("a", "email", THIS_MINUTE, 1)])


def test_when_of_a_cap_skips_when_false_and_blocks_when_an_error() -> None:
    sketch = Sketch()
    sketch.placement()
    cap = sketch.cap("one", 1, [0], when=sketch.rule("when", on_missing(sketch)))
    sketch.treatment(sketch.offer("a"), caps=[cap])
    shown = [("a", "web", THIS_MINUTE, 1)]
    slots = {5: impressions_slot(shown)}
    assert outcome(decide(sketch, slots={**slots, 16: int_slot(5)})) == (None, "capped", "one")
    assert outcome(decide(sketch, slots={**slots, 16: int_slot(50)})) == ("a", "ok", None)
    assert outcome(decide(sketch)) == (None, "capped", "one")
    assert outcome(decide(sketch, slots={16: int_slot(5)})) == ("a", "ok", None)


def test_a_cap_of_zero_is_reached_by_nobody() -> None:
    sketch = Sketch()
    sketch.placement()
    sketch.treatment(sketch.offer("a"), caps=[sketch.cap("never", 0, [0])])
    assert outcome(decide(sketch)) == (None, "capped", "never")


@pytest.mark.parametrize("per", [b.PER_OFFER, b.PER_ALL])
def test_counts_of_one_decision_are_forgotten_by_the_next(per: int) -> None:
    """The same bytes, hence the same address, at a later time; then other bytes at the same address."""
    sketch = Sketch()
    sketch.placement()
    sketch.treatment(sketch.offer("a"), caps=[sketch.cap("once", 1, [0], per=per, window_minutes=10)])
    engine = Engine(sketch.content(), 1)
    held = bytearray(record({5: impressions_slot([("a", "web", THIS_MINUTE, 1)])}))
    assert engine.decide(held, (), ask(), NOW).reasons == ("capped",)
    assert engine.decide(held, (), ask(), NOW + 10 * MINUTE).reasons == ("ok",)
    held[:] = record({5: impressions_slot([("b", "web", THIS_MINUTE, 1)])})
    assert engine.decide(held, (), ask(), NOW).reasons == ("ok",)
    held[:] = record({5: impressions_slot([("a", "app", THIS_MINUTE, 1)])})
    assert engine.decide(held, (), ask(), NOW).reasons == ("capped",)


@pytest.mark.parametrize("per", [b.PER_OFFER, b.PER_ALL])
@pytest.mark.parametrize("first", ["open", HERO])
def test_impressions_count_only_where_the_profile_may_be_used(per: int, first: str) -> None:
    sketch = Sketch()
    sketch.placement("open", purpose=-1, allow_repeat=True)
    sketch.placement(HERO, allow_repeat=True)
    cap = sketch.cap("once", 1, [0], per=per)
    offer = sketch.offer("a")
    for placement in (0, 1):
        sketch.treatment(offer, placement, caps=[cap])
    slots = {5: impressions_slot([("a", "web", THIS_MINUTE, 1)])}
    decision = decide(sketch, ask(first, "open", HERO), slots)
    reasons = {row["placement"]: row["reason"] for row in rows_of(decision)}
    assert reasons == {"open": "ok", HERO: "capped"}


def test_counts_of_a_cap_do_not_overflow() -> None:
    sketch = Sketch()
    sketch.placement()
    sketch.treatment(sketch.offer("a"), caps=[sketch.cap("many", 2**62, [0])])
    assert capped(sketch, [("a", f"c{i}", THIS_MINUTE, 2**62) for i in range(3)])


# Step 4: experiments.


def variants(*weights: tuple[str, int]) -> list[b.Variant]:
    return [b.Variant(name, upper, None, {}) for name, upper in weights]


def assigned(sketch: Sketch, **rest: Any) -> list[tuple[str, str, bool]]:
    """(experiment, variant, whether it was stored)."""
    rows: list[tuple[str, str, bool]] = rows_of(decide(sketch, **rest))[0]["experiments"]
    return rows


def test_the_variant_is_the_first_whose_bound_exceeds_the_bucket() -> None:
    drawn = bucket("x", UNIT_KEY)
    for bounds, expected in (((drawn, 1_000_000), "b"), ((drawn + 1, 1_000_000), "a")):
        sketch = simple()
        sketch.experiment("x", variants(("a", bounds[0]), ("b", bounds[1])))
        assert assigned(sketch) == [("x", expected, False)]
        shown = placements_of(decide(sketch))[HERO]["experiments"]
        assert shown == [{"id": "x", "variant": expected}]


def test_traffic_and_layer_leave_units_out() -> None:
    traffic, layer = bucket("x:traffic", UNIT_KEY), bucket("layer", UNIT_KEY)
    only = variants(("only", 1_000_000))
    for fields, taken in (
        ({"traffic": traffic}, False),
        ({"traffic": traffic + 1}, True),
        ({"layer": "layer", "layer_from": layer, "layer_to": layer + 1}, True),
        ({"layer": "layer", "layer_from": layer + 1, "layer_to": 1_000_000}, False),
        ({"layer": "layer", "layer_from": 0, "layer_to": layer}, False),
        ({"placements": []}, False),
    ):
        sketch = simple()
        sketch.experiment("x", only, **fields)
        assert bool(assigned(sketch)) is taken


def test_a_variant_refuses_offers_that_it_does_not_hold() -> None:
    sketch = simple()
    sketch.treatment(sketch.offer("b", priority=5))
    sketch.experiment("y", [b.Variant("only-a", 1_000_000, [0], {})])
    decision = decide(sketch)
    assert outcome(decision)[0] == "a"
    assert rows_of(decision)[0]["refused"] == [("b", "not_eligible", "y", "4")]
    sketch.experiment("x", [b.Variant("nothing", 1_000_000, [], {})])
    assert outcome(decide(sketch)) == (None, "not_eligible", "x")


def test_blocks_of_a_later_experiment_override_those_of_an_earlier_one_and_the_treatments() -> None:
    sketch = simple()
    first, second = sketch.block("first", "1"), sketch.block("second", "2")
    sketch.experiment("b", [b.Variant("v", 1_000_000, None, {"headline": first, "elsewhere": first})])
    assert placements_of(decide(sketch))[HERO]["blocks"]["headline"] == {"block": "first", "value": "1"}
    sketch.experiment("a", [b.Variant("v", 1_000_000, None, {"headline": second})])
    assert placements_of(decide(sketch))[HERO]["blocks"]["headline"]["block"] == "first"
    sketch.experiment("c", [b.Variant("v", 1_000_000, None, {"headline": second})])
    assert placements_of(decide(sketch))[HERO]["blocks"]["headline"]["block"] == "second"
    assert assigned(sketch) == [("a", "v", False), ("b", "v", False), ("c", "v", False)]


def test_experiments_are_reported_with_a_fallback_but_not_if_consent_ended_the_decision() -> None:
    sketch = Sketch()
    sketch.placement()
    sketch.experiment("x", variants(("only", 1_000_000)))
    assert placements_of(decide(sketch))[HERO] | {"blocks": {}} == {
        "offer": None,
        "treatment": None,
        "blocks": {},
        "fallback": True,
        "reason": "no_content",
        "ai": False,
        "experiments": [{"id": "x", "variant": "only"}],
    }
    assert assigned(sketch, consent=None) == []


# Step 5: score.


def model(sketch: Sketch, *features: b.Feature, kind: int = b.MODEL_LINEAR, intercept: float = 0.0) -> int:
    sketch.models.append(b.Model(f"m{len(sketch.models)}", kind, intercept, list(features)))
    return len(sketch.models) - 1


def best(sketch: Sketch, slots: dict[int, Entry] | None = None, **rest: Any) -> str | None:
    return outcome(decide(sketch, slots=slots, **rest))[0]


def test_score_is_propensity_context_weight_value_lever() -> None:
    sketch = simple()
    always = sketch.rule("always", 0)
    sketch.treatment(sketch.offer("b", value=1.5))
    assert best(sketch) == "b"
    sketch.treatment(sketch.offer("c", lever=1.6))
    assert best(sketch) == "c"
    sketch.treatment(sketch.offer("d", weights=[(always, 1.5), (always, 1.5)]))
    assert best(sketch) == "d"
    sketch.treatment(sketch.offer("e", model=model(sketch, intercept=3.0)))
    assert best(sketch) == "e"


@pytest.mark.parametrize(
    ("kind", "slot", "equals", "expected"),
    [
        (b.INT, int_slot(-3), None, -6.0),
        (b.FLOAT, float_slot(0.25), None, 0.5),
        (b.BOOL, bool_slot(True), None, 2.0),
        (b.BOOL, bool_slot(False), None, 0.0),
        (b.STRING, string_slot("red"), "red", 2.0),
        (b.STRING, string_slot("blue"), "red", 0.0),
        (b.STRING, None, "red", 0.0),
        (b.INT, None, None, 14.0),
    ],
)
def test_features(kind: int, slot: Entry | None, equals: str | None, expected: float) -> None:
    """The one score lies between two constants that are `expected` and just above or below it."""
    for margin, winner in ((-1e-9, "m"), (1e-9, "n")):
        sketch = Sketch()
        sketch.placement()
        feature = b.Feature(sketch.attribute("profile.x", kind), 2.0, 7.0, equals)
        sketch.treatment(sketch.offer("m", model=model(sketch, feature)))
        sketch.treatment(sketch.offer("n", value=expected + margin))
        assert best(sketch, {16: slot} if slot else {}) == winner


def test_logistic() -> None:
    for value, winner in ((1 / (1 + math.exp(-0.75)) - 1e-12, "m"), (1 / (1 + math.exp(-0.75)) + 1e-12, "n")):
        sketch = Sketch()
        sketch.placement()
        sketch.treatment(
            sketch.offer("m", model=model(sketch, kind=b.MODEL_LOGISTIC, intercept=0.75), priority=-1)
        )
        sketch.treatment(sketch.offer("n", value=value))
        assert best(sketch) == winner


def test_a_score_that_is_no_number_ranks_last() -> None:
    sketch = Sketch()
    sketch.placement()
    score = sketch.attribute("profile.x", b.FLOAT)
    nan = model(sketch, b.Feature(score, 1e300, 0.0, None), b.Feature(score, -1e300, 0.0, None))
    sketch.treatment(sketch.offer("a", model=nan, priority=9))
    sketch.treatment(sketch.offer("b", value=0.0))
    assert best(sketch, {16: float_slot(1e300)}) == "b"
    assert best(sketch, {16: float_slot(1.0)}) == "a"


# Step 6: arbitration and content.


def test_ties_go_to_the_higher_priority_then_the_smaller_id() -> None:
    sketch = Sketch()
    sketch.placement()
    for name, priority in (("B", 1), ("a", 1), ("b", 2), ("c", 2), ("é", 2)):
        sketch.treatment(sketch.offer(name, priority=priority))
    assert best(sketch) == "b"
    sketch.offers[2] = msgspec.structs.replace(sketch.offers[2], priority=0)
    assert best(sketch) == "c"


def test_the_order_of_all_candidates_is_that_of_a_sort() -> None:
    """Each placement takes the next candidate, since a chosen offer is not repeated."""
    sketch = Sketch()
    names = [f"p{i}" for i in range(12)]
    for name in names:
        sketch.placement(name)
    offers = [
        sketch.offer(f"o{i:02d}", value=[1.0, 2.0][i % 2], priority=[5, -5, 0][i % 3]) for i in range(12)
    ]
    for placement in range(12):
        for offer in offers:
            sketch.treatment(offer, placement)
    decision = decide(sketch, ask(*names))
    expected = sorted(sketch.offers, key=lambda offer: (-offer.value, -offer.priority, offer.id))
    assert [row["offer"] for row in rows_of(decision)] == [offer.id for offer in expected]


def test_exclusivity() -> None:
    sketch = Sketch()
    for name in ("one", "two"):
        sketch.placement(name)
    for name, priority, group in (("a", 3, 0), ("b", 2, 0), ("c", 1, -1)):
        offer = sketch.offer(name, priority=priority, exclusive_group=group)
        sketch.treatment(offer, 0)
        sketch.treatment(offer, 1)
    decision = decide(sketch, ask("one", "two"))
    assert [row["offer"] for row in rows_of(decision)] == ["a", "c"]
    assert rows_of(decision)[1]["refused"] == [
        ("a", "suppressed", "exclusivity", "6a"),
        ("b", "suppressed", "exclusivity", "6a"),
    ]
    # The next decision starts afresh.
    engine = Engine(sketch.content(), 1)
    for _ in range(2):
        assert [row["offer"] for row in rows_of(engine.decide(record(), (), ask("two"), NOW))] == ["a"]


def test_allow_repeat_allows_the_same_offer_again() -> None:
    sketch = Sketch()
    for name in ("one", "two"):
        sketch.placement(name, allow_repeat=True)
        sketch.treatment(0 if sketch.offers else sketch.offer("a"), len(sketch.placements) - 1)
    assert [row["offer"] for row in rows_of(decide(sketch, ask("one", "two")))] == ["a", "a"]


def content_of(
    kind: int, slot: Entry | None, attribute: int, value: Any = None, **rest: Any
) -> tuple[Any, str, str | None]:
    """(value shown, reason, cause) of a treatment whose one slot shows an attribute."""
    sketch = Sketch()
    sketch.placement(slots=[("s", kind)])
    block = sketch.block("shown", value, kind, attribute=sketch.attribute("profile.x", attribute), **rest)
    sketch.treatment(sketch.offer("a"), blocks=[block])
    decision = decide(sketch, slots={16: slot} if slot else {})
    blocks = placements_of(decision)[HERO]["blocks"]
    _, reason, cause = outcome(decision)
    return blocks["s"]["value"] if reason == "ok" else None, reason, cause


@pytest.mark.parametrize(
    ("attribute", "slot", "text"),
    [
        (b.STRING, string_slot("Ada"), "Ada"),
        (b.INT, int_slot(-42), "-42"),
        (b.INT, int_slot(-(2**63)), "-9223372036854775808"),
        (b.FLOAT, float_slot(3.0), "3"),
        (b.FLOAT, float_slot(0.1), "0.1"),
        (b.FLOAT, float_slot(1e21), "1e+21"),
        (b.FLOAT, float_slot(1e-7), "1e-07"),
        (b.FLOAT, float_slot(1234567.0), "1234567"),
        (b.FLOAT, float_slot(5e-324), "5e-324"),
        (b.BOOL, bool_slot(True), "true"),
        (b.TIMESTAMP, time_slot(NOW + 5), "2026-11-23T17:43:29.005Z"),
    ],
)
def test_values_in_a_text(attribute: int, slot: Entry, text: str) -> None:
    assert content_of(b.SLOT_TEXT, slot, attribute, prefix="<", suffix=">") == (f"<{text}>", "ok", None)


@pytest.mark.parametrize(
    ("kind", "attribute", "slot", "value"),
    [
        (b.SLOT_NUMBER, b.INT, int_slot(7), 7),
        (b.SLOT_NUMBER, b.FLOAT, float_slot(0.5), 0.5),
        (b.SLOT_NUMBER, b.FLOAT, float_slot(2.0), 2.0),
        (b.SLOT_BOOL, b.BOOL, bool_slot(False), False),
        (b.SLOT_BOOL, b.BOOL, bool_slot(True), True),
    ],
)
def test_typed_slots_hold_plain_values(kind: int, attribute: int, slot: Entry, value: object) -> None:
    shown = content_of(kind, slot, attribute)[0]
    assert (shown, type(shown)) == (value, type(value))


def test_a_missing_attribute_shows_the_default_or_refuses() -> None:
    assert content_of(b.SLOT_TEXT, None, b.STRING, "you", prefix="Dear ") == ("Dear you", "ok", None)
    assert content_of(b.SLOT_TEXT, None, b.STRING) == (None, "no_content", "shown")
    assert content_of(b.SLOT_NUMBER, None, b.INT, 0) == (0, "ok", None)
    assert content_of(b.SLOT_NUMBER, float_slot(math.inf), b.FLOAT) == (None, "no_content", "shown")
    assert content_of(b.SLOT_TEXT, float_slot(math.inf), b.FLOAT) == (None, "no_content", "shown")
    assert content_of(b.SLOT_TEXT, time_slot(2**52), b.TIMESTAMP) == (None, "no_content", "shown")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://shop.example/a?b=c#d", True),
        ("http://shop.example", True),
        ("/", True),
        ("/a//b", True),
        ("//evil.example", False),
        ("/\\evil.example", False),
        ("/\t/evil.example", False),
        ("https:/evil", False),
        ("HTTPS://shop.example", False),
        ("javascript:alert(1)", False),
        (" https://shop.example", False),
        ("", False),
    ],
)
def test_urls_are_checked(text: str, shown: bool) -> None:
    expected = (text, "ok", None) if shown else (None, "no_content", "shown")
    assert content_of(b.SLOT_URL, string_slot(text), b.STRING) == expected
    sketch = Sketch()
    sketch.placement(slots=[("s", b.SLOT_URL)])
    sketch.treatment(sketch.offer("a"), blocks=[sketch.block("constant", text, b.SLOT_URL)])
    assert outcome(decide(sketch))[1] == ("ok" if shown else "no_content")


def test_text_of_2048_code_points_is_the_longest() -> None:
    text = "é" * 512
    for more, reason in ((1536, "ok"), (1537, "no_content")):
        assert content_of(b.SLOT_TEXT, string_slot(text), b.STRING, prefix="x" * more)[1] == reason


def test_a_slot_without_a_block_is_no_content_by_its_name() -> None:
    sketch = Sketch()
    sketch.placement(slots=[("title", b.SLOT_TEXT), ("link", b.SLOT_URL)], fallback=[-1, -1])
    sketch.treatment(sketch.offer("a"), blocks=[sketch.block("t", "T"), -1])
    decision = decide(sketch)
    assert outcome(decision) == (None, "no_content", "link")
    assert placements_of(decision)[HERO]["blocks"] == {}


def test_the_next_candidate_is_tried_and_leaves_no_trace_in_the_body() -> None:
    sketch = Sketch()
    sketch.placement(slots=[("title", b.SLOT_TEXT), ("note", b.SLOT_TEXT)])
    missing = sketch.block("needs-name", attribute=sketch.attribute("profile.name", b.STRING))
    plain = sketch.block("plain", "plain")
    for name, priority in (("a", 9), ("b", 8), ("c", 7)):
        blocks = [plain, plain] if name == "c" else [plain, missing]
        sketch.treatment(sketch.offer(name, priority=priority), blocks=blocks)
    decision = decide(sketch)
    assert placements_of(decision)[HERO]["offer"] == "c"
    assert rows_of(decision)[0]["refused"] == [
        ("a", "no_content", "needs-name", "6b"),
        ("b", "no_content", "needs-name", "6b"),
    ]


def test_block_tag_rules_look_at_resolved_blocks_exclusions_first() -> None:
    sketch = Sketch()
    sketch.placement(slots=[("one", b.SLOT_TEXT), ("two", b.SLOT_TEXT)])
    tagged, other = sketch.block("tagged", "t", tags=["alcohol"]), sketch.block("other", "o", tags=["x"])
    plain = sketch.block("plain", "p")
    missing = sketch.rule("missing", on_missing(sketch))
    always = sketch.rule("always", 0)
    sketch.guard("a-brand", b.BRAND_SAFETY, always, block_tags=["alcohol"], blocks=[tagged])
    sketch.guard("z-exclusion", b.EXCLUSION, missing, block_tags=["x"], blocks=[other])
    sketch.treatment(sketch.offer("both", priority=3), blocks=[tagged, other])
    sketch.treatment(sketch.offer("one", priority=2), blocks=[tagged, plain])
    sketch.treatment(sketch.offer("safe", priority=1), blocks=[plain, plain])
    decision = decide(sketch)
    assert outcome(decision)[0] == "safe"
    assert rows_of(decision)[0]["refused"] == [
        ("both", "suppressed", "z-exclusion", "6c"),
        ("one", "brand_safety", "a-brand", "6c"),
    ]
    assert outcome(decide(sketch, slots={16: int_slot(50)}))[0] == "safe"


def test_a_variants_block_is_what_tag_rules_see() -> None:
    sketch = simple()
    tagged = sketch.block("tagged", "t", tags=["alcohol"])
    sketch.guard("g", b.EXCLUSION, sketch.rule("always", 0), block_tags=["alcohol"], blocks=[tagged])
    assert outcome(decide(sketch))[0] == "a"
    sketch.experiment("x", [b.Variant("v", 1_000_000, None, {"headline": tagged})])
    assert outcome(decide(sketch)) == (None, "suppressed", "g")


# Steps 7 and 8: the reason of a fallback, the label.


def test_the_reason_is_that_of_the_candidate_that_came_furthest() -> None:
    sketch = Sketch()
    sketch.placement()
    never = sketch.formula("never", 1, 0)
    always = sketch.rule("always", 0)
    guard = sketch.guard("g", b.SUPPRESSION, always)
    brand = sketch.guard("s", b.BRAND_SAFETY, always)
    cap = sketch.cap("c", 0, [])
    expected: list[tuple[str, str, str]] = []
    stages: list[tuple[dict[str, Any], dict[str, Any], tuple[str, str]]] = [
        ({"eligibility": never, "priority": 1}, {}, ("not_eligible", "f")),
        ({"eligibility": never, "priority": 9}, {}, ("not_eligible", "e")),
        ({}, {"suppressions": [guard]}, ("suppressed", "g")),
        ({}, {"caps": [cap]}, ("capped", "c")),
        ({}, {"brand_safety": [brand]}, ("brand_safety", "s")),
        ({}, {"blocks": [-1]}, ("no_content", "headline")),
    ]
    # Ids descend, and offers must ascend: build from the last to the first and ask after each.
    for count in range(1, len(stages) + 1):
        sketch.offers.clear()
        sketch.treatments.clear()
        sketch.placements[0].treatments.clear()
        for name, (offer, treatment, _) in reversed(list(zip("fedcba", stages[:count], strict=False))):
            sketch.treatment(sketch.offer(name, **offer), **treatment)
        _, reason, cause = outcome(decide(sketch))
        expected.append((reason, cause or "", ""))
        assert (reason, cause) == stages[count - 1][2]


def test_at_an_equal_step_the_smaller_id_gives_the_reason() -> None:
    sketch = Sketch()
    sketch.placement()
    always = sketch.rule("always", 0)
    first = sketch.guard("first", b.SUPPRESSION, always, "open_ticket")
    second = sketch.guard("second", b.SUPPRESSION, always)
    sketch.treatment(sketch.offer("a"), suppressions=[first])
    sketch.treatment(sketch.offer("b"), suppressions=[second])
    assert outcome(decide(sketch)) == (None, "open_ticket", "first")


def test_ai_is_said_if_a_scored_candidate_has_a_model_and_something_is_shown() -> None:
    sketch = simple()
    assert not rows_of(decide(sketch))[0]["ai"]
    never = sketch.formula("never", 1, 0)
    sketch.treatment(sketch.offer("b", model=model(sketch), eligibility=never))
    assert not rows_of(decide(sketch))[0]["ai"]
    sketch.treatment(sketch.offer("c", model=model(sketch), value=0.0, priority=-9))
    decision = decide(sketch)
    assert outcome(decision)[0] == "a"
    assert rows_of(decision)[0]["ai"]
    sketch.treatments[0] = msgspec.structs.replace(sketch.treatments[0], blocks=[-1])
    sketch.treatments[2] = msgspec.structs.replace(sketch.treatments[2], blocks=[-1])
    assert not rows_of(decide(sketch))[0]["ai"]


# Overlay, fallback, faults, log.


def grant(at_ms: int = NOW - 5, state: str = "granted") -> Event:
    person = Identifier("anon", bytes(16), True)
    consent = Consent("personalization", state, "v1", "banner")
    return Event(f"m-{at_ms}-{state}", "consent", "Consent", at_ms, at_ms, (person,), {}, {}, consent)


def test_the_overlay_is_folded_before_deciding() -> None:
    engine = Engine(simple().content(), 1)
    decision = engine.decide(None, [grant()], ask(named=True), NOW)
    assert decision.reasons == ("ok",)
    profile = json.loads(decision.body)["profile"]
    assert profile == {"sequence": 0, "age_ms": 0, "stale": False, "starter": False}
    withdrawn = engine.decide(record(), [grant(NOW - 1, "withdrawn")], ask(), NOW)
    assert withdrawn.reasons == ("no_consent",)
    assert json.loads(withdrawn.body)["profile"]["sequence"] == 7
    assert json.loads(withdrawn.body)["profile"]["age_ms"] == 1000


def test_an_impression_in_the_overlay_counts_against_a_cap() -> None:
    sketch = Sketch()
    sketch.placement()
    sketch.treatment(sketch.offer("a"), caps=[sketch.cap("once", 1, [0])])
    engine = Engine(sketch.content(), 1)
    shown = {
        "placement": HERO,
        "offer": "a",
        "treatment": "a@home.hero",
        "channel": "web",
        "decision_id": "x",
    }
    person = Identifier("anon", bytes(16), True)
    event = Event("m-1", "track", "Impression", NOW - 9, NOW - 9, (person,), shown)
    assert engine.decide(record(), (), ask(), NOW).reasons == ("ok",)
    assert engine.decide(record(), [event], ask(), NOW).reasons == ("capped",)
    assert engine.decide(record(), (), ask(), NOW).reasons == ("ok",)


@pytest.mark.parametrize("reason", ["deadline", "overload", "error"])
def test_fallback_answers_every_placement_generically(reason: str) -> None:
    sketch = simple()
    sketch.experiment("x", variants(("only", 1_000_000)))
    decision = Engine(sketch.content(), 1).fallback(ask(HERO, "nowhere"), NOW, reason)
    shown = placements_of(decision)
    assert shown[HERO] == {
        "offer": None,
        "treatment": None,
        "blocks": {"headline": {"block": "generic-home.hero-headline", "value": "Welcome"}},
        "fallback": True,
        "reason": reason,
        "ai": False,
        "experiments": [],
    }
    assert decision.reasons == (reason, "unknown_placement")
    assert (decision.known, decision.fallbacks) == (1, 2)
    assert json.loads(decision.body)["profile"]["starter"]


class Treacherous(str):
    """A key that hashes like the attribute's name and fails when compared."""

    __slots__ = ()

    def __hash__(self) -> int:
        return hash("device")

    def __eq__(self, other: object) -> bool:
        raise ZeroDivisionError


def asking_the_device(sketch: Sketch) -> None:
    """Let the first offer's score read the context, whatever comes of it."""
    asked = sketch.rule("asked", sketch.condition(b.OP_HAS, sketch.attribute("context.device", b.STRING)))
    sketch.offers[0] = msgspec.structs.replace(sketch.offers[0], weights=[(asked, 1.0)])


def test_a_fault_inside_a_placement_is_its_error_alone() -> None:
    sketch = simple()
    asking_the_device(sketch)
    sketch.placement("shut", purpose=1)
    engine = Engine(sketch.content(), 1)
    decision = engine.decide(record(), (), ask("shut", HERO, context={Treacherous("other"): 1}), NOW)
    assert decision.reasons == ("no_consent", "error")
    assert placements_of(decision)[HERO]["blocks"]["headline"]["value"] == "Welcome"
    assert engine.decide(record(), (), ask(), NOW).reasons == ("ok",)


def test_log_row_says_who_was_refused_and_why() -> None:
    sketch = Sketch()
    sketch.placement()
    never = sketch.formula("never", 1, 0)
    for i in range(40):
        sketch.treatment(sketch.offer(f"o{i:02d}", eligibility=never, priority=i))
    decision = decide(sketch)
    row = dict(zip(LOG_FIELDS, decision.log_row(), strict=True))
    assert row["decision_id"] == "d-1"
    assert (row["now_ms"], row["revision"], row["sequence"], row["age_ms"]) == (NOW, 1, 7, 1000)
    assert (row["starter"], row["stale"], row["fallbacks"]) == (False, False, 1)
    placement = rows_of(decision)[0]
    assert placement["placement"] == HERO
    assert placement["consent"] == ("personalization", "granted", NOW - DAY)
    assert placement["refused_count"] == 40
    assert [refused[0] for refused in placement["refused"]] == [
        f"o{i:02d}" for i in range(39, 39 - REFUSED_LOGGED_MAX, -1)
    ]
    packed = msgspec.msgpack.encode(decision.log_row())
    assert msgspec.msgpack.decode(packed)[0] == "d-1"


def test_reason_numbers_are_those_of_the_closed_list() -> None:
    """The kernel has them as C constants."""
    sketch = simple()
    engine = Engine(sketch.content(), 1)
    for reason in REASONS:
        assert engine.fallback(ask(), NOW, reason).reasons == (reason,)
    assert decide(sketch).reasons == ("ok",)


def test_two_engines_and_repeated_decisions_give_equal_bytes() -> None:
    sketch = simple()
    first, second = Engine(sketch.content(), 1), Engine(sketch.content(), 1)
    bodies = {
        engine.decide(record(), (), ask(), NOW).body for engine in (first, second, first) for _ in range(3)
    }
    assert len(bodies) == 1


def test_an_engine_in_use_refuses_a_second_caller() -> None:
    sketch = simple()
    asking_the_device(sketch)
    engine = Engine(sketch.content(), 1)
    caught: list[str] = []

    class Reentrant(str):
        __slots__ = ()

        def __hash__(self) -> int:
            return hash("device")

        def __eq__(self, other: object) -> bool:
            try:
                engine.decide(record(), (), ask(), NOW)
            except RuntimeError as error:
                caught.append(str(error))
            return False

    assert engine.decide(record(), (), ask(context={Reentrant("k"): 1}), NOW).reasons == ("ok",)
    assert set(caught) == {"the engine is deciding in another thread"}


def test_an_expired_score_falls_back_to_the_attributes_default() -> None:
    sketch = simple()
    risk = sketch.attribute("profile.risk", b.FLOAT, reading=b.READ_SCORE, default=0.5)
    block = sketch.block("risk", kind=b.SLOT_TEXT, attribute=risk)
    sketch.treatments[0] = msgspec.structs.replace(sketch.treatments[0], blocks=[block])
    for ttl, text in ((11, "0.25"), (10, "0.5")):
        decision = decide(sketch, slots={16: score_slot(0.25, NOW - 10, ttl)})
        assert placements_of(decision)[HERO]["blocks"]["headline"]["value"] == text
