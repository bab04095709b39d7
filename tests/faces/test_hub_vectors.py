"""Every behaviour vector through the hub's gRPC face: the bytes of `decision` are the vector's.

A hub has no overlay: what stands there in a vector, ingestion has folded into the record, and all 22 of
those decisions stay what they are. Left out are the fallbacks that a node gives instead of deciding, which
nobody can ask for, the placement of the hub that the vectors ask of an edge, and the blocks that two people
have approved: a hub takes each one's approvals from herself alone.
"""

from collections.abc import Iterator

import grpc
import pytest

from tests.faces.cases import Case, asks_the_hub, cases_of, is_decided, vectors
from tests.faces.hub_face import HubFace, hub_face
from tests.hub.running import status_of
from tests.vectors.build import expected_body
from tests.vectors.load import Vector, load_vectors

APPROVED_BY_TWO = "slots/as-many-approvers-as-a-revision"
VECTORS = [
    vector
    for vector in vectors()
    if is_decided(vector) and not (vector.at_edge and asks_the_hub(vector)) and vector.id != APPROVED_BY_TWO
]
LEFT_OUT = {
    APPROVED_BY_TWO,
    "fallbacks/deadline",
    "fallbacks/overload",
    "fallbacks/error",
    "fallbacks/deadline-at-hub",
    "placements/hub-placement-at-edge",
}
OVERLAYS_FOLDED = 25


@pytest.fixture(scope="module")
def cases() -> dict[str, Case]:
    return cases_of(VECTORS)


@pytest.fixture(scope="module")
def face(tmp_path_factory: pytest.TempPathFactory, cases: dict[str, Case]) -> Iterator[HubFace]:
    with hub_face(tmp_path_factory.mktemp("hub"), cases.values()) as started:
        yield started


def test_no_other_vector_is_left_out() -> None:
    assert {vector.id for vector in load_vectors()} - {vector.id for vector in VECTORS} == LEFT_OUT
    assert sum(bool(vector.overlay) for vector in VECTORS) == OVERLAYS_FOLDED


@pytest.mark.parametrize("vector", VECTORS, ids=str)
def test_a_hub_answers_as_the_vector_says(face: HubFace, cases: dict[str, Case], vector: Vector) -> None:
    case = cases[vector.id]
    content, revision = face.bring(vector.catalogue)
    if case.is_all_unknown:
        with pytest.raises(grpc.RpcError) as refused:
            face.ask(case)
        assert status_of(refused.value) == grpc.StatusCode.NOT_FOUND
        return
    assert face.ask(case) == expected_body(vector, content, revision)
