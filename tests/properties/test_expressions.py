"""The core's tables and programs against the oracle's reading of the language."""

import math
from collections.abc import Callable
from typing import Any, Final

from hypothesis import given
from hypothesis import strategies as st

from core.decide import Engine
from tests.properties.chance import Chance, Draw
from tests.properties.expressions import FLOATS, INTS, STRINGS, TIMES, condition, general_condition
from tests.properties.faults import compiles
from tests.properties.profiles import examples
from tests.vectors.build import REVISION, ask_oracle, build
from tests.vectors.load import Json, Vector, expressions_vector

NOW: Final = "2026-11-23T12:00:00.000Z"
KINDS: Final[dict[str, list[Any]]] = {
    "bool": [True, False],
    "int": [*INTS, 3.0],
    "float": [*FLOATS, 3],
    "string": STRINGS,
    "timestamp": TIMES,
    "strings": [[], ["a"], ["", "a", "abc"], ["é", "漢字", "😀"]],
}
#: What is no value of any type, or of the wrong one.
ODD: Final = [None, "x", 2.5, True, {"a": 1}, [1], "2026-13-01T00:00:00Z", 2**63, 1e300]
Condition = Callable[..., str]
SEGMENTS: Final = ("inner", "outer")


def attribute(name: str, kind: str, default: Any) -> Json:
    source: Any = {"trait": name}
    if kind == "strings":
        source = {"events": ["Product Viewed"], "function": "strings", "property": name}
    return {"id": name, "type": kind, "edge": True, "source": source, "default": default}


@st.composite
def groups(draw: Draw, condition: Condition = condition) -> Json:
    """Attributes that hold something, nothing or something odd, and expressions over them."""
    chance = Chance(draw)
    attributes: list[Json] = []
    traits: Json = {}
    properties: Json = {}
    context: Json = {}
    names: dict[str, list[str]] = {}
    for kind, values in KINDS.items():
        anything = [*values, *values, *ODD]
        defaults = [value for value in values if kind != "int" or type(value) is int]
        names[kind] = [f"profile.{kind}_1", f"profile.{kind}_2", f"context.{kind}_3"]
        for position in (1, 2):
            default = chance.pick([None, chance.pick(defaults)])
            attributes.append(attribute(f"{kind}_{position}", kind, default))
            if chance.flag():
                (properties if kind == "strings" else traits)[f"{kind}_{position}"] = chance.pick(anything)
        attributes.append({"id": f"{kind}_3", "type": kind, "source": "context"})
        if chance.flag():
            context[f"{kind}_3"] = chance.pick(anything)
    attributes.append({"id": "infinite", "type": "float", "edge": True, "source": "score"})
    names["float"].append("profile.infinite")
    at = "2026-11-23T11:00:00Z"
    infinite = {"value": chance.pick([1e308, math.inf, -math.inf]), "scored_at": at, "ttl_ms": 10**9}
    return {
        "description": "",
        "attributes": attributes,
        "segments": [
            {"id": "inner", "when": condition(chance, names, depth=1)},
            {"id": "outer", "when": condition(chance, names, SEGMENTS[:1], depth=1)},
        ],
        "events": [
            {"name": "Identify", "at": at, "traits": traits},
            {"name": "Product Viewed", "at": at, "properties": properties},
        ],
        "scores": {"infinite": infinite} if chance.flag() else {},
        "context": context,
        "now": NOW,
        "cases": [[condition(chance, names, SEGMENTS), True] for _ in range(chance.whole(1, 8))],
    }


@given(groups())
@examples(300)
def test_expressions_come_to_the_same(group: Json) -> None:
    vector = expressions_vector("random", group)
    compiles(vector.catalogue)
    assert_same(vector)


@given(groups(general_condition))
@examples(300)
def test_expressions_beyond_the_tables_come_to_the_same(group: Json) -> None:
    vector = expressions_vector("random", group)
    compiles(vector.catalogue)
    assert_same(vector)
    assert_matches(vector)


def assert_matches(vector: Vector) -> None:
    """`match` and `match_batch` hold every rule true that the oracle does, for whomever of a crowd."""
    built = build(vector)
    engine = Engine(built.bundle, REVISION)
    names = [rule.id for rule in engine.document.rules]
    found = engine.match(built.record, vector.context, vector.now_ms)
    true = {
        rule.removeprefix("eligibility:").replace("match", "rule")
        for rule in (names[at] for at in found)
        if rule.startswith("eligibility:")
    }
    decision = engine.decide(built.record, built.overlay, built.request, built.now_ms)
    passed = {
        name.replace("match", "rule")
        for name, reason in zip(built.request.placements, decision.reasons, strict=True)
        if name.startswith("match") and reason == "ok"
    }
    assert true == passed
    crowd = [None, built.record] * 70
    batch = engine.match_batch(crowd, vector.now_ms, context=vector.context, threads=2)
    assert batch.rules_of(131) == found
    assert batch.rules_of(130) == engine.match(None, vector.context, vector.now_ms)


def assert_same(vector: Vector) -> None:
    built = build(vector)
    decision = Engine(built.bundle, REVISION).decide(built.record, built.overlay, built.request, built.now_ms)
    expected = ask_oracle(vector, built.bundle)
    wrong = [
        name
        for name, reason in zip(expected.answers, decision.reasons, strict=True)
        if expected.answers[name].reason != reason
    ]
    assert not wrong
    assert decision.body == expected.body
