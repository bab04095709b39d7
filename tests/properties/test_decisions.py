"""Whole decisions of the core against the oracle, and what must not matter to them."""

import json
from dataclasses import replace
from typing import Any

import msgspec
from hypothesis import assume, given
from hypothesis import strategies as st

from core.answers import LOG_FIELDS, LOG_PLACEMENT_FIELDS, REFUSED_LOGGED_MAX
from core.answers import Decision as CoreDecision
from core.decide import Engine
from core.record import project
from tests.oracle.decide import Decision, verdict
from tests.properties.chance import Chance
from tests.properties.faults import compiles
from tests.properties.histories import NOW_MS, split
from tests.properties.profiles import examples
from tests.properties.worlds import PLACEMENTS, histories, questions
from tests.vectors.build import REVISION, ask_oracle, build, compiled, oracle_question
from tests.vectors.load import Json, Vector

EDGE_PLACEMENTS = frozenset(PLACEMENTS) - {"mail"}


def engine_of(vector: Vector) -> Engine:
    compiles(vector.catalogue)
    return Engine(compiled(vector.catalogue)[0], REVISION)


def ask_core(engine: Engine, vector: Vector, *, trace: bool = False) -> CoreDecision:
    built = build(vector)
    request = msgspec.structs.replace(built.request, trace=trace)
    return engine.decide(built.record, built.overlay, request, built.now_ms, at_edge=built.at_edge)


@given(questions(), histories())
@examples(250)
def test_decisions_are_the_same(vector: Vector, seen_since: list[Any]) -> None:
    engine = engine_of(vector)
    for overlay in ([], seen_since):
        asked = replace(vector, overlay=overlay)
        decision = ask_core(engine, asked)
        expected = ask_oracle(asked, compiled(vector.catalogue)[0])
        assert json.loads(decision.body) == json.loads(expected.body)
        assert decision.body == expected.body
        assert decision.reasons == tuple(answer.reason for answer in expected.answers.values())
        assert logged(decision) == refusals_and_causes(expected)


@given(questions(), st.data())
@examples(80)
def test_it_does_not_matter_where_and_in_which_order_events_were_folded(
    vector: Vector, data: st.DataObject
) -> None:
    assume(vector.profile is not None)
    assert vector.profile is not None
    engine = engine_of(vector)
    stored, seen_since = split(Chance(data.draw), vector.profile.events)
    parted = replace(vector, profile=replace(vector.profile, events=stored), overlay=seen_since)
    assert ask_core(engine, parted).body == ask_core(engine, vector).body


@given(questions())
@examples(80)
def test_hub_and_edge_answer_edge_placements_alike(vector: Vector) -> None:
    asked = tuple(placement for placement in vector.placements if placement in EDGE_PLACEMENTS)
    assume(asked)
    engine = engine_of(vector)
    built = build(replace(vector, placements=asked))
    kept = frozenset(engine.document.edge_slots)
    projected = None if built.record is None else project(built.record, kept)
    at_hub = engine.decide(built.record, built.overlay, built.request, built.now_ms, at_edge=False)
    at_edge = engine.decide(projected, built.overlay, built.request, built.now_ms, at_edge=True)
    assert at_edge.body == at_hub.body


@given(questions(), questions())
@examples(50)
def test_an_engine_remembers_nothing_of_its_last_decision(vector: Vector, other: Vector) -> None:
    engine = engine_of(vector)
    first = ask_core(engine, vector)
    ask_core(engine, replace(other, catalogue=vector.catalogue))
    again = ask_core(engine, vector)
    assert again.body == first.body
    assert again.log_row() == first.log_row()


@given(questions())
@examples(60)
def test_a_trace_changes_nothing_and_tells_what_rules_came_to(vector: Vector) -> None:
    engine = engine_of(vector)
    built = build(vector)
    request = msgspec.structs.replace(built.request, trace=True)
    traced = engine.decide(built.record, built.overlay, request, built.now_ms, at_edge=built.at_edge)
    plain = ask_core(engine, vector).body
    assert traced.body.startswith(plain[:-1] + b',"trace":[')
    rows = json.loads(traced.body)["trace"]
    assert {row["placement"] for row in rows} == set(vector.placements)
    for row in rows:
        expression = expression_of(row, vector.catalogue)
        if expression is not None:
            assert row["verdict"] == verdict(*oracle_question(vector), row["placement"], expression), row


def expression_of(row: Json, catalogue: Json) -> str | None:
    """The expression whose verdict a row of the trace tells; None for rows about other things."""
    offers = {offer["id"]: offer for offer in catalogue["offers"]}
    rules = {rule["id"]: rule for rule in catalogue["rules"]}
    if row["step"] == "eligibility" and "valid" not in row["detail"]:
        return offers[row["id"]]["eligibility"] or "true"
    if row["step"] in ("suppression", "brand_safety", "block_tags"):
        expression: str = rules[row["id"]]["when"]
        return expression
    return None


def logged(decision: CoreDecision) -> dict[str, Any]:
    """By placement: the cause, the refusals, and how a bandit chose."""
    row = dict(zip(LOG_FIELDS, decision.log_row(), strict=True))
    assert row["now_ms"] == NOW_MS
    answers = [dict(zip(LOG_PLACEMENT_FIELDS, values, strict=True)) for values in row["placements"]]
    for answer in answers:
        assert answer["refused_count"] == len(answer["refused"]) <= REFUSED_LOGGED_MAX
    return {
        answer["placement"]: (
            answer["cause"] or "",
            sorted(answer["refused"]),
            answer["bandit"],
            answer["diversity"],
            answer["filled"],
        )
        for answer in answers
    }


def refusals_and_causes(expected: Decision) -> dict[str, Any]:
    return {
        placement: (
            answer.cause,
            sorted((one.offer, one.reason, one.cause, one.step) for one in answer.refused),
            answer.bandit,
            answer.diversity,
            answer.filled,
        )
        for placement, answer in expected.answers.items()
    }
