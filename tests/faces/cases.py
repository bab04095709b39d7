"""The behaviour vectors as questions that a caller can put to a running node.

A vector names its person by a unit key and its events by short ids. A caller knows identifiers, whose keyed
hash is the unit key of who has no record; and an edge takes a message id once, whoever sends it. So each
vector gets a person of its own, who falls into the same buckets as the vector's: the oracle says who.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from core.identifiers import hash_identifier
from tests.edge.fleet import IDENTIFIER_KEY, anon
from tests.vectors.build import REVISION, ask_oracle, compiled, expected_body
from tests.vectors.load import DECISION_ID, Vector, load_vectors

#: The longest that a catalogue may ask for: here a slow machine must not make fallbacks of decisions.
DEADLINE: Final = "10s"
#: Persons are tried in order, each vector's from a number of its own.
PERSONS_PER_VECTOR: Final = 10_000


@dataclass(frozen=True)
class Case:
    """A vector with a person that a node can meet."""

    vector: Vector
    number: int

    @property
    def kind(self) -> str:
        """The type of the person's identifier."""
        return "id" if self.vector.named else "anon"

    @property
    def key(self) -> bytes:
        """Hash of the person's identifier: the unit key where there is no record."""
        value = str(self.number) if self.vector.named else anon(self.number)
        return hash_identifier(IDENTIFIER_KEY, self.kind, value)

    @property
    def profile_id(self) -> bytes:
        return self.number.to_bytes(16, "big")

    @property
    def question(self) -> dict[str, Any]:
        """Who is asked about, where, and under which id; the moment is written differently by each face."""
        named = self.vector.named
        who = {"profile": f"id:{self.number}"} if named else {"anonymous_id": anon(self.number)}
        return {**who, "placements": list(self.vector.placements), "decision_id": DECISION_ID}

    @property
    def is_all_unknown(self) -> bool:
        """Whether a node has no placement to answer: it refuses such a request."""
        answers = self.vector.expected["placements"].values()
        return all(answer["reason"] == "unknown_placement" for answer in answers)


def vectors() -> list[Vector]:
    """Every vector, those of one catalogue behind each other, so that a node changes bundles rarely."""
    patient = [_patient(vector) for vector in load_vectors()]
    return sorted(patient, key=lambda vector: msgspec.json.encode(vector.catalogue))


def cases_of(asked: list[Vector]) -> dict[str, Case]:
    """Each vector's case, by the vector's id."""
    return {
        vector.id: _case(vector, itertools.count(index * PERSONS_PER_VECTOR + 1))
        for index, vector in enumerate(asked)
    }


def is_decided(vector: Vector) -> bool:
    """Whether a node decides at all: that it is late, busy or broken cannot be asked of it."""
    return not vector.instead


def asks_the_hub(vector: Vector) -> bool:
    """Whether a placement is asked for that only the hub answers."""
    answered_at = {item["id"]: item.get("answered_at", "edge") for item in vector.catalogue["placements"]}
    return any(answered_at.get(placement) == "hub" for placement in vector.placements)


def _patient(vector: Vector) -> Vector:
    placements = [{**item, "deadline": DEADLINE} for item in vector.catalogue["placements"]]
    return replace(vector, catalogue={**vector.catalogue, "placements": placements})


def _case(vector: Vector, numbers: Iterator[int]) -> Case:
    content, _ = compiled(vector.catalogue)
    expected = expected_body(vector, content)
    for number in itertools.islice(numbers, PERSONS_PER_VECTOR):
        case = _person(vector, number)
        if ask_oracle(case.vector, content, REVISION).body == expected:
            return case
    raise AssertionError(f"{vector.id}: nobody of {PERSONS_PER_VECTOR} persons is decided about as it says")


def _person(vector: Vector, number: int) -> Case:
    """The vector with this person's key, and with message ids that nobody else has."""
    overlay = [{**item, "message_id": f"{number}-{item['message_id']}"} for item in vector.overlay]
    key = Case(vector, number).key
    return Case(replace(vector, unit_key=key, overlay=overlay), number)
