"""Folding events and reading attributes at any time: the core against a look at the whole history."""

from dataclasses import replace
from typing import Any, Final

from hypothesis import given
from hypothesis import strategies as st

from core.decide import Engine
from tests.properties.chance import Chance, Draw
from tests.properties.faults import compiles
from tests.properties.histories import EVENTS, NOW_MS, attributes, consent, events, moment, split
from tests.properties.profiles import examples
from tests.vectors.build import REVISION, ask_oracle, build
from tests.vectors.load import UNIT_KEY, VISITOR_KEY, Json, Vector, VectorProfile, with_owners

SLOTS: Final = {"bool": "bool", "int": "number", "float": "number", "string": "text", "timestamp": "text"}
ATTRIBUTES: Final = 8


def catalogue_of(declared: list[Json], sizes: list[int]) -> Json:
    """One placement shows each attribute's value, one whether it is held, one how large it is."""
    catalogue: Json = {"events": EVENTS, "attributes": declared, "placements": [], "blocks": [], "offers": []}
    for attribute, size in zip(declared, sizes, strict=True):
        name = attribute["id"]
        slot = SLOTS.get(attribute["type"])
        if slot:
            catalogue["blocks"].append({"id": f"block-{name}", "type": slot, "attribute": f"profile.{name}"})
            add(catalogue, f"value-{name}", slot, f"block-{name}", None)
        else:
            add(catalogue, f"size-{name}", "text", "yes", f"size(profile.{name}) > {size}")
            add(catalogue, f"member-{name}", "text", "yes", f'"c{size}" in profile.{name}')
        add(catalogue, f"held-{name}", "text", "yes", f"has(profile.{name})")
    catalogue["blocks"].append({"id": "yes", "type": "text", "value": "yes"})
    return with_owners(catalogue)


def add(catalogue: Json, name: str, slot: str, block: str, eligibility: str | None) -> None:
    catalogue["placements"].append(
        {
            "id": name,
            "channel": "web",
            "purpose": "personalization",
            "slots": {"s": slot},
            "fallback": {"s": None},
        }
    )
    treatment = {"id": name, "placement": name, "blocks": {"s": block}}
    catalogue["offers"].append({"id": name, "eligibility": eligibility, "treatments": [treatment]})


@st.composite
def questions(draw: Draw) -> tuple[Vector, list[int], tuple[list[Json], list[Json]]]:
    """A history, times to ask at, and the history split in two."""
    chance = Chance(draw)
    declared = attributes(chance, ATTRIBUTES)
    catalogue = catalogue_of(declared, [chance.pick([0, 1, 5, 62]) for _ in declared])
    history = [consent("personalization", "granted", NOW_MS - 10**12, "grant"), *events(chance)]
    vector = Vector(
        id="random",
        description="",
        catalogue=catalogue,
        at_edge=True,
        profile=VectorProfile(history, UNIT_KEY, 3, moment(chance, latest=8), {}),
        overlay=[],
        placements=tuple(placement["id"] for placement in catalogue["placements"]),
        context={},
        named=False,
        unit_key=VISITOR_KEY,
        now_ms=NOW_MS,
        expected={},
        causes={},
        refused={},
    )
    return vector, [moment(chance, latest=8) for _ in range(3)], split(chance, history)


@given(questions())
@examples(120)
def test_attributes_have_the_same_values(question: Any) -> None:
    vector, asked_at, (stored, seen_since) = question
    compiles(vector.catalogue)
    parted = replace(vector, profile=replace(vector.profile, events=stored), overlay=seen_since)
    content = build(vector).bundle
    engine = Engine(content, REVISION)
    for now_ms in [NOW_MS, *asked_at]:
        expected = ask_oracle(replace(vector, now_ms=now_ms), content)
        for history in (vector, parted):
            built = build(replace(history, now_ms=now_ms))
            decision = engine.decide(built.record, built.overlay, built.request, now_ms)
            assert decision.body == expected.body
