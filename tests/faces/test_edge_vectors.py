"""Every behaviour vector through an edge's HTTP face: the bytes under `decision` are the vector's.

Left out are the fallbacks that a node gives instead of deciding, which nobody can ask for, and what the
vectors ask of the hub alone.
"""

from collections.abc import Iterator

import pytest

from tests.faces.cases import Case, cases_of, is_decided, vectors
from tests.faces.edge_face import EdgeFace
from tests.vectors.build import expected_body
from tests.vectors.load import Vector, load_vectors

VECTORS = [vector for vector in vectors() if vector.at_edge and is_decided(vector)]
LEFT_OUT = {
    "fallbacks/deadline",
    "fallbacks/overload",
    "fallbacks/error",
    "fallbacks/deadline-at-hub",
    "placements/hub-placement-at-hub",
}


@pytest.fixture(scope="module")
def cases() -> dict[str, Case]:
    return cases_of(VECTORS)


@pytest.fixture(scope="module")
def face(tmp_path_factory: pytest.TempPathFactory, cases: dict[str, Case]) -> Iterator[EdgeFace]:
    with EdgeFace(tmp_path_factory.mktemp("edge"), cases.values()) as started:
        yield started


def test_no_other_vector_is_left_out() -> None:
    assert {vector.id for vector in load_vectors()} - {vector.id for vector in VECTORS} == LEFT_OUT


@pytest.mark.parametrize("vector", VECTORS, ids=str)
def test_an_edge_answers_as_the_vector_says(face: EdgeFace, cases: dict[str, Case], vector: Vector) -> None:
    case = cases[vector.id]
    content, revision = face.bring(vector.catalogue)
    reply = face.ask(case)
    if case.is_all_unknown:
        assert (reply.status, reply.error["code"]) == (404, "unknown_placement")
        return
    assert reply.status == 200, reply.body
    expected = expected_body(vector, content, revision)
    assert reply.body.startswith(b'{"decision":' + expected + b',"node":"eu","took_us":'), reply.body
