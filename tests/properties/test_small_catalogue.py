"""The catalogue that all tests share, read from its files by core and oracle, each its own way."""

from pathlib import Path
from typing import Any, Final

import yaml
from hypothesis import given
from hypothesis import strategies as st

from core.compiler import compile_catalogue
from core.decide import Engine
from hub.decisioning.authoring import read_catalogue
from tests.properties.chance import Chance, Draw
from tests.properties.histories import NOW_MS, consent, moment
from tests.properties.profiles import examples
from tests.properties.worlds import unit_key
from tests.vectors.build import REVISION, ask_oracle, build
from tests.vectors.load import Json, Vector, VectorProfile

FOLDER: Final = Path(__file__).parent.parent / "catalogues" / "small"
FILES: Final = {path.name: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.yaml"))}
EVENTS: Final = [
    ("Product Viewed", {"category": ["shoes", "boots", "hats"], "price": [10, 99.5]}),
    ("PDP_Visit", {"category": ["boots"]}),
    ("Product Added", {}),
    ("Product Removed", {}),
    ("Order Completed", {"revenue": [20, 600.25]}),
    ("Order Refunded", {"revenue": [20]}),
    ("Ticket Opened", {}),
    ("Ticket Closed", {}),
    ("Impression", {"offer": ["spring-shoes", "vip-lounge", "wine"], "channel": ["web"]}),
    ("Identify", {}),
]
TRAITS: Final[Json] = {
    "first_name": ["Ada", "Bob"],
    "vip": [True, False],
    "loyalty": [{"tier": "gold"}, {"tier": "none"}],
    "birthday": ["1980-01-01T00:00:00Z", "2015-01-01T00:00:00Z"],
}
CONTEXT: Final[Json] = {
    "device": ["mobile", "desktop", "tv"],
    "country": ["DE", "NO"],
    "locale": ["en-GB", "de-DE"],
    "city": ["Ulm"],
    "referrer_domain": ["www.kids.example", "example.com"],
    "temperature": [20, 36.5],
}
PLACEMENTS: Final = ["home.hero", "home.banner", "home.notice", "email.hero"]


class TextLoader(yaml.SafeLoader):
    """YAML as YAML 1.2 has it: times are text."""


TextLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def as_dicts() -> Json:
    """All files in one, the oracle's way."""
    merged: Json = {}
    for text in FILES.values():
        for kind, items in yaml.load(text, TextLoader).items():
            merged[kind] = [*merged[kind], *items] if isinstance(merged.get(kind), list) else items
    return merged


CATALOGUE: Final = as_dicts()
BUNDLE: Final = compile_catalogue(read_catalogue(FILES), [])[0]
ENGINE: Final = Engine(BUNDLE, REVISION)


@st.composite
def visits(draw: Draw) -> Vector:
    chance = Chance(draw)
    grants = [consent(name, "granted", NOW_MS - 10**10, name) for name in ("personalization", "email")]
    found = [event(chance, f"m{position}") for position in range(chance.whole(0, 25))]
    scores = {"churn_risk": (0.125, NOW_MS - 10, chance.pick([10, 11]))} if chance.flag() else {}
    cut = chance.whole(0, len(found))
    return Vector(
        id="small",
        description="",
        catalogue=CATALOGUE,
        at_edge=chance.flag(),
        profile=VectorProfile([*grants, *found[:cut]], unit_key(chance), 1, moment(chance), scores),
        overlay=found[cut:],
        placements=tuple(chance.some(PLACEMENTS, least=1)),
        context={name: chance.pick(CONTEXT[name]) for name in chance.some(sorted(CONTEXT))},
        named=True,
        unit_key=unit_key(chance),
        now_ms=NOW_MS,
        expected={},
        causes={},
        refused={},
    )


def event(chance: Chance, message_id: str) -> Json:
    name, properties = chance.pick(EVENTS)
    values: Any = properties
    return {
        "message_id": message_id,
        "kind": "identify" if name == "Identify" else "track",
        "name": name,
        "at_ms": moment(chance, earliest=-10, latest=1),
        "properties": {key: chance.pick(values[key]) for key in chance.some(sorted(values))},
        "traits": {key: chance.pick(TRAITS[key]) for key in chance.some(sorted(TRAITS))},
        "consent": None,
    }


@given(visits())
@examples(120)
def test_the_small_catalogue_decides_alike(vector: Vector) -> None:
    built = build(vector)
    decision = ENGINE.decide(built.record, built.overlay, built.request, built.now_ms, at_edge=built.at_edge)
    assert decision.body == ask_oracle(vector, BUNDLE).body
