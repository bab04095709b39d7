"""What a page shows as a whole: the core against the oracle on pages where much competes for few places."""

import json

import msgspec
from hypothesis import given

from core.decide import Engine
from tests.properties.faults import compiles
from tests.properties.pages import pages
from tests.properties.profiles import examples
from tests.properties.test_decisions import ask_core, logged, refusals_and_causes
from tests.vectors.build import REVISION, ask_oracle, build, compiled
from tests.vectors.load import Json, Vector


@given(pages())
@examples(150)
def test_pages_are_the_same(vector: Vector) -> None:
    compiles(vector.catalogue)
    content = compiled(vector.catalogue)[0]
    engine = Engine(content, REVISION)
    decision = ask_core(engine, vector)
    expected = ask_oracle(vector, content)
    assert json.loads(decision.body) == json.loads(expected.body)
    assert decision.body == expected.body
    assert logged(decision) == refusals_and_causes(expected)
    rows = json.loads(ask_core(engine, vector, trace=True).body)["trace"]
    for placement, answer in expected.answers.items():
        if answer.offer is not None:
            assert ranks_in(rows, placement) == answer.ranks


@given(pages())
@examples(30)
def test_a_batch_decides_pages_as_one_alone_does(vector: Vector) -> None:
    built = build(vector)
    engine = Engine(built.bundle, REVISION)
    requests = [msgspec.structs.replace(built.request, decision_id=f"d-{number}") for number in range(4)]
    records = [built.record, None] * 2
    made = engine.decide_batch(records, requests, built.now_ms, threads=2)
    for one, record, request in zip(made, records, requests, strict=True):
        alone = engine.decide(record, (), request, built.now_ms)
        assert one.body == alone.body
        assert one.log_row() == alone.log_row()


def ranks_in(rows: list[Json], placement: str) -> dict[str, tuple[float, ...]]:
    """By offer: relevance, similarity and rank, as the trace tells them."""
    return {
        row["id"]: tuple(row["detail"].values())
        for row in rows
        if row["step"] == "diversity" and row["placement"] == placement
    }
