"""Bandits of several arms: the core against the oracle, and what no model's output may do."""

import json
from typing import Any, Final

import msgspec
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
from tests.vectors.load import Json, Vector, VectorProfile, with_owners

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
#: What a model may come to: the largest numbers, infinities and what is no number.
OUTPUTS: Final[list[tuple[float, float]]] = [(1e308, 1e308), (-1e308, -1e308), (1e308, -1e308), (0.0, 1.0)]


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


@st.composite
def extremes(draw: Draw) -> Vector:
    """Offers whose models come to numbers of every kind, infinities and NaN included."""
    chance = Chance(draw)
    models: list[Json] = []
    offers = []
    for number in range(chance.whole(2, 6)):
        first, second = chance.pick(OUTPUTS)
        features = [
            {"attribute": "profile.age", "weight": first, "missing": chance.pick([1e10, -1e10, 0.0])},
            {"attribute": "profile.low", "weight": second, "missing": chance.pick([1e10, 0.0])},
        ]
        models.append({"id": f"m{number}", "kind": chance.pick(["linear", "logistic"]), "features": features})
        offers.append({**_offer(chance, f"offer-{number}"), "model": f"m{number}"})
    return _question(chance, offers, models)


@given(extremes())
@examples(80)
def test_no_output_of_a_model_gets_a_candidate_past_a_guardrail(vector: Vector) -> None:
    """What is chosen broke no rule, whatever the models said: the rules are asked anew of who was chosen."""
    built = build(vector)
    decision = Engine(compiled(vector.catalogue)[0], REVISION).decide(built.record, [], built.request, NOW_MS)
    guarded = vector.catalogue["offers"][0]["id"]
    groups = {offer["id"]: offer["exclusive_group"] for offer in vector.catalogue["offers"]}
    chosen: list[str] = []
    for answer in json.loads(decision.body)["placements"].values():
        if answer["offer"] is None:
            assert answer["fallback"]
            continue
        # Both rules hold or cannot be known for everybody here, and both ways they block.
        assert answer["offer"] != guarded
        assert answer["blocks"]["text"]["block"] != "tagged"
        assert answer["offer"] not in chosen
        assert not {groups[answer["offer"]]} & {groups[one] for one in chosen} - {None}
        chosen.append(answer["offer"])
