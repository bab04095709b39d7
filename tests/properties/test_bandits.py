"""Bandits of several arms: the core against the oracle, and the choices that are published."""

import hashlib
import json
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.answers import LOG_FIELDS, LOG_PLACEMENT_FIELDS
from core.decide import Engine
from tests.oracle.decide import Request as OracleRequest
from tests.oracle.decide import decide as decide_by_oracle
from tests.properties.chance import Chance, Draw
from tests.properties.histories import NOW_MS, consent
from tests.properties.profiles import examples
from tests.vectors.build import REVISION, build, compiled, oracle_question
from tests.vectors.load import Json, Vector, VectorProfile, load_vectors, with_owners

PLACEMENTS: Final = ("home", "banner")
POSTERIORS: Final[list[Json]] = [
    {"alpha": 1.0, "beta": 1.0},
    {"alpha": 0.2, "beta": 0.7},
    {"alpha": 30.0, "beta": 20.0},
    {"mean": 0.5, "deviation": 0.2},
    {"mean": -1.0, "deviation": 0.0},
]
UPPERS: Final[list[Json]] = [
    {"weights": [0.5, 0.1], "inverse": [[1.0, 0.25], [0.25, 0.5]]},
    {"weights": [0.4, -0.2], "inverse": [[4.0, 0.0], [0.0, 1e-3]]},
    {"weights": [1e300, 1e300], "inverse": [[1e300, 0.0], [0.0, 1e300]]},
]


@st.composite
def questions(draw: Draw) -> tuple[Vector, str]:
    """A catalogue in which bandits have many arms, and the id of a decision."""
    chance = Chance(draw)
    linucb = chance.once_in(4)
    names = [f"offer-{number}" for number in range(chance.whole(2, 6))]
    offers = [_offer(chance, name) for name in names]
    arms = [offer["id"] for offer in offers if offer["model"]]
    kinds = UPPERS if linucb else POSTERIORS
    model: Json = {"id": "hero", "kind": "bandit", "floor": chance.pick([0.0, 0.1, 0.5, 1.0])}
    model |= {"policy": "linucb" if linucb else "thompson", "prior": chance.pick(kinds)}
    model["arms"] = {name: chance.pick(kinds) for name in chance.some(arms)}
    if linucb:
        feature = {"attribute": "profile.age", "weight": chance.pick([0.01, 1e300])}
        model |= {"intercept": 1.0, "features": [feature], "width": chance.pick([None, 2.0])}
    return _question(chance, offers, [model]), f"decision-{chance.whole(0, 2**32)}"


def _offer(chance: Chance, name: str) -> Json:
    return {
        "id": name,
        "model": None if chance.once_in(4) else "hero",
        "value": chance.pick([1.0, 1.0, 0.5, 2.0]),
        "priority": chance.whole(0, 1),
        "exclusive_group": chance.pick([None, None, "group"]),
        "weights": [{"when": "profile.vip", "factor": 3.0}] if chance.once_in(4) else [],
        "treatments": [
            {
                "id": f"{name}-{placement}",
                "placement": placement,
                "blocks": {"text": chance.pick(["generic", "generic", "tagged", "named"])},
            }
            for placement in PLACEMENTS
        ],
    }


def _question(chance: Chance, offers: list[Json], models: list[Json]) -> Vector:
    facts = {name: value for name, value in (("vip", True), ("age", 41), ("low", -7)) if chance.flag()}
    traits = {
        "message_id": "traits",
        "kind": "identify",
        "name": "Identify",
        "at_ms": NOW_MS - 5,
        "properties": {},
        "traits": facts,
        "consent": None,
    }
    catalogue = {
        "attributes": [
            {"id": name, "type": kind, "edge": True, "source": {"trait": name}}
            for name, kind in (("vip", "bool"), ("age", "int"), ("low", "int"))
        ],
        "placements": [
            {
                "id": placement,
                "channel": "web",
                "purpose": "personalization",
                "slots": {"text": "text"},
                "fallback": {"text": "generic"},
            }
            for placement in PLACEMENTS
        ],
        "blocks": [
            {"id": "generic", "type": "text", "value": "Welcome"},
            {"id": "tagged", "type": "text", "value": "Wine", "tags": ["alcohol"]},
            {"id": "named", "type": "text", "attribute": "profile.age"},
        ],
        "rules": [
            {
                "id": "sober",
                "kind": "brand_safety",
                "when": "profile.vip",
                "applies_to": {"block_tags": ["alcohol"]},
            },
            {
                "id": "quiet",
                "kind": "suppression",
                "when": "profile.low < 0",
                "applies_to": {"offers": [offers[0]["id"]]},
            },
        ],
        "models": models,
        "offers": offers,
    }
    events = [consent("personalization", "granted", NOW_MS - 10**10, "grant"), traits]
    profile = VectorProfile(events, chance.whole(0, 2**64).to_bytes(16, "little"), 1, NOW_MS, {})
    return Vector(
        *("random", "", with_owners(catalogue), True, profile, [], PLACEMENTS, {}, False),
        *(profile.unit_key, NOW_MS, {}, {}, {}),
    )


def _rows(decision: Any) -> list[Json]:
    row = dict(zip(LOG_FIELDS, decision.log_row(), strict=True))
    return [dict(zip(LOG_PLACEMENT_FIELDS, values, strict=True)) for values in row["placements"]]


@given(questions())
@examples(60)
def test_bandits_choose_alike_with_the_same_probability(asked: tuple[Vector, str]) -> None:
    vector, decision_id = asked
    content, built = compiled(vector.catalogue)[0], build(vector)
    engine = Engine(content, REVISION)
    request = msgspec.structs.replace(built.request, decision_id=decision_id)
    decision = engine.decide(built.record, [], request, NOW_MS)
    *question, oracle_request, now_ms = oracle_question(vector)
    theirs = OracleRequest(decision_id, oracle_request.placements, {}, oracle_request.unit_key)
    expected = decide_by_oracle(
        *question, theirs, now_ms, revision=REVISION, content_hash=engine.content_hash
    )
    assert json.loads(decision.body) == json.loads(expected.body)
    assert decision.body == expected.body
    assert [row["bandit"] for row in _rows(decision)] == [one.bandit for one in expected.answers.values()]


#: SHA-256 of the lines "decision id offer probability explored sample" of 500 decisions for each catalogue of
#: `tests/vectors/bandits.json`: a change of draws, ranks or probabilities shows here.
PUBLISHED: Final = {
    "bandits/thompson": "623a0e8a08dc17da6a72606727e7df9ea9c9d82bf1170e55c6a9d30129c68959",
    "bandits/linucb": "a5efca6defb4643a93a7d7345bd2da29068f91b9fa916d7ed5a8109a36e3ae4a",
    "bandits/diverse": "54d51addff87dfefcd08b3f32d79d3ad6173ab6103c594b95d205915a827fa43",
}


@pytest.mark.parametrize("vector", [one for one in load_vectors() if one.id in PUBLISHED], ids=str)
def test_choices_are_the_published_ones(vector: Vector) -> None:
    built = build(vector)
    engine = Engine(built.bundle, REVISION)
    digest = hashlib.sha256()
    for number in range(500):
        request = msgspec.structs.replace(
            built.request, decision_id=f"d-{number}", placements=vector.placements[:3]
        )
        for row in _rows(engine.decide(built.record, [], request, built.now_ms)):
            _, probability, explored, sample = row["bandit"]
            line = f"d-{number} {row['offer']} {probability!r} {explored} {sample}\n"
            digest.update(line.encode())
    assert digest.hexdigest() == PUBLISHED[vector.id]
