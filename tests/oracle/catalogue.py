"""The authoring catalogue as the oracle reads it: plain dicts, by id, as the YAML files hold them."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tests.oracle.cel import Node, parse
from tests.oracle.fold import Source
from tests.oracle.numbers import millionths
from tests.oracle.times import timestamp_ms

#: Purposes that always exist; only `ads` heeds Global Privacy Control unless a declaration says so.
BUILT_IN_PURPOSES: Final = ("personalization", "email", "sms", "analytics", "ads")
BUILT_IN_CONTEXT: Final = (
    *("device", "browser", "os", "url", "path", "referrer", "referrer_domain", "country", "region", "city"),
    *("time_zone", "locale", "utm_source", "utm_medium", "utm_campaign"),
)
DAY_MS: Final = 24 * 3600 * 1000
STALE_AFTER: Final = "30d"
_UNITS_MS: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": DAY_MS}
#: What an undeclared granularity is chosen from: the smallest that divides a window into at most 60 parts, or
#: that is at least an eighth of a half life.
NICE_MS: Final = [
    *(n * 1000 for n in (1, 2, 5, 10, 15, 20, 30)),
    *(n * 60_000 for n in (1, 2, 3, 5, 10, 15, 20, 30)),
    *(n * 3_600_000 for n in (1, 2, 3, 4, 6, 8, 12)),
    *(n * DAY_MS for n in (1, 2, 3, 5, 7, 10, 14, 15, 30)),
]
GRANULES_AIM: Final = 60
GRANULES_PER_HALF_LIFE: Final = 8
_SPAN: Final = re.compile(r"(\d+)(ms|s|m|h|d)")


@dataclass(frozen=True)
class Attribute:
    """A declared attribute of the profile or the context. `source`: a Source, "score" or "context"."""

    type: str
    source: Source | str
    default: Any


class Catalogue:
    """What people author, ready to be asked."""

    def __init__(self, authored: Mapping[str, Any]) -> None:
        self.aliases = {
            alias: event["name"] for event in authored.get("events", []) for alias in event.get("aliases", [])
        }
        self.attributes: dict[tuple[str, str], Attribute] = {
            ("context", name): Attribute("string", "context", None) for name in BUILT_IN_CONTEXT
        }
        self.attributes["context", "gpc"] = Attribute("bool", "context", None)
        for attribute in authored.get("attributes", []):
            scope = "context" if attribute["source"] == "context" else "profile"
            self.attributes[scope, attribute["id"]] = _attribute(attribute)
        self.segments = {segment["id"]: parse(segment["when"]) for segment in authored.get("segments", [])}
        self.blocks = _by_id(authored, "blocks")
        self.governance: Mapping[str, Any] = authored.get("governance", {})
        self.placements = _by_id(authored, "placements")
        self.offers = _by_id(authored, "offers")
        self.models = _by_id(authored, "models")
        self.artifacts: Mapping[str, str] = authored.get("artifacts", {})
        self.rules = _by_id(authored, "rules")
        self.caps = _by_id(authored, "caps")
        self.experiments = _by_id(authored, "experiments")
        self.holdouts = _by_id(authored, "holdouts")
        self.layers = _by_id(authored, "layers")
        self.purposes_gpc = {purpose: purpose == "ads" for purpose in BUILT_IN_PURPOSES} | {
            purpose["id"]: purpose.get("gpc", False) for purpose in authored.get("purposes", [])
        }
        self.stale_after_ms = span_ms(authored.get("settings", {}).get("stale_after", STALE_AFTER))

    def canonical(self, name: str) -> str:
        return str(self.aliases.get(name, name))


def span_ms(text: str) -> int:
    """Milliseconds of an authored span such as `80ms`, `12h`, `90d`."""
    match = _SPAN.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r} is no span of time")
    return int(match[1]) * _UNITS_MS[match[2]]


def optional_span_ms(authored: Mapping[str, Any], key: str) -> int:
    """The span under a key; 0 where there is none."""
    return span_ms(authored[key]) if authored.get(key) else 0


def instant_ms(authored: str | None) -> int | None:
    return None if authored is None else timestamp_ms(authored)


def condition(authored: Mapping[str, Any], key: str = "when") -> Node | None:
    """The parsed expression under a key; None where there is none."""
    return parse(authored[key]) if authored.get(key) is not None else None


def share(value: float) -> int:
    return millionths(value)


def applies(item: Mapping[str, Any], offer: Mapping[str, Any], placement: str) -> bool:
    """Whether a rule or cap applies to an offer at a placement: any of its lists, or no list at all."""
    scope = item.get("applies_to") or {}
    if not any(scope.values()):
        return True
    return (
        offer["id"] in scope.get("offers", [])
        or bool(set(offer.get("tags", [])) & set(scope.get("tags", [])))
        or placement in scope.get("placements", [])
    )


def applies_somewhere(item: Mapping[str, Any], offer: Mapping[str, Any]) -> bool:
    """Whether it applies to the offer as such, or at a placement for which the offer has a treatment."""
    placements = ["", *(treatment["placement"] for treatment in offer.get("treatments", []))]
    return any(applies(item, offer, placement) for placement in placements)


def _attribute(authored: Mapping[str, Any]) -> Attribute:
    source, kind, default = authored["source"], authored["type"], authored.get("default")
    if kind == "timestamp" and isinstance(default, str):
        default = timestamp_ms(default)
    if isinstance(source, str):
        return Attribute(kind, source, default)
    folded = _source(source)
    if default is None and folded.function in ("count", "sum"):
        default = 0
    return Attribute(kind, folded, float(default) if kind == "float" and default is not None else default)


def _source(authored: Mapping[str, Any]) -> Source:
    if "trait" in authored:
        return Source("last", frozenset({"Identify"}), "traits." + authored["trait"])
    window, half_life = (optional_span_ms(authored, key) for key in ("window", "half_life"))
    where = authored.get("where", {})
    function = authored["function"]
    return Source(
        function,
        frozenset(authored["events"]),
        authored.get("property", ""),
        {path: allowed if isinstance(allowed, list) else [allowed] for path, allowed in where.items()},
        window,
        half_life,
        _granularity_ms(authored, window, half_life) if function in ("count", "sum") else 0,
        frozenset(authored.get("resets", [])),
        frozenset(authored.get("subtract", [])),
    )


def _granularity_ms(authored: Mapping[str, Any], window_ms: int, half_life_ms: int) -> int:
    """The span of one time bucket; 0 for an all-time amount, which needs none."""
    if authored.get("granularity"):
        return span_ms(authored["granularity"])
    if window_ms:
        nice = [unit for unit in NICE_MS if window_ms % unit == 0 and window_ms // unit <= GRANULES_AIM]
        whole = [window_ms // parts for parts in range(GRANULES_AIM, 0, -1) if window_ms % parts == 0]
        return (nice or whole)[0]
    if half_life_ms:
        return next((unit for unit in NICE_MS if unit * GRANULES_PER_HALF_LIFE >= half_life_ms), NICE_MS[-1])
    return 0


def _by_id(authored: Mapping[str, Any], kind: str) -> dict[str, Any]:
    items: Iterable[Mapping[str, Any]] = authored.get(kind, [])
    return {item["id"]: item for item in sorted(items, key=lambda item: item["id"].encode())}
