"""Random pages: several placements with many candidates that mostly may be shown, whose scores are of every
kind, infinities and NaN included, and rules that hold for some. What `worlds` rarely reaches is common here.
"""

from typing import Any, Final

from hypothesis import strategies as st

from tests.oracle.approvals import block_hash
from tests.properties.chance import Chance, Draw
from tests.properties.histories import NOW_MS, consent
from tests.vectors.load import Json, Vector, VectorProfile, with_owners

TAGS: Final = ["red", "green", "blue", "wine"]
CONDITIONS: Final = ["profile.vip", "profile.low < 0", "profile.age > 40", "profile.age > 99"]
#: Weights of a model's two features: sums beyond all numbers, and what is no number.
OUTPUTS: Final[list[tuple[float, float]]] = [
    (0.01, 0.0), (-0.02, 0.01), (1e308, 1e308), (-1e308, -1e308), (1e308, -1e308),
]  # fmt: skip
POSTERIORS: Final[list[Json]] = [
    {"alpha": 1.0, "beta": 1.0},
    {"mean": 0.5, "deviation": 0.2},
    {"mean": -1.0, "deviation": 2.0},
    {"mean": 1e300, "deviation": 1e299},
]
PEOPLE: Final = ["ada", "bea"]
#: How many of the blocks are approved.
APPROVED: Final = 3
TEXTS: Final = ["welcome", "winter", "wine", "named", "summer"]
STRENGTHS: Final = [0.5, 0.1, 0.9, 1.0, 0.3333333333333333, 0.0]


@st.composite
def pages(draw: Draw) -> Vector:
    """A question about all placements of a random page."""
    chance = Chance(draw)
    names = [f"place-{number}" for number in range(chance.whole(2, 4))]
    blocks = _blocks(chance)
    offers = [_offer(chance, f"offer-{number}", names, blocks) for number in range(chance.whole(2, 7))]
    catalogue = {
        "governance": _governance(chance, blocks),
        "attributes": [
            {"id": name, "type": kind, "edge": True, "source": {"trait": name}}
            for name, kind in (("vip", "bool"), ("age", "int"), ("low", "int"))
        ],
        "placements": [_placement(chance, name, offers) for name in names],
        "blocks": blocks,
        "offers": offers,
        "models": [*(_model(chance, f"model-{number}") for number in range(3)), _bandit(chance, offers)],
        "rules": [_rule(chance, f"rule-{number}", offers) for number in range(chance.whole(0, 4))],
        "caps": [_cap(chance, f"cap-{number}", offers) for number in range(chance.whole(0, 1))],
        "experiments": [_experiment(chance, names, offers, blocks)] if chance.flag() else [],
    }
    return _question(chance, catalogue, names)


def _placement(chance: Chance, name: str, offers: list[Json]) -> Json:
    found: Json = {
        "id": name,
        "channel": "web",
        "purpose": "personalization",
        "allow_repeat": chance.flag(),
        "slots": {"text": "text", "more": "text"},
        "fallback": {"text": "welcome", "more": None},
    }
    if not chance.once_in(4):
        ways = ["tags", "vector"] if any(offer["vector"] for offer in offers) else ["tags"]
        found["diversity"] = {"strength": chance.pick(STRENGTHS), "by": chance.pick(ways)}
    return found


def _offer(chance: Chance, name: str, placements: list[str], blocks: list[Json]) -> Json:
    return {
        "id": name,
        "tags": chance.some(TAGS, most=3),
        "vector": _vector(chance),
        "priority": chance.whole(0, 1),
        "value": chance.pick([1.0, 1.0, 0.5, 2.0, 1e12]),
        "model": chance.pick([None, None, "model-0", "model-1", "model-2", "bandit"]),
        "exclusive_group": chance.pick([None, None, None, "group"]),
        "weights": [{"when": "profile.vip", "factor": 3.0}] if chance.once_in(4) else [],
        "eligibility": chance.pick(CONDITIONS) if chance.once_in(6) else None,
        "treatments": [
            {"id": f"{name}-{placement}", "placement": placement, "blocks": filled(chance, blocks)}
            for placement in placements
        ],
    }


def filled(chance: Chance, blocks: list[Json]) -> Json:
    return {slot: block_or_fill(chance, blocks) for slot in ("text", "more")}


def block_or_fill(chance: Chance, blocks: list[Json]) -> str | Json:
    """A block, or the tags of one that is approved (the first ones are)."""
    if chance.flag():
        return chance.pick(TEXTS)
    tags = chance.pick(blocks[:APPROVED])["tags"]
    return {"tags": chance.some(tags, least=1), "choose": chance.pick(["closest", "sampled"])}


def _vector(chance: Chance) -> list[float]:
    """Six numbers or none; the first is never too small to have a direction."""
    if chance.once_in(4):
        return []
    return [1.0, *(chance.pick([0.0, 1.0, -1.0, 0.1, -2.5]) for _ in range(5))]


def _blocks(chance: Chance) -> list[Json]:
    found: list[Json] = [
        {"id": name, "type": "text", "value": name, "tags": chance.some(TAGS, least=1)} for name in TEXTS
    ]
    found[TEXTS.index("named")] |= {"attribute": "profile.age", "value": None}
    return found


def _model(chance: Chance, name: str) -> Json:
    first, second = chance.pick(OUTPUTS)
    features = [
        {"attribute": "profile.age", "weight": first, "missing": chance.pick([1e10, -1e10, 0.0])},
        {"attribute": "profile.low", "weight": second, "missing": chance.pick([1e10, 0.0])},
    ]
    return {"id": name, "kind": chance.pick(["linear", "logistic"]), "features": features}


def _bandit(chance: Chance, offers: list[Json]) -> Json:
    own = [offer["id"] for offer in offers if offer["model"] == "bandit"]
    return {
        "id": "bandit",
        "kind": "bandit",
        "policy": "thompson",
        "floor": chance.pick([0.0, 0.1, 1.0]),
        "prior": chance.pick(POSTERIORS),
        "arms": {name: chance.pick(POSTERIORS) for name in chance.some(own)},
    }


def _rule(chance: Chance, name: str, offers: list[Json]) -> Json:
    kind = chance.pick(["brand_safety", "exclusion", "suppression"])
    scopes: list[Json] = [
        {"offers": [chance.pick(offers)["id"]]},
        {"tags": [chance.pick(TAGS)]},
        {"placements": ["place-0"]},
    ]
    if kind != "suppression":
        scopes += [{"block_tags": [chance.pick(TAGS)]}] * 5
    return {"id": name, "kind": kind, "when": chance.pick(CONDITIONS), "applies_to": chance.pick(scopes)}


def _cap(chance: Chance, name: str, offers: list[Json]) -> Json:
    scope = {"offers": [chance.pick(offers)["id"]]}
    return {"id": name, "max": 0, "window": "1h", "applies_to": scope, "when": chance.pick(CONDITIONS)}


def _governance(chance: Chance, blocks: list[Json]) -> Json:
    """The first blocks are approved; of the others some were approved with other words, or by too few."""
    approvals = chance.whole(1, 2)
    given = [
        {"block": block["id"], "hash": block_hash(block), "by": person}
        for number, block in enumerate(blocks)
        for person in PEOPLE[: approvals if number < APPROVED else chance.whole(0, 2)]
    ]
    for block in blocks[APPROVED:]:
        if chance.once_in(3):
            block["suffix"] = "!" if "attribute" in block else ""
            block["value"] = None if "attribute" in block else "edited since"
    people = [{"id": person, "roles": ["owner", "approver"]} for person in PEOPLE]
    return {"approvals": approvals, "people": people, "approved_blocks": given}


def _experiment(chance: Chance, placements: list[str], offers: list[Json], blocks: list[Json]) -> Json:
    variants: list[Json] = []
    for number in range(2):
        variants.append({"id": f"v{number}", "weight": 1})
        if chance.flag():
            variants[-1]["offers"] = [offer["id"] for offer in chance.some(offers, least=1)]
        if chance.flag():
            variants[-1]["blocks"] = {"text": block_or_fill(chance, blocks)}
    return {"id": "experiment", "placements": chance.some(placements, least=1), "variants": variants}


def _question(chance: Chance, catalogue: Json, placements: list[str]) -> Vector:
    facts: dict[str, Any] = {
        name: value for name, value in (("vip", chance.flag()), ("age", 41), ("low", -7)) if chance.flag()
    }
    traits = {
        "message_id": "traits",
        "kind": "identify",
        "name": "Identify",
        "at_ms": NOW_MS - 5,
        "properties": {},
        "traits": facts,
        "consent": None,
    }
    granted = [] if chance.once_in(8) else [consent("personalization", "granted", NOW_MS - 10**10, "grant")]
    profile = VectorProfile([*granted, traits], chance.whole(0, 2**64).to_bytes(16, "little"), 1, NOW_MS, {})
    return Vector(
        *("page", "", with_owners(catalogue), True, profile, [], tuple(placements), {}, False),
        *(profile.unit_key, NOW_MS, {}, {}, {}),
    )
