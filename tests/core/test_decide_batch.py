"""Batches of decisions: each the one that `decide` makes, whatever the threads and contexts."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.batch import THREADS_MAX
from core.decide import Engine
from core.errors import RecordError, RequestError
from core.request import Request
from tests.properties.chance import Chance
from tests.properties.faults import compiles
from tests.properties.profiles import examples
from tests.properties.worlds import CONTEXT, questions
from tests.vectors.build import REVISION, build, compiled
from tests.vectors.load import Vector, load_vectors

THREADS = (1, 2, 3)


def engine_of(vector: Vector) -> Engine:
    compiles(vector.catalogue)
    return Engine(compiled(vector.catalogue)[0], REVISION)


def singly(
    engine: Engine, records: Sequence[bytes | None], requests: Sequence[Request], now_ms: int, at_edge: bool
) -> list[tuple[bytes, Any]]:
    made = [
        engine.decide(record, (), request, now_ms, at_edge=at_edge)
        for record, request in zip(records, requests, strict=True)
    ]
    return [(one.body, one.log_row()) for one in made]


@given(questions(), st.data())
@examples(80)
def test_every_decision_is_the_one_made_alone(vector: Vector, data: st.DataObject) -> None:
    chance = Chance(data.draw)
    engine = engine_of(vector)
    built = build(vector)
    # Some of the contexts are one object, as callers share it; lists are what a decision keeps a copy of.
    contexts = [built.request.context, {}, {"flags": ["x", "abc"], "hour": 7}, {"flags": ["a"], "gpc": True}]
    requests, records = [], []
    for number in range(12):
        named = msgspec.structs.replace(
            built.request,
            decision_id=f"d-{number}",
            context=chance.pick(contexts),
            placements=(
                *built.request.placements,
                *chance.pick([(), ("unknown", "ünknown"), ("unknown",) * 2]),
            ),
        )
        requests.append(named)
        records.append(chance.pick([built.record, None]))
    expected = singly(engine, records, requests, built.now_ms, built.at_edge)
    for threads in THREADS:
        made = engine.decide_batch(records, requests, built.now_ms, at_edge=built.at_edge, threads=threads)
        for one, (body, row) in zip(made, expected, strict=True):
            assert one.body == body
            assert one.log_row() == row
        assert [one.reasons for one in made] == [
            engine.decide(record, (), request, built.now_ms, at_edge=built.at_edge).reasons
            for record, request in zip(records, requests, strict=True)
        ]


def some_vector() -> Vector:
    return next(one for one in load_vectors() if one.profile is not None and not one.overlay)


def test_a_batch_is_decided_while_the_engine_decides_alone() -> None:
    vector = some_vector()
    engine, built = engine_of(vector), build(vector)
    body = engine.decide(built.record, (), built.request, built.now_ms, at_edge=built.at_edge).body
    bodies: list[bytes] = []

    def decide_many() -> None:
        for _ in range(5):
            made = engine.decide_batch(
                [built.record] * 500, [built.request] * 500, built.now_ms, at_edge=built.at_edge, threads=2
            )
            bodies.extend(one.body for one in made)

    thread = threading.Thread(target=decide_many)
    thread.start()
    while thread.is_alive():
        alone = engine.decide(built.record, (), built.request, built.now_ms, at_edge=built.at_edge)
        assert alone.body == body
    thread.join()
    assert len(bodies) == 2500
    assert set(bodies) == {body}


def test_an_empty_batch_is_no_decision() -> None:
    assert engine_of(some_vector()).decide_batch([], [], build(some_vector()).now_ms) == []


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"unit_key": b"short"}, "$.requests[1].unit_key"),
        ({"placements": ("p",) * 65}, "$.requests[1].placements"),
        ({"trace": True}, "$.requests[1].trace"),
        ({"decision_id": "\ud800"}, "$.requests[1].decision_id"),
        ({"placements": ("\ud800",)}, "$.requests[1].placements[0]"),
    ],
)
def test_a_request_that_cannot_be_answered_refuses_the_batch(change: dict[str, Any], path: str) -> None:
    vector = some_vector()
    engine, built = engine_of(vector), build(vector)
    wrong = msgspec.structs.replace(built.request, **change)
    with pytest.raises(RequestError) as raised:
        engine.decide_batch([built.record] * 3, [built.request, wrong, built.request], built.now_ms)
    assert raised.value.path == path
    assert len(engine.decide_batch([built.record], [built.request], built.now_ms)) == 1


def test_a_damaged_record_is_named() -> None:
    vector = some_vector()
    engine, built = engine_of(vector), build(vector)
    assert built.record is not None
    damaged = bytes(built.record[:-1]) + bytes([built.record[-1] ^ 1])
    with pytest.raises(RecordError) as raised:
        engine.decide_batch([built.record, None, damaged], [built.request] * 3, built.now_ms)
    assert raised.value.path.startswith("$.records[2]")


@pytest.mark.parametrize(("records", "threads"), [(1, 1), (2, 0), (2, THREADS_MAX + 1)])
def test_lists_of_unlike_length_and_odd_threads_are_refused(records: int, threads: int) -> None:
    vector = some_vector()
    engine, built = engine_of(vector), build(vector)
    with pytest.raises(RequestError):
        engine.decide_batch([None] * records, [built.request] * 2, built.now_ms, threads=threads)


def test_contexts_of_the_worlds_hold_lists() -> None:
    # What the test above rests on: a list of the context is read into memory that views share.
    assert any(isinstance(value, list) for values in CONTEXT.values() for value in values)
    assert replace(some_vector(), overlay=[]).overlay == []
