"""Every behaviour vector through the oracle and through the core: the same bytes, for the same reasons."""

import json
from dataclasses import replace
from typing import Any

import pytest

from core.answers import Decision as CoreDecision
from core.decide import LOG_FIELDS, LOG_PLACEMENT_FIELDS, Engine
from tests.oracle.decide import Answer, Decision
from tests.vectors.build import REVISION, Built, ask_oracle, build, expected_body
from tests.vectors.load import Vector, load_vectors

VECTORS = load_vectors()


@pytest.mark.parametrize("vector", VECTORS, ids=str)
def test_oracle_decides_as_the_vector_says(vector: Vector) -> None:
    built = build(vector)
    decision = ask_oracle(vector, built.bundle)
    assert_body(decision.body, expected_body(vector, built.bundle))
    assert causes_of(decision) == vector.causes
    assert refusals_of(decision) == vector.refused


@pytest.mark.parametrize("vector", VECTORS, ids=str)
def test_core_decides_as_the_vector_says(vector: Vector) -> None:
    built = build(vector)
    engine = Engine(built.bundle, REVISION)
    decision = ask_core(engine, built, vector.instead)
    assert_body(decision.body, expected_body(vector, built.bundle))
    rows = placement_rows(decision)
    assert {placement: row["cause"] for placement, row in rows.items() if row["cause"]} == vector.causes
    logged = {name: sorted(row[:3] for row in row["refused"]) for name, row in rows.items() if row["refused"]}
    assert logged == {name: sorted(refused) for name, refused in vector.refused.items()}


@pytest.mark.parametrize("vector", VECTORS, ids=str)
def test_core_decides_alike_wherever_the_events_were_folded(vector: Vector) -> None:
    """Record and overlay are one history: what the record lacks may stand in the overlay."""
    built = build(vector)
    engine = Engine(built.bundle, REVISION)
    for part in split_histories(vector):
        moved = build(part)
        decision = ask_core(engine, moved, vector.instead)
        assert_body(decision.body, expected_body(vector, built.bundle))


def ask_core(engine: Engine, built: Built, instead: str) -> CoreDecision:
    if instead:
        return engine.fallback(built.request, built.now_ms, instead, at_edge=built.at_edge)
    return engine.decide(built.record, built.overlay, built.request, built.now_ms, at_edge=built.at_edge)


def split_histories(vector: Vector) -> list[Vector]:
    """The same vector with none, half, or all but one of the profile's events left in the record."""
    if vector.profile is None:
        return []
    events = vector.profile.events
    return [
        replace(
            vector,
            profile=replace(vector.profile, events=events[:cut]),
            overlay=[*events[cut:], *vector.overlay],
        )
        for cut in sorted({0, len(events) // 2, len(events) - 1} - {-1, len(events)})
    ]


def causes_of(decision: Decision) -> dict[str, str]:
    return {placement: answer.cause for placement, answer in decision.answers.items() if answer.cause}


def refusals_of(decision: Decision) -> dict[str, list[tuple[str, str, str]]]:
    return {name: refusals(answer) for name, answer in decision.answers.items() if answer.refused}


def refusals(answer: Answer) -> list[tuple[str, str, str]]:
    return [(refused.offer, refused.reason, refused.cause) for refused in answer.refused]


def placement_rows(decision: CoreDecision) -> dict[str, dict[str, Any]]:
    """The log's rows by placement."""
    row = dict(zip(LOG_FIELDS, decision.log_row(), strict=True))
    rows = [dict(zip(LOG_PLACEMENT_FIELDS, values, strict=True)) for values in row["placements"]]
    return {row["placement"]: row for row in rows}


def assert_body(body: bytes, expected: bytes) -> None:
    """First as values, whose differences pytest can show, then to the byte."""
    assert json.loads(body) == json.loads(expected)
    assert body == expected
