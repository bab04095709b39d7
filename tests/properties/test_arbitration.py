"""What a page shows as a whole: the core against the oracle on pages where much competes for few places."""

import json

from hypothesis import given

from core.decide import Engine
from tests.properties.faults import compiles
from tests.properties.pages import pages
from tests.properties.profiles import examples
from tests.properties.test_decisions import ask_core, logged, refusals_and_causes
from tests.vectors.build import REVISION, ask_oracle, compiled
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


def ranks_in(rows: list[Json], placement: str) -> dict[str, tuple[float, ...]]:
    """By offer: relevance, similarity and rank, as the trace tells them."""
    return {
        row["id"]: tuple(row["detail"].values())
        for row in rows
        if row["step"] == "diversity" and row["placement"] == placement
    }
