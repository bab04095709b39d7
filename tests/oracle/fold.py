"""A profile's values straight from its events, all of them looked at again for every question (0001).

An event is a dict: `message_id`, `name`, `at_ms`, `properties`, `traits`, and for consent events `consent`
with `purpose` and `state`. Events come in any order. Nothing here knows of slots, records or merging: what
the fold keeps of a history is written down as a property of the whole history.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tests.oracle.evaluate import INT_MAX, INT_MIN, Timestamp
from tests.oracle.hashing import xxh64
from tests.oracle.numbers import SUM_MAX, decay, millionths
from tests.oracle.times import timestamp_ms_or_none

Event = Mapping[str, Any]
Plain = bool | int | float | str | Timestamp | list[str]

BUCKETS_MAX: Final = 64
STRINGS_MAX: Final = 63
STRING_BYTES_MAX: Final = 1024
IMPRESSIONS_MAX: Final = 256
ASSIGNMENTS_MAX: Final = 256
MINUTE_MS: Final = 60_000
MISSING: Final = object()


@dataclass(frozen=True)
class Source:
    """How events feed one attribute."""

    function: str  # count sum last first min max strings
    events: frozenset[str]  # canonical names
    path: str = ""  # dotted path in properties, or `traits.` and a path
    where: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    window_ms: int = 0
    half_life_ms: int = 0
    granularity_ms: int = 0  # above 0: by time buckets
    resets: frozenset[str] = frozenset()
    subtract: frozenset[str] = frozenset()


def attribute_value(source: Source, kind: str, events: Sequence[Event], now_ms: int) -> Plain | None:
    """What the history says of one attribute of type `kind` at `now`; None: nothing."""
    if source.function in ("count", "sum"):
        return _amount(source, kind, events, now_ms)
    fed = [event for event in events if _feeds(source, event)]
    found = [(event, value) for event in fed for value in _values(source, kind, event)]
    if source.function == "strings":
        return _strings(source, [(str(value), event["at_ms"]) for event, value in found], now_ms)
    if not found:
        return None
    if source.function in ("min", "max"):
        return (min if source.function == "min" else max)(value for _, value in found)
    stamped = [((event["at_ms"], xxh64(event["message_id"].encode())), value) for event, value in found]
    newest = (max if source.function == "last" else min)(stamp for stamp, _ in stamped)
    return max(value for stamp, value in stamped if stamp == newest)


def _amount(source: Source, kind: str, events: Sequence[Event], now_ms: int) -> int | float | None:
    """A count or a sum of ints, or a sum of floats, kept in millionths; a decaying one is always a float."""
    unit = 1e6 if source.function == "sum" and kind == "float" else 1
    amounts = list(_amounts(source, kind, events))
    if not source.granularity_ms:
        return _in_unit(_wrapped(sum(amount for _, amount in amounts)), unit) if amounts else None

    resets = [_granule(event["at_ms"], source) for event in events if event["name"] in source.resets]
    if not amounts and not resets:
        return None
    buckets: dict[int, int] = {}
    for at_ms, amount in amounts:
        if not resets or _granule(at_ms, source) > max(resets):
            buckets[_granule(at_ms, source)] = _wrapped(buckets.get(_granule(at_ms, source), 0) + amount)
    newest = sorted(buckets)[-BUCKETS_MAX:]

    current = _granule(now_ms, source)
    granules = source.window_ms // source.granularity_ms
    oldest = current - granules + 1 if granules else min(newest, default=current)
    counting = [index for index in newest if oldest <= index <= current]
    if not source.half_life_ms:
        return _in_unit(_wrapped(sum(buckets[index] for index in counting)), unit)
    decayed = 0.0
    for index in counting:
        decayed += buckets[index] * decay(current - index, source.granularity_ms, source.half_life_ms)
    return decayed / unit


def _wrapped(total: int) -> int:
    """A sum that leaves 64 bits wraps: the one rule for it that does not ask for the order."""
    return (total - INT_MIN) % 2**64 + INT_MIN


def _in_unit(amount: int, unit: float) -> int | float:
    return amount if unit == 1 else amount / unit


def _amounts(source: Source, kind: str, events: Sequence[Event]) -> Iterator[tuple[int, int]]:
    """What each event adds, with its time; to a sum of floats in millionths."""
    for event in events:
        sign = 1 if event["name"] in source.events else -1 if event["name"] in source.subtract else 0
        if sign and _matches(source.where, event):
            amount = 1 if source.function == "count" else _addend(_at_path(event, source.path), kind)
            if amount is not None:
                yield event["at_ms"], sign * amount


def _addend(value: Any, kind: str) -> int | None:
    plain = plain_value(value, kind)
    if isinstance(plain, float):
        return millionths(plain)
    return max(-SUM_MAX, min(plain, SUM_MAX)) if isinstance(plain, int) else None


def _strings(source: Source, seen: list[tuple[str, int]], now_ms: int) -> list[str] | None:
    last_seen: dict[str, int] = {}
    for value, at_ms in seen:
        last_seen[value] = max(at_ms, last_seen.get(value, at_ms))
    newest = sorted(last_seen, key=lambda value: (last_seen[value], xxh64(value.encode())))[-STRINGS_MAX:]
    if not newest:
        return None
    return [value for value in newest if not source.window_ms or last_seen[value] > now_ms - source.window_ms]


def _feeds(source: Source, event: Event) -> bool:
    return event["name"] in source.events and _matches(source.where, event)


def _matches(where: Mapping[str, Sequence[Any]], event: Event) -> bool:
    """Every path of `where` holds one of its values, of the same kind: true is not 1, and 1 is 1.0."""
    for path, allowed in where.items():
        value = _at_path(event, path)
        if not any(_same(value, wanted) for wanted in allowed):
            return False
    return True


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    return bool(left == right)


def _at_path(event: Event, path: str) -> Any:
    first, _, rest = path.partition(".")
    value: Any = event.get("traits") if first == "traits" else event.get("properties")
    for name in (rest if first == "traits" else path).split("."):
        if not isinstance(value, Mapping) or name not in value:
            return MISSING
        value = value[name]
    return value


def _values(source: Source, kind: str, event: Event) -> Iterator[Plain]:
    """The event's value or values for an attribute of this type; nothing if it is of another type."""
    value = _at_path(event, source.path)
    if kind == "strings":
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, str):
                yield cut(item)
        return
    plain = plain_value(value, kind)
    if plain is not None:
        # Adding zero makes -0.0 the one zero.
        yield cut(plain) if isinstance(plain, str) else plain + 0.0 if isinstance(plain, float) else plain


def plain_value(value: Any, kind: str) -> Plain | None:
    """A value that came from outside as one of type `kind`; None if it is none."""
    match kind, value:
        case "bool", bool():
            return value
        case "int", int() | float():
            return whole_number(value)
        case "float", int() | float():
            return finite_number(value)
        case "string", str():
            return value
        case "timestamp", str():
            ms = timestamp_ms_or_none(value)
            return None if ms is None else Timestamp(ms)
    return None


def whole_number(value: Any) -> int | None:
    """An int of 64 bits; 3.0 is one, for JSON and gRPC do not tell the two apart."""
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        return None
    return int(value) if INT_MIN <= int(value) <= INT_MAX else None


def finite_number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def cut(text: str) -> str:
    """At most 1,024 bytes of UTF-8, cut at a character's border."""
    return text.encode()[:STRING_BYTES_MAX].decode(errors="ignore")


def consent_at(purpose: str, events: Sequence[Event]) -> tuple[str, int] | None:
    """The state of one consent and since when: the latest, and of equally late ones the strictest."""
    strictness = ("granted", "denied", "withdrawn")
    changes = [
        (event["at_ms"], strictness.index(event["consent"]["state"]))
        for event in events
        if event.get("consent") and event["consent"]["purpose"] == purpose
    ]
    if not changes:
        return None
    at_ms, state = max(changes)
    return strictness[state], at_ms


def impressions(events: Sequence[Event]) -> list[tuple[int, int, int, int]]:
    """The newest entries of the display history: minute, hashes of offer and channel, impressions."""
    counted: dict[tuple[int, int, int], int] = {}
    for event in events:
        if event["name"] != "Impression":
            continue
        offer, channel = (event["properties"].get(name) for name in ("offer", "channel"))
        if isinstance(offer, str):
            channel = channel if isinstance(channel, str) else ""
            entry = (event["at_ms"] // MINUTE_MS, xxh64(offer.encode()), xxh64(channel.encode()))
            counted[entry] = counted.get(entry, 0) + 1
    return [(*entry, counted[entry]) for entry in sorted(counted)[-IMPRESSIONS_MAX:]]


def assignments(
    experiments: Mapping[str, Any], events: Sequence[Event]
) -> dict[tuple[int, int], tuple[int, int]]:
    """Sticky assignments (0011): (experiment, source) -> when it was first shown which variant, all of it as
    hashes; the earliest of them all, as far as a record has room.
    """
    first: dict[tuple[int, int], tuple[int, int]] = {}
    for event in events:
        if event["name"] not in ("Impression", "Exposure"):
            continue
        source = int.from_bytes(bytes.fromhex(event.get("source", ""))[:8], "little")
        for experiment, variant in _shown_variants(experiments, event["properties"].get("experiments")):
            found = (event["at_ms"], xxh64(variant.encode()))
            first[experiment, source] = min(first.get((experiment, source), found), found)
    kept = sorted(first, key=lambda key: (first[key][0], key))[:ASSIGNMENTS_MAX]
    return {key: first[key] for key in kept}


def _shown_variants(experiments: Mapping[str, Any], shown: Any) -> Iterator[tuple[int, str]]:
    """What an exposure says of experiments that are sticky now, in the version that they have now."""
    for entry in shown if isinstance(shown, list) else []:
        name, variant, version = (
            (entry.get(field) for field in ("id", "variant", "sticky_version"))
            if isinstance(entry, dict)
            else (None, None, None)
        )
        experiment = experiments.get(name) if isinstance(name, str) else None
        if experiment is None or not experiment.get("sticky") or isinstance(version, bool):
            continue
        known = any(one["id"] == variant for one in experiment["variants"])
        if known and version == experiment.get("sticky_version", 0):
            yield assignment_name(experiment), variant


def assignment_name(experiment: Mapping[str, Any]) -> int:
    return xxh64(f"{experiment['id']}\0{experiment.get('sticky_version', 0)}".encode())


def _granule(at_ms: int, source: Source) -> int:
    return at_ms // source.granularity_ms
