"""Random whole catalogues with every kind of object, people with histories, and questions about them."""

from typing import Any, Final

from hypothesis import strategies as st

from tests.properties.chance import Chance, Draw
from tests.properties.expressions import condition
from tests.properties.forests import lightgbm_text
from tests.properties.histories import NOW_MS, consent, moment
from tests.vectors.load import Json, Vector, VectorProfile, with_owners

ARTIFACT: Final = "models/random.txt"
PURPOSES: Final = ["personalization", "ads", "recommendations"]
PLACEMENTS: Final = ["home", "banner", "notice", "mail"]
TAGS: Final = ["red", "green", "blue"]
CHANNELS: Final = ["web", "email"]
SLOTS: Final[dict[str, str]] = {"text": "text", "link": "url", "amount": "number", "flag": "bool"}
OFFERS: Final = [f"offer-{letter}" for letter in "abcdef"]
SEGMENTS: Final = ["inner", "outer"]
#: An attribute that does not travel to the edge, and that nothing answered there uses.
HUB_ONLY: Final = "last_link"
#: Identifier hashes of who is shown something; a unit key is one of them now and then.
SOURCES: Final = ["00112233445566778899aabbccddeeff", "ff" * 16, "0f" * 16]
SHARES: Final = [0.0, 0.25, 0.5, 1.0, 1 / 3, 1e-6, 0.9999995]
NUMBERS: Final = [0.0, -0.0, 1.0, 2.5, -2.0, 1e308, -1e308, 0.1, 1e-300]
NAMES: Final = {
    "bool": ["profile.vip", "profile.known", "context.gpc"],
    "int": ["profile.age", "profile.views", "context.hour"],
    "float": ["profile.spend", "profile.interest", "profile.risk", "context.temperature"],
    "string": ["profile.tier", "profile.link", "context.country"],
    "timestamp": ["profile.born", "context.since"],
    "strings": ["profile.tags", "context.flags"],
}
TRAITS: Final[dict[str, list[Any]]] = {
    "vip": [True, False],
    "known": [True, False],
    "age": [17, 42, 2**53 + 1, -(2**63)],
    "tier": ["gold", "none", "abc", "é\u2028\u0007"],
    "link": ["/", "//x", "/a\\b", "https://example.com/?q=é", "javascript:x", "/\tx"],
    "born": ["1990-05-17T00:30:00+02:00", "2026-11-23T12:00:00Z", "0001-01-01T00:00:00+23:59"],
}
CONTEXT: Final[dict[str, list[Any]]] = {
    "gpc": [True, False, "true"],
    "hour": [9, 42, 7.0, "9"],
    "temperature": [20.5, 20, -0.0, 1e300, True],
    "country": ["DE", "abc", ""],
    "since": ["2026-11-23T11:00:00Z", "yesterday"],
    "flags": [["a"], ["x", "abc"], [1], []],
    "unheard_of": [1],
}


def catalogue(chance: Chance) -> Json:
    shown = blocks(chance)
    placed = [placement(chance, name, shown) for name in PLACEMENTS]
    offered = [offer(chance, name, placed, shown) for name in OFFERS[: chance.whole(0, len(OFFERS))]]
    if offered:  # an attribute that no offer has is a fault
        offered[0]["attributes"] |= {"kind": "gold"}
    names = [one["id"] for one in offered]
    tested = experiments(chance, placed, shown, names)
    if not any(one["vector"] for one in offered):
        for at in placed:
            at.get("diversity", {})["by"] = "tags"
    return with_owners(
        {
            "settings": {"stale_after": chance.pick(["30d", "1h"])},
            "purposes": [{"id": "recommendations", "gpc": chance.flag()}],
            "attributes": attributes(chance),
            "segments": [
                {"id": "inner", "when": condition(chance, NAMES, depth=1)},
                {"id": "outer", "when": condition(chance, NAMES, SEGMENTS[:1], depth=1)},
            ],
            "placements": placed,
            "blocks": shown,
            "offers": offered,
            "models": [
                model(chance, "model-1"),
                model(chance, "model-2"),
                trees(chance),
                bandit(chance, offered),
                {"id": "uplift", "kind": "uplift", "treated": "model-3", "control": "model-1"},
            ],
            "artifacts": {ARTIFACT: lightgbm_text(chance)},
            "rules": [rule(chance, f"rule-{i}", names) for i in range(chance.whole(0, 3))],
            "caps": [cap(chance, f"cap-{i}", names) for i in range(chance.whole(0, 3))],
            "layers": [{"id": "layer", "salt": chance.pick([None, "other"])}],
            "experiments": tested,
            "holdouts": [
                holdout(chance, f"holdout-{i}", [one["id"] for one in tested])
                for i in range(chance.whole(0, 2))
            ],
        }
    )


def attributes(chance: Chance) -> list[Json]:
    viewed = {"events": ["Product Viewed"]}
    window = chance.pick([{}, {"window": "7d"}])
    sources: list[tuple[str, str, Any, list[Any]]] = [
        ("vip", "bool", {"trait": "vip"}, [False, True]),
        ("known", "bool", {"trait": "known"}, []),
        ("age", "int", {"trait": "age"}, [18]),
        ("views", "int", {**viewed, "function": "count", **window, "where": {"tag": ["red", "blue"]}}, []),
        ("spend", "float", {"events": ["Order Completed"], "function": "sum", "property": "revenue"}, [1.5]),
        ("interest", "float", {**viewed, "function": "count", "half_life": "1d"}, []),
        ("risk", "float", "score", [0.5]),
        ("tier", "string", {"trait": "tier"}, ["none"]),
        ("link", "string", {"trait": "link"}, ["/"]),
        (HUB_ONLY, "string", {"trait": "link"}, []),
        ("born", "timestamp", {"trait": "born"}, ["2000-01-01T00:00:00Z"]),
        ("tags", "strings", {**viewed, "function": "strings", "property": "tag", **window}, []),
        ("hour", "int", "context", [12]),
        ("temperature", "float", "context", [20.5]),
        ("since", "timestamp", "context", []),
        ("flags", "strings", "context", []),
    ]
    return [
        {
            "id": name,
            "type": kind,
            "edge": name != HUB_ONLY,
            "source": source,
            "default": chance.pick([None, *defaults]),
        }
        for name, kind, source, defaults in sources
    ]


def blocks(chance: Chance) -> list[Json]:
    """Two constants of each type, and blocks that show attributes."""
    constants: list[tuple[str, list[Any]]] = [
        ("text", ["Hello", 'é\n"<b>']),
        ("url", ["/a", "https://example.com/"]),
        ("number", [3, 2.5]),
        ("bool", [True, False]),
    ]
    shown: list[tuple[str, list[str], list[Any]]] = [
        ("text", ["profile.tier", "profile.age", "profile.spend", "profile.born", "profile.interest"], ["?"]),
        ("url", ["profile.link", "profile.age"], ["/", "x"]),
        ("number", ["profile.age", "profile.spend", "profile.risk", "context.temperature"], [0, 1e16]),
        ("bool", ["profile.vip", "profile.known"], [True]),
    ]
    found: list[Json] = [
        {"id": f"{kind}-constant-{i}", "type": kind, "value": value, "tags": tags(chance)}
        for kind, values in constants
        for i, value in enumerate(values)
    ]
    for kind, names, defaults in shown:
        for i in range(2):
            block: Json = {"id": f"{kind}-{i}", "type": kind, "attribute": chance.pick(names)}
            block["value"] = chance.pick([None, *defaults])
            block["tags"] = tags(chance)
            if kind in ("text", "url"):
                block["prefix"] = chance.pick(["", "/", "https://e.example/", "x" * 2047])
                block["suffix"] = chance.pick(["", "", "!", "\\"])
            found.append(block)
    return found


def tags(chance: Chance) -> list[str]:
    return chance.some(TAGS, most=2)


def of_type(shown: list[Json], kind: str, *, constant: bool = False) -> list[str]:
    return [one["id"] for one in shown if one["type"] == kind and not (constant and "attribute" in one)]


def placement(chance: Chance, name: str, shown: list[Json]) -> Json:
    slots = {slot: SLOTS[slot] for slot in chance.some(sorted(SLOTS), least=1, most=3)}
    found: Json = {
        "id": name,
        "channel": chance.pick(CHANNELS),
        "purpose": chance.pick(["personalization", "personalization", *PURPOSES, "none"]),
        "answered_at": "hub" if name == "mail" else "edge",
        "allow_repeat": chance.flag(),
        "slots": slots,
        "fallback": {
            slot: chance.pick([None, *of_type(shown, kind, constant=True)]) for slot, kind in slots.items()
        },
    }
    if chance.once_in(4):
        found["max_age"] = chance.pick(["1h", "7d"])
    if chance.flag():
        found["diversity"] = {"strength": chance.pick(SHARES), "by": chance.pick(["tags", "vector"])}
    return found


def offer(chance: Chance, name: str, placed: list[Json], shown: list[Json]) -> Json:
    found: Json = {
        "id": name,
        "tags": tags(chance),
        "vector": vector(chance),
        "priority": chance.whole(-1, 1),
        "value": chance.pick([1.0, 1.0, 0.0, 2.5, 1e12]),
        "lever": chance.pick([1.0, 1.0, 0.3, 0.0]),
        "model": chance.pick([None, None, "model-1", "model-2", "model-3", "uplift", "bandit", "bandit"]),
        "attributes": offer_attributes(chance),
        "exclusive_group": chance.pick([None, None, "one", "two"]),
        "eligibility": condition(chance, NAMES, SEGMENTS, depth=2) if chance.flag() else None,
        "weights": [weight(chance) for _ in range(chance.whole(0, 2))],
        "treatments": [],
    }
    if chance.once_in(6):
        border = chance.pick(["2026-11-23T12:00:00Z", "2026-11-23T12:00:00.001Z", "2026-01-01T00:00:00Z"])
        found[chance.pick(["valid_from", "valid_until"])] = border
    for at in placed:
        if not chance.once_in(4):
            filled = {slot: chance.pick(of_type(shown, kind)) for slot, kind in at["slots"].items()}
            treatment = {"id": f"{name}-{at['id']}", "placement": at["id"], "blocks": filled}
            found["treatments"].append(treatment)
    return found


def vector(chance: Chance) -> list[float]:
    """Five numbers, or none; the first is never too small to have a direction."""
    if chance.once_in(4):
        return []
    others = [chance.pick([0.0, 1.0, -1.0, 0.1, 1e6, -2.5, 1e-300]) for _ in range(4)]
    return [chance.pick([1.0, -0.5, 1e-6]), *others]


def offer_attributes(chance: Chance) -> Json:
    found: Json = {"price": chance.pick([0.5, 18.0, -1.0])}
    if chance.flag():
        found["price"] = chance.pick([True, 17, 1e300])
        found["kind"] = chance.pick(["gold", "abc", "DE"])
    return found


def weight(chance: Chance) -> Json:
    return {"when": condition(chance, NAMES, SEGMENTS, depth=1), "factor": chance.pick([3.0, 0.0, 0.1, 1e9])}


def scope(chance: Chance, offers: list[str]) -> Json:
    found: Json = {}
    if offers and chance.flag():
        found["offers"] = chance.some(offers, most=2)
    if chance.flag():
        found["tags"] = tags(chance)
    if chance.once_in(4):
        found["placements"] = [chance.pick(PLACEMENTS)]
    return found


def rule(chance: Chance, name: str, offers: list[str]) -> Json:
    kind = chance.pick(["suppression", "exclusion", "brand_safety"])
    found: Json = {"id": name, "kind": kind, "when": condition(chance, NAMES, SEGMENTS, depth=1)}
    if kind == "suppression":
        found["reason"] = chance.pick([None, "open_ticket"])
    if kind == "suppression" or chance.flag():
        found["applies_to"] = scope(chance, offers)
    else:
        found["applies_to"] = {"block_tags": chance.some(TAGS, least=1, most=2)}
    return found


def cap(chance: Chance, name: str, offers: list[str]) -> Json:
    return {
        "id": name,
        "max": chance.whole(0, 3),
        "window": chance.pick(["1m", "1h", "7d"]),
        "per": chance.pick(["offer", "all"]),
        "channels": chance.some(CHANNELS),
        "applies_to": scope(chance, offers),
        "when": condition(chance, NAMES, SEGMENTS, depth=1) if chance.flag() else None,
    }


def model(chance: Chance, name: str) -> Json:
    plain = [one for kind in ("bool", "int", "float") for one in NAMES[kind]]
    features: list[Json] = [
        {"attribute": chance.pick(plain), "weight": chance.pick(NUMBERS), "missing": chance.pick(NUMBERS)}
        for _ in range(chance.whole(0, 3))
    ]
    if chance.flag():
        equals = chance.pick(["gold", "none"])
        attribute = chance.pick(["profile.tier", "offer.kind"])
        features.append({"attribute": attribute, "equals": equals, "weight": chance.pick(NUMBERS)})
    if chance.flag():
        price = {"attribute": "offer.price", "weight": chance.pick(NUMBERS), "missing": chance.pick(NUMBERS)}
        features.insert(chance.whole(0, len(features)), price)
    kind = chance.pick(["linear", "logistic"])
    found: Json = {"id": name, "kind": kind, "intercept": chance.pick(NUMBERS), "features": features}
    return {**found, "calibration": calibration(chance)}


def trees(chance: Chance) -> Json:
    text = {"tier": ["abc", "gold", "none"], "country": ["DE", "abc", "FR"]}
    inputs: Json = {
        name: f"{scope}.{name}"
        for scope, names in (("profile", ["age", "views", "risk", "vip"]), ("context", ["temperature"]))
        for name in names
    }
    for scope, name in (("profile", "tier"), ("context", "country")):
        inputs[name] = {"attribute": f"{scope}.{name}", "categories": chance.some(text[name], least=1)}
    if chance.flag():
        inputs["risk"] = "offer.price"
        inputs["tier"] = {"attribute": "offer.kind", "categories": ["abc", "gold"]}
    link = chance.pick([None, "raw", "logistic", "exp"])
    found: Json = {"id": "model-3", "kind": "trees", "artifact": ARTIFACT, "inputs": inputs, "link": link}
    return {**found, "calibration": calibration(chance)}


def bandit(chance: Chance, offered: list[Json]) -> Json:
    """Arms of every kind; for some only what is known of none."""
    own = [one["id"] for one in offered if one["model"] == "bandit"]
    found: Json = {"id": "bandit", "kind": "bandit", "floor": chance.pick(SHARES)}
    if chance.flag():
        kinds = [{"alpha": 0.5, "beta": 2}, {"alpha": 30.5, "beta": 10}, {"mean": 0.5, "deviation": 2.5}]
        arms = {name: chance.pick(kinds) for name in chance.some(own)}
        return {**found, "policy": "thompson", "prior": chance.pick(kinds), "arms": arms}
    attribute = chance.pick(["profile.vip", "profile.age", "profile.risk"])
    features = [{"attribute": attribute, "weight": chance.pick(NUMBERS)}]
    known = {"weights": [0.5, chance.pick(NUMBERS)], "inverse": [[1, 0.25], [0.25, chance.pick([2.0, -3.0])]]}
    return {
        **found,
        "policy": "linucb",
        "width": chance.pick([None, 0.0, 2.5]),
        "intercept": 1.0,
        "features": features,
        "prior": {"weights": [0.25, 1e-3], "inverse": [[1.0, 0.0], [0.0, 1.0]]},
        "arms": dict.fromkeys(chance.some(own), known),
    }


def calibration(chance: Chance) -> Json | None:
    kind = chance.whole(0, 5)
    if kind == 0:
        return {"platt": {"a": chance.pick(NUMBERS), "b": chance.pick(NUMBERS)}}
    if kind == 1:
        x = sorted({float(chance.pick(NUMBERS)) for _ in range(chance.whole(1, 4))})
        y = sorted(float(chance.pick(NUMBERS)) for _ in x)
        return {"isotonic": {"x": x, "y": y}}
    return None


def experiments(chance: Chance, placed: list[Json], shown: list[Json], offers: list[str]) -> list[Json]:
    found = []
    border = chance.pick([0.3, 0.5])
    ranges = [[0.0, border], [border, 1.0]]
    for i in range(chance.whole(0, 3)):
        chosen = chance.some(placed, least=1, most=2)
        experiment: Json = {
            "id": f"experiment-{i}",
            "salt": chance.pick([None, "salt"]),
            "placements": [at["id"] for at in chosen],
            "traffic": chance.pick([1.0, 1.0, *SHARES]),
            "eligibility": condition(chance, NAMES, SEGMENTS, depth=1) if chance.flag() else None,
            "variants": [
                variant(chance, f"v{k}", chosen[0], shown, offers) for k in range(chance.whole(1, 3))
            ],
        }
        if chance.flag():
            experiment |= {"sticky": True, "sticky_version": chance.pick([0, 0, 3])}
        if ranges and chance.flag():
            experiment["layer"] = "layer"
            experiment["range"] = ranges.pop()
        found.append(experiment)
    return found


def variant(chance: Chance, name: str, at: Json, shown: list[Json], offers: list[str]) -> Json:
    found: Json = {"id": name, "weight": chance.pick([1, 2, 7, 1_000_000])}
    if chance.once_in(4):
        found["offers"] = chance.some(offers)
    if chance.flag():
        slot = chance.pick(sorted(at["slots"]))
        found["blocks"] = {slot: chance.pick(of_type(shown, SLOTS[slot]))}
    return found


def holdout(chance: Chance, name: str, experiments: list[str]) -> Json:
    share = chance.pick([0.0, 0.0, 0.0, 0.0, 0.1, 0.3, *SHARES])
    found = {"id": name, "share": share, "placements": chance.some(PLACEMENTS, most=2)}
    if experiments and chance.flag():
        found |= {"share": chance.pick(SHARES), "experiments": chance.some(experiments, least=1)}
    return found


def history(chance: Chance) -> list[Json]:
    """Mostly consented people, with facts, displays and changes of mind."""
    found = []
    if not chance.once_in(8):
        found = [consent(purpose, "granted", NOW_MS - 10**10, f"grant-{purpose}") for purpose in PURPOSES]
    for position in range(chance.whole(0, 10)):
        kind = chance.pick(["show", "show", "show", "view", "order", "traits", "traits", "change"])
        found.append(event(chance, kind, moment(chance, latest=1), f"{kind}-{position}"))
    return found


def event(chance: Chance, kind: str, at_ms: int, message_id: str) -> Json:
    if kind == "change":
        state = chance.pick(["granted", "denied", "withdrawn"])
        return consent(chance.pick([*PURPOSES, "analytics"]), state, at_ms, message_id)
    shown = chance.pick(["Impression", "Impression", "Exposure"])
    names = {"view": "Product Viewed", "order": "Order Completed", "traits": "Identify", "show": shown}
    properties: Json = {}
    if kind == "view":
        properties = {"tag": chance.pick(["red", "blue", "abc", ["a", "é"]])}
    elif kind == "order":
        properties = {"revenue": chance.pick([10, 0.1, -5.25, 1e300])}
    elif kind == "show":
        properties = {"offer": chance.pick([*OFFERS, "gone", None]), "channel": chance.pick([*CHANNELS, 7])}
        if not chance.once_in(4):
            properties["experiments"] = exposure(chance)
    return {
        "message_id": message_id,
        "kind": "identify" if kind == "traits" else "track",
        "name": names[kind],
        "at_ms": at_ms,
        "properties": properties,
        "traits": some_of(chance, TRAITS) if kind == "traits" else {},
        "consent": None,
        "source": chance.pick(SOURCES),
    }


def exposure(chance: Chance) -> Any:
    """What a client says that it showed: as decisions report it, or anything else."""
    if chance.once_in(8):
        return chance.pick([None, "experiment-0", {"id": "experiment-0"}, [None, [], "experiment-0"]])
    return [
        {
            "id": f"experiment-{i}",
            "variant": chance.pick(["v0", "v1", "v2", "gone", 1]),
            "sticky_version": chance.pick([0, 0, 0, 3, 3.0, False, "0"]),
        }
        for i in range(chance.whole(1, 3))
    ]


def some_of(chance: Chance, values: dict[str, list[Any]]) -> Json:
    return {name: chance.pick(values[name]) for name in chance.some(sorted(values))}


def unit_key(chance: Chance) -> bytes:
    if chance.once_in(3):
        return bytes.fromhex(chance.pick(SOURCES))
    return chance.whole(0, 2**128 - 1).to_bytes(16, "little")


def profile(chance: Chance) -> VectorProfile:
    ages_ms = [0, -1, 3_600_000, 3_600_001, 7 * 86_400_000, 7 * 86_400_000 + 1]
    scored_at_ms = NOW_MS - 1000
    risks = [(0.25, scored_at_ms, 1001), (float("inf"), scored_at_ms, 1001), (0.25, scored_at_ms, 1000)]
    return VectorProfile(
        events=history(chance),
        unit_key=unit_key(chance),
        sequence=chance.pick([0, 1, 2**53 + 1]),
        packed_at_ms=NOW_MS - chance.pick(ages_ms),
        scores={"risk": chance.pick(risks)} if chance.flag() else {},
    )


@st.composite
def questions(draw: Draw) -> Vector:
    """Everything a decision depends on; the whole history is in the record."""
    chance = Chance(draw)
    return Vector(
        id="random",
        description="",
        catalogue=catalogue(chance),
        at_edge=chance.flag(),
        profile=None if chance.once_in(10) else profile(chance),
        overlay=[],
        placements=tuple(
            chance.pick([*PLACEMENTS[:3], *PLACEMENTS[:3], *PLACEMENTS, "unheard-of"])
            for _ in range(6 - chance.whole(0, 5))
        ),
        context=some_of(chance, CONTEXT),
        named=chance.flag(),
        unit_key=unit_key(chance),
        now_ms=NOW_MS,
        expected={},
        causes={},
        refused={},
    )


@st.composite
def histories(draw: Draw) -> list[Json]:
    """What a node saw after the record was made."""
    return [{**one, "message_id": f"{one['message_id']}-since"} for one in history(Chance(draw))]
