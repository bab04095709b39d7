"""Random attributes over events, and random events whose times lie around the borders of windows."""

from collections.abc import Sequence
from typing import Any, Final

from tests.oracle.catalogue import span_ms
from tests.properties.chance import Chance
from tests.properties.expressions import FLOATS, INTS, STRINGS, TIMES
from tests.vectors.load import Json, milliseconds

NOW_MS: Final = milliseconds("2026-11-23T12:00:00Z")
NAMES: Final = ["Product Viewed", "Product Added", "Order Completed"]
ALIAS: Final = "view"
EVENTS: Final = [{"name": "Product Viewed", "aliases": [ALIAS]}]
PATHS: Final = ["category", "price", "nested.value", "traits.city", "traits.nested.value"]
WINDOWS: Final = ["1h", "90m", "61m", "3661s", "1d", "7d", "30d", "90d"]
HALF_LIVES: Final = ["10s", "1h", "1d", "7d", "400d"]
GRANULARITIES: Final = ["1s", "1m", "30m", "1h", "6h", "1d", "10d"]
SPANS_MS: Final = [1, 1000, 60_000, 3_600_000, 6 * 3_600_000, 86_400_000, 7 * 86_400_000, 30 * 86_400_000]
GRANULES_MAX: Final = 64

LONG: Final = ["é" * 600, "a" + "é" * 600, "😀" * 300]
ODD: Final = [
    None,
    True,
    False,
    "12",
    [],
    {},
    ["a", 7, "b"],
    {"value": 1},
    float("nan"),
    float("inf"),
    2**63,
    2**64 - 1,
]
ODD_TIMES: Final = [
    "2026-11-23",
    "2026-11-23 12:00:00Z",
    "2026-11-23T12:00:00",
    "2026-11-23t12:00:00.1239z",
    "2026-11-23T24:00:00Z",
    "2026-11-23T12:00:60Z",
    "2026-02-29T12:00:00Z",
    "2024-02-29T12:00:00-23:59",
    "2026-11-23T12:00:00+24:00",
    "2026-11-23T12:00:00+01:60",
    "0000-01-01T00:00:00Z",
    "0001-01-01T00:00:00+01:00",
    "2026-11-23T12:00:00.1234567891Z",
    "2026-11-23T12:00:00.Z",
    1_795_435_200,
]
PLAIN: Final = [0.5, 1, 2, 3.0, -7, "shoes", "boots", "hats", 0.1, 12.5, ["a", "b"], ["shoes"]]
ALL: Final[list[Any]] = [*INTS, *FLOATS, *STRINGS, *TIMES, *ODD, *ODD_TIMES, *LONG]
DEFAULTS: Final[dict[str, list[Any]]] = {
    "bool": [True, False],
    "int": [0, 5],
    "float": [0, 2.5],
    "string": ["", "none"],
    "timestamp": [TIMES[0]],
}


def value(chance: Chance) -> Any:
    return chance.pick(chance.pick([PLAIN, PLAIN, ALL]))


def source(chance: Chance) -> tuple[str, Json]:
    """A type and a source that the compiler takes."""
    function = chance.pick(["count", "count", "sum", "sum", "last", "first", "min", "max", "strings"])
    found: Json = {"events": chance.some([*NAMES, "Identify"], least=1, most=2), "function": function}
    if chance.once_in(4):
        allowed: list[Any] = ["shoes", ["shoes", "boots"], True, [0.5, 1], 3, ["1", 1]]
        found["where"] = {chance.pick(PATHS): chance.pick(allowed)}
    if function != "count":
        found["property"] = chance.pick(PATHS)
    if function in ("count", "sum"):
        return _amount(chance, found)
    if function == "strings":
        if chance.flag():
            found["window"] = chance.pick(WINDOWS)
        return "strings", found
    kinds = ["int", "float", "timestamp"]
    if function in ("last", "first"):
        kinds += ["bool", "string"]
    return chance.pick(kinds), found


def _amount(chance: Chance, found: Json) -> tuple[str, Json]:
    others = [name for name in NAMES if name not in found["events"]]
    if chance.flag():
        found["subtract"] = [chance.pick(others)]
    if chance.flag():
        found["window"] = chance.pick(WINDOWS)
    if chance.once_in(3):
        found["half_life"] = chance.pick(HALF_LIVES)
    fitting = [one for one in GRANULARITIES if _fits(one, found.get("window"))]
    if fitting and chance.flag():
        found["granularity"] = chance.pick(fitting)
    if ("window" in found or "granularity" in found) and chance.flag():
        found["resets"] = [chance.pick(others)]
    if "half_life" in found:
        return "float", found
    return ("int" if found["function"] == "count" else chance.pick(["int", "float"])), found


def _fits(granularity: str, window: str | None) -> bool:
    if window is None:
        return True
    granules, rest = divmod(span_ms(window), span_ms(granularity))
    return rest == 0 and 0 < granules <= GRANULES_MAX


def attributes(chance: Chance, count: int) -> list[Json]:
    found = []
    for position in range(count):
        kind, fed_by = source(chance)
        attribute: Json = {"id": f"a{position}", "type": kind, "edge": True, "source": fed_by}
        if kind in DEFAULTS and chance.once_in(4):
            attribute["default"] = chance.pick(DEFAULTS[kind])
        found.append(attribute)
    return found


def moment(chance: Chance, earliest: int = -8, latest: int = 2) -> int:
    """Around now by whole spans, a millisecond more or less now and then."""
    spans = chance.pick(SPANS_MS) * chance.whole(earliest, latest)
    return NOW_MS + spans + chance.pick([0, 0, -1, 1, 500])


def events(chance: Chance) -> list[Json]:
    """Events in any order; some come in runs long enough to pass what a record keeps."""
    found: list[Json] = []
    for _ in range(chance.whole(0, 12)):
        one = _fact(chance, len(found))
        if not chance.once_in(5):
            found.append(one)
            continue
        step_ms = chance.pick(SPANS_MS) * chance.pick([1, -1])
        found += [_moved(one, position, step_ms) for position in range(chance.whole(60, 70))]
    return found


def _fact(chance: Chance, position: int) -> Json:
    name = chance.pick([*NAMES, ALIAS, "Identify", "Unheard Of"])
    properties = {"category": value(chance), "price": value(chance), "nested": {"value": value(chance)}}
    properties.pop(chance.pick(["none", "none", *properties]), None)
    traits: Json = {"city": value(chance), "nested": chance.pick([{}, {"value": "shoes"}, {"value": 3}, "x"])}
    return {
        "message_id": chance.pick(["m1", "m2", f"n{position}"]),
        "kind": "identify" if name == "Identify" else "track",
        "name": name,
        "at_ms": moment(chance),
        "properties": properties,
        "traits": traits,
        "consent": None,
    }


def _moved(event: Json, position: int, step_ms: int) -> Json:
    return {
        **event,
        "message_id": f"{event['message_id']}-{position}",
        "at_ms": event["at_ms"] + position * step_ms,
        "properties": {**event["properties"], "category": f"c{position}"},
    }


def consent(purpose: str, state: str, at_ms: int, message_id: str) -> Json:
    return {
        "message_id": message_id,
        "kind": "consent",
        "name": "Consent Changed",
        "at_ms": at_ms,
        "properties": {},
        "traits": {},
        "consent": {"purpose": purpose, "state": state},
    }


def split(chance: Chance, history: Sequence[Json]) -> tuple[list[Json], list[Json]]:
    """The history in two: what the record holds, and what a node saw after it, both in another order."""
    order = [*history]
    for _ in range(chance.whole(0, 4)):
        border = chance.whole(0, len(order))
        order = [*reversed(order[border:]), *order[:border]]
    cut = chance.whole(0, len(order))
    return order[:cut], order[cut:]
