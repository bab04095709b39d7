"""The trace: a row for every step that was asked, with the values that rules saw."""

import json
from typing import Any

import msgspec

from core import bundle as b
from core.decide import Engine, Request
from core.trace import ROWS_MAX
from tests.core.sketch import (
    DAY,
    NOW,
    UNIT_KEY,
    Entry,
    Sketch,
    float_slot,
    impressions_slot,
    int_slot,
    record,
    string_slot,
    strings_slot,
    time_slot,
)

HERO = "home.hero"


def trace(
    sketch: Sketch, slots: dict[int, Entry] | None = None, *placements: str, **rest: Any
) -> list[dict[str, Any]]:
    """The rows, with the placement left out where there is but one; the body is the untraced one besides."""
    engine = Engine(sketch.content(), 1)
    request = Request("d", placements or (HERO,), {"device": "mobile"}, UNIT_KEY)
    traced = msgspec.structs.replace(request, trace=True)
    held = record(slots, **rest)
    plain = engine.decide(held, (), request, NOW).body
    body = engine.decide(held, (), traced, NOW).body
    assert body.startswith(plain[:-1] + b',"trace":[')
    assert engine.decide(held, (), request, NOW).body == plain
    rows: list[dict[str, Any]] = json.loads(body)["trace"]
    assert all(list(row) == ["placement", "step", "id", "verdict", "detail"] for row in rows)
    return rows


def of_step(rows: list[dict[str, Any]], step: str) -> list[tuple[str, str, dict[str, Any]]]:
    return [(row["id"], row["verdict"], row["detail"]) for row in rows if row["step"] == step]


def test_diversity_tells_what_it_left_of_each_score() -> None:
    sketch = Sketch()
    sketch.placement("first")
    sketch.placement("second", diversity=0.5)
    for name, value, tags in (("a", 4.0, ["red"]), ("b", 3.0, ["red", "blue"]), ("c", 1.5, ["blue"])):
        offer = sketch.offer(name, value=value, tags=tags)
        for placement in (0, 1):
            sketch.treatment(offer, placement)
    rows = trace(sketch, None, "first", "second")
    assert of_step([row for row in rows if row["placement"] == "first"], "diversity") == []
    assert of_step(rows, "diversity") == [
        ("a", "true", {"relevance": 1.0, "similarity": 1.0, "rank": 0.0}),
        ("b", "true", {"relevance": 1.0, "similarity": 0.5, "rank": 0.25}),
        ("c", "true", {"relevance": 0.5, "similarity": 0.0, "rank": 0.25}),
    ]
    # At an equal rank the score decides.
    assert [row["detail"]["offer"] for row in rows if row["step"] == "result"] == ["a", "b"]


def test_slots_filled_by_tags_tell_their_block_and_whether_it_was_drawn() -> None:
    sketch = Sketch()
    sketch.placement(slots=[("headline", b.SLOT_TEXT), ("more", b.SLOT_TEXT)])
    snow, hail = sketch.block("snow", "Snow"), sketch.block("hail", "Hail")
    entries = [sketch.fill([hail, snow], sampled=True), sketch.fill([snow])]
    sketch.treatment(sketch.offer("a"), blocks=entries)
    rows = trace(sketch)
    [(_, drawn, detail), (_, taken, other)] = of_step(rows, "fill")
    assert (drawn, detail["offer"], detail["block"] in ("snow", "hail")) == ("drawn", "a", True)
    assert (taken, other) == ("taken", {"offer": "a", "block": "snow"})
    [result] = of_step(rows, "result")
    assert result[2]["ai"] is True


def test_verdicts_come_from_both_planes_and_name_the_missing_attribute() -> None:
    sketch = Sketch()
    sketch.placement()
    orders = sketch.attribute("profile.orders", b.INT)
    many = sketch.condition(b.OP_RANGE, orders, lo=3, hi=9)
    sketch.rules.append(b.Rule("eligibility:a", 2 * many, 2 * many + 1, [orders], "profile.orders >= 3"))
    # A rule that only its false plane decides: the other one is evaluated for the trace alone.
    sketch.nodes.append(b.Node(b.NODE_OR, [2 * many]))
    sketch.nodes.append(b.Node(b.NODE_AND, [2 * many + 1]))
    sketch.rules.append(b.Rule("suppression:s", 4, 5, [orders], "profile.orders >= 3"))
    guard = sketch.guard("s", b.SUPPRESSION, 1)
    sketch.treatment(sketch.offer("a", eligibility=0))
    sketch.treatment(sketch.offer("b"), suppressions=[guard])
    for slots, verdict, shown in (
        ({16: int_slot(5)}, "true", 5),
        ({16: int_slot(1)}, "false", 1),
        ({}, "error", "missing"),
    ):
        rows = trace(sketch, slots)
        detail = {"profile.orders": shown}
        assert of_step(rows, "eligibility") == [("a", verdict, detail), ("b", "true", {})]
        assert of_step(rows, "suppression") == [("s", verdict, detail)]


def test_a_decision_is_told_from_consent_to_result() -> None:
    sketch = Sketch()
    sketch.placement(max_age_ms=DAY)
    sketch.holdouts.append(b.Holdout("everyone-else", "h", 0, []))
    always = sketch.rule("always", 0)
    cap = sketch.cap("once", 1, [0, 1], when=always)
    brand = sketch.guard("brand", b.BRAND_SAFETY, sketch.formula("never", 1, 0))
    tagged = sketch.block("wine", "Wine", tags=["alcohol"])
    sketch.guard("sober", b.EXCLUSION, always, block_tags=["alcohol"], blocks=[tagged])
    sketch.models.append(b.Model("m", b.MODEL_LINEAR, 2.0, []))
    sketch.experiment("x", [b.Variant("v", 1_000_000, [0, 1, 2], {})], eligibility=always)
    sketch.treatment(sketch.offer("a"), caps=[cap])
    sketch.treatment(sketch.offer("b", model=0, weights=[(always, 1.5)]), caps=[cap], brand_safety=[brand])
    sketch.treatment(sketch.offer("c", value=9.0), blocks=[tagged])
    sketch.treatment(sketch.offer("d"))
    rows = trace(sketch, {5: impressions_slot([("a", "web", NOW // 60_000, 1)])})
    told = [(row["step"], row["id"], row["verdict"]) for row in rows]
    assert told == [
        ("consent", "personalization", "granted"),
        ("holdout", "everyone-else", "false"),
        ("staleness", HERO, "false"),
        ("eligibility", "a", "true"),
        ("caps", "once", "reached"),
        ("candidate", "a", "capped"),
        ("eligibility", "b", "true"),
        ("caps", "once", "passed"),
        ("brand_safety", "brand", "false"),
        ("eligibility", "c", "true"),
        ("eligibility", "d", "true"),
        ("experiment", "x", "v"),
        ("candidate", "d", "not_eligible"),
        ("weight", "b", "true"),
        ("score", "b", "true"),
        ("score", "c", "true"),
        ("block_tags", "sober", "true"),
        ("candidate", "c", "suppressed"),
        ("result", HERO, "ok"),
    ]
    assert of_step(rows, "candidate") == [
        ("a", "capped", {"step": "3c", "cause": "once"}),
        ("d", "not_eligible", {"step": "4", "cause": "x"}),
        ("c", "suppressed", {"step": "6c", "cause": "sober"}),
    ]
    assert of_step(rows, "score") == [
        ("b", "true", {"score": 3.0, "model": "m"}),
        ("c", "true", {"score": 9.0}),
    ]
    assert of_step(rows, "result") == [(HERO, "ok", {"offer": "b", "cause": None, "ai": True})]


def test_values_are_shown_as_people_read_them() -> None:
    sketch = Sketch()
    sketch.placement()
    for name, kind in (("i", b.INT), ("f", b.FLOAT), ("s", b.STRING), ("t", b.TIMESTAMP), ("l", b.STRINGS)):
        sketch.condition(b.OP_HAS, sketch.attribute(f"profile.{name}", kind))
    sketch.condition(b.OP_HAS, sketch.attribute("context.device", b.STRING))
    sketch.treatment(sketch.offer("a", eligibility=sketch.rule("eligibility:a", 1)))
    slots = {
        16: int_slot(-4),
        17: float_slot(0.5),
        18: string_slot("käse"),
        19: time_slot(NOW),
        20: strings_slot({"b": NOW, "a": NOW}),
    }
    [(_, _, detail)] = of_step(trace(sketch, slots), "eligibility")
    assert detail == {
        "profile.i": -4,
        "profile.f": 0.5,
        "profile.s": "käse",
        "profile.t": "2026-11-23T17:43:29.000Z",
        "profile.l": ["a", "b"],
        "context.device": "mobile",
    }


def test_nothing_of_the_profile_is_told_without_consent_or_purpose() -> None:
    sketch = Sketch()
    sketch.placement()
    sketch.placement("open", purpose=-1)
    has = sketch.rule("has", sketch.condition(b.OP_HAS, sketch.attribute("profile.name", b.STRING)))
    offer = sketch.offer("a", eligibility=has)
    sketch.treatment(offer, 0)
    sketch.treatment(offer, 1)
    rows = trace(sketch, {16: string_slot("Ada")}, HERO, "open", "nowhere", consent=None)
    assert [(row["placement"], row["step"], row["verdict"]) for row in rows] == [
        (HERO, "consent", "missing"),
        (HERO, "result", "no_consent"),
        ("open", "consent", "true"),
        ("open", "eligibility", "false"),
        ("open", "result", "not_eligible"),
        ("nowhere", "result", "unknown_placement"),
    ]
    assert rows[3]["detail"] == {"profile.name": "missing"}


def test_a_holdout_ends_the_trace() -> None:
    sketch = Sketch()
    sketch.placement()
    sketch.holdouts += [
        b.Holdout("a", "a", 0, []),
        b.Holdout("b", "b", 1_000_000, []),
        b.Holdout("c", "c", 0, []),
    ]
    rows = trace(sketch)
    assert [(row["id"], row["verdict"]) for row in rows[1:]] == [
        ("a", "false"),
        ("b", "true"),
        (HERO, "holdout"),
    ]


def test_a_fallback_has_a_trace_of_its_result() -> None:
    sketch = Sketch()
    sketch.placement()
    request = Request("d", (HERO,), {}, UNIT_KEY, trace=True)
    body = json.loads(Engine(sketch.content(), 1).fallback(request, NOW, "deadline").body)
    assert [(row["step"], row["verdict"]) for row in body["trace"]] == [("result", "deadline")]


def test_a_long_trace_is_cut() -> None:
    sketch = Sketch()
    sketch.placement()
    names = [HERO, *(f"p{i}" for i in range(3))]
    for name in names[1:]:
        sketch.placement(name)
    for placement in range(4):
        for i in range(600):
            offer = i if placement else sketch.offer(f"o{i:04d}")
            sketch.treatment(offer, placement, [-1])
    rows = trace(sketch, None, *names)
    assert len(rows) == ROWS_MAX + 1
    assert (rows[-1]["step"], rows[-1]["verdict"]) == ("trace", "cut")
