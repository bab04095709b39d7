"""What `make aarch64` compares between machines is something, and the same when it is asked again."""

from tests.machines.answers import PARTS, answers, make_worlds
from tests.vectors.load import load_vectors


def test_answers_are_the_same_again() -> None:
    vectors, worlds = load_vectors()[::100], make_worlds(1)[:10]
    first = dict(answers(vectors, worlds, 1))
    assert list(first) == [*PARTS, "vectors", "worlds"]
    assert len(set(first.values())) == len(first)
    assert dict(answers(vectors, worlds, 1)) == first
