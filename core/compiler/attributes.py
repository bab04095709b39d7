"""Attributes: their types, how events feed them, their slots and defaults."""

import json
import math
from dataclasses import dataclass, field
from typing import Final

from core import bundle
from core.authoring import Path, shown
from core.authoring.builtins import CONTEXT, IDENTIFY
from core.authoring.text import timestamp_ms
from core.authoring.types import Attribute, Source
from core.authoring.windows import GRANULES_MAX, half_life_granularity_ms, window_granularity_ms
from core.cel.typed import TYPE_NAMES
from core.compiler.layout import Slots
from core.compiler.taxonomy import Taxonomy
from core.compiler.work import Work
from core.hashing import xxh64

TYPES: Final[dict[str, int]] = {
    "bool": bundle.BOOL,
    "int": bundle.INT,
    "float": bundle.FLOAT,
    "string": bundle.STRING,
    "timestamp": bundle.TIMESTAMP,
    "strings": bundle.STRINGS,
}
FUNCTIONS: Final[dict[str, int]] = {
    "count": bundle.F_COUNT,
    "sum": bundle.F_SUM,
    "last": bundle.F_LAST,
    "first": bundle.F_FIRST,
    "min": bundle.F_MIN,
    "max": bundle.F_MAX,
    "strings": bundle.F_STRINGS,
}
#: The types that an attribute of each function can have; a decaying count or sum is a float.
FUNCTION_TYPES: Final[dict[str, tuple[str, ...]]] = {
    "count": ("int",),
    "sum": ("int", "float"),
    "last": ("bool", "int", "float", "string", "timestamp"),
    "first": ("bool", "int", "float", "string", "timestamp"),
    "min": ("int", "float", "timestamp"),
    "max": ("int", "float", "timestamp"),
    "strings": ("strings",),
}
AMOUNTS: Final = frozenset({"count", "sum"})
INT_MAX: Final = 2**63 - 1
DEFAULT_STRINGS_MAX: Final = 63
#: What a source may say beside `events` and `function`, by function; `where` goes with all of them.
OPTIONS: Final[dict[str, frozenset[str]]] = {
    "count": frozenset({"window", "half_life", "granularity", "resets", "subtract"}),
    "sum": frozenset({"property", "window", "half_life", "granularity", "resets", "subtract"}),
    "strings": frozenset({"property", "window"}),
    **{name: frozenset({"property"}) for name in ("last", "first", "min", "max")},
}
OPTION_NAMES: Final = ("property", "window", "half_life", "granularity", "resets", "subtract")


@dataclass(slots=True)
class Attributes:
    """The bundle's attributes by full name, their paths, and the fold."""

    items: list[bundle.Attribute] = field(default_factory=list)
    index: dict[str, int] = field(default_factory=dict)
    folds: list[bundle.FoldRule] = field(default_factory=list)
    malformed: set[str] = field(default_factory=set)  # full names of those whose type or place is unknown

    def find(self, work: Work, name: str, path: Path) -> int:
        """The index of an attribute by its full name; -1 and a fault at `path` if there is none."""
        found = self.index.get(name, -1)
        if found < 0 and name not in self.malformed:
            work.faults.add(path, "a declared attribute", shown(name), of=work.unnamed["attributes"])
        return found


@dataclass(slots=True, frozen=True)
class _Read:
    """How an attribute is read from the record, and what feeds it."""

    reading: int
    slot: int
    window_ms: int = 0


def compile_attributes(work: Work, slots: Slots, taxonomy: Taxonomy) -> Attributes:
    """Compile declared and built-in attributes, in the order of their full names."""
    result = Attributes()
    items = [
        bundle.Attribute(f"context.{name}", kind, bundle.READ_CONTEXT, -1, True, None)
        for name, kind in CONTEXT.items()
    ]
    for path, attribute in work.ordered("attributes"):
        items.append(_compile(work, slots, taxonomy, result.folds, path, attribute))
        unknown = work.faults.unknown
        if unknown.touches((*path, "source")):
            result.malformed |= {f"{scope}.{attribute.id}" for scope in ("profile", "context")}
            if not unknown.holds((*path, "source")) and not unknown.holds((*path, "type")):
                result.malformed.discard(full_name(attribute))
        elif unknown.holds((*path, "type")):
            result.malformed.add(full_name(attribute))
    items.sort(key=lambda item: item.name)
    result.items = items
    result.index = {item.name: at for at, item in enumerate(items) if item.name not in result.malformed}
    result.folds.sort(key=lambda rule: rule.slot)
    return result


def full_name(attribute: Attribute) -> str:
    return f"context.{attribute.id}" if attribute.source == "context" else f"profile.{attribute.id}"


def _compile(
    work: Work,
    slots: Slots,
    taxonomy: Taxonomy,
    folds: list[bundle.FoldRule],
    path: Path,
    attribute: Attribute,
) -> bundle.Attribute:
    kind = TYPES[attribute.type]
    default = _default(work, path, attribute)
    if attribute.source == "context":
        if attribute.id in CONTEXT:
            built_in = f"context.{attribute.id}"
            work.faults.add((*path, "id"), "a name that is not built in", built_in, of=[(*path, "source")])
        return bundle.Attribute(full_name(attribute), kind, bundle.READ_CONTEXT, -1, True, default)
    if isinstance(attribute.source, Source):
        read = _source(work, slots, taxonomy, folds, path, attribute, attribute.source)
        if default is None and attribute.source.function in AMOUNTS:
            default = 0.0 if kind == bundle.FLOAT else 0
    else:
        if kind != bundle.FLOAT:
            work.faults.add((*path, "type"), "float for a score", attribute.type, of=[(*path, "source")])
        read = _Read(bundle.READ_SCORE, slots.slot(attribute.id, _fingerprint("score")))
    return bundle.Attribute(
        full_name(attribute), kind, read.reading, read.slot, attribute.edge, default, read.window_ms
    )


def _source(
    work: Work,
    slots: Slots,
    taxonomy: Taxonomy,
    folds: list[bundle.FoldRule],
    path: Path,
    attribute: Attribute,
    source: Source,
) -> _Read:
    path = (*path, "source")
    if source.trait is not None:
        source = _trait(work, path, source)
    _check_events(work, taxonomy, path, source)
    _check_where(work, path, source)
    function = source.function
    if function is None or not source.events:
        needed = [(*path, name) for name in ("trait", "events", "function")]
        work.faults.add(path, "`trait`, or `events` with a `function`", "neither", of=needed)
        return _Read(bundle.READ_PLAIN, -1)
    _check_options(work, path, function, source)
    _check_type(work, path, attribute, source)
    window_ms = work.duration(source.window, (*path, "window"))
    rule = _fold_rule(work, path, attribute, source, window_ms)
    slot = slots.slot(attribute.id, _fingerprint(attribute.type, rule))
    folds.append(_with_slot(rule, slot))
    if function in AMOUNTS:
        return _Read(bundle.READ_BUCKETS if rule.granularity_ms else bundle.READ_TOTAL, slot)
    return _Read(bundle.READ_PLAIN, slot, window_ms if function == "strings" else 0)


def _trait(work: Work, path: Path, source: Source) -> Source:
    """`trait: x` is the last value of Identify's traits.x."""
    if (
        source.events
        or source.function is not None
        or any(getattr(source, name) for name in OPTION_NAMES)
        or source.where
    ):
        expected = "`trait` alone, or `events` with a `function`"
        work.faults.add((*path, "trait"), expected, "both", of=[path])
    return Source(events=[IDENTIFY], function="last", property=f"traits.{source.trait}")


def _check_options(work: Work, path: Path, function: str, source: Source) -> None:
    for name in OPTION_NAMES:
        if getattr(source, name) and name not in OPTIONS[function]:
            allowed = ", ".join(sorted(OPTIONS[function]))
            expected = f"with the function {function} only {allowed}"
            work.faults.add((*path, name), expected, f"`{name}`", of=[(*path, "function"), (*path, name)])
    if source.property is None and function not in ("count",):
        expected = f"`property`, which the function {function} needs"
        work.faults.add(path, expected, "none", of=[(*path, "function"), (*path, "property")])


def _check_events(work: Work, taxonomy: Taxonomy, path: Path, source: Source) -> None:
    for key, names in (("events", source.events), ("resets", source.resets), ("subtract", source.subtract)):
        work.repeated(names, (*path, key), "event")
        for at, name in enumerate(names):
            if name not in taxonomy.names:
                hint = f", an alias of {shown(taxonomy.aliases[name])}" if name in taxonomy.aliases else ""
                got = shown(name) + hint
                work.faults.add((*path, key, at), "a canonical event name", got, of=work.unnamed["events"])
    both = set(source.events) & set(source.subtract)
    for name in sorted(both):
        work.faults.add((*path, "subtract"), "events that are not in `events`", shown(name), of=())


def _check_where(work: Work, path: Path, source: Source) -> None:
    """Values that no property can have are faults."""
    for name, allowed in source.where.items():
        for value in allowed if isinstance(allowed, list) else [allowed]:
            if not is_storable(value):
                expected = "ints of 64 bits and finite numbers"
                work.faults.add((*path, "where", name), expected, shown(value), of=())


def _check_type(work: Work, path: Path, attribute: Attribute, source: Source) -> None:
    assert source.function is not None
    allowed = FUNCTION_TYPES[source.function]
    if source.function in AMOUNTS and source.half_life is not None:
        allowed = ("float",)
    if attribute.type not in allowed:
        what = f"{' or '.join(allowed)} for {'a decaying ' if source.half_life else ''}{source.function}"
        rests = [(*path, "function"), (*path, "half_life")]
        work.faults.add((*path[:-1], "type"), what, attribute.type, of=rests)


def _fold_rule(
    work: Work, path: Path, attribute: Attribute, source: Source, window_ms: int
) -> bundle.FoldRule:
    assert source.function is not None
    amount = source.function in AMOUNTS
    half_life_ms = work.duration(source.half_life, (*path, "half_life"))
    granularity_ms = _granularity(work, path, source, window_ms, half_life_ms) if amount else 0
    kind = bundle.INT if source.function == "count" else TYPES[attribute.type]
    return bundle.FoldRule(
        slot=-1,
        function=FUNCTIONS[source.function],
        type=kind,
        events=sorted(source.events),
        property=source.property or "",
        where={
            name: list(allowed) if isinstance(allowed, list) else [allowed]
            for name, allowed in sorted(source.where.items())
        },
        window_ms=window_ms if amount else 0,  # strings drop what is old when they are read
        half_life_ms=half_life_ms,
        granularity_ms=granularity_ms,
        resets=sorted(source.resets),
        subtract=sorted(source.subtract),
    )


def _granularity(work: Work, path: Path, source: Source, window_ms: int, half_life_ms: int) -> int:
    """The time that one bucket spans; 0 for an all-time amount."""
    if source.granularity is None:
        if window_ms:
            return window_granularity_ms(window_ms)
        if half_life_ms:
            return half_life_granularity_ms(half_life_ms)
        if source.resets:
            rests = [(*path, name) for name in ("function", "window", "half_life", "granularity", "resets")]
            work.faults.add(path, "`granularity` or `window` beside `resets`", "neither", of=rests)
        return 0
    granularity_ms = work.duration(source.granularity, (*path, "granularity"))
    if not granularity_ms or not window_ms:
        return granularity_ms
    rests = [(*path, "window"), (*path, "function")]
    if window_ms % granularity_ms:
        expected = f"a granularity that divides the window {source.window}"
        work.faults.add((*path, "granularity"), expected, shown(source.granularity), of=rests)
    elif window_ms // granularity_ms > GRANULES_MAX:
        expected = f"a window of at most {GRANULES_MAX} granules"
        work.faults.add((*path, "granularity"), expected, f"{window_ms // granularity_ms}", of=rests)
    return granularity_ms


def _with_slot(rule: bundle.FoldRule, slot: int) -> bundle.FoldRule:
    values = {name: getattr(rule, name) for name in rule.__struct_fields__}
    return bundle.FoldRule(**{**values, "slot": slot})


def _fingerprint(kind: str, rule: bundle.FoldRule | None = None) -> str:
    """What a slot holds: the type and the aggregation, nothing that is only about reading it."""
    parts = (
        {}
        if rule is None
        else {name: getattr(rule, name) for name in rule.__struct_fields__ if name != "slot"}
    )
    text = json.dumps([kind, parts], sort_keys=True, separators=(",", ":"))
    return f"{xxh64(text.encode()):016x}"


def _default(work: Work, path: Path, attribute: Attribute) -> bool | int | float | str | list[str] | None:
    """The declared default in the attribute's type."""
    value, kind = attribute.default, TYPES[attribute.type]
    rests = [(*path, "type"), (*path, "default")]
    path = (*path, "default")
    if value is None:
        return None
    if kind == bundle.TIMESTAMP and isinstance(value, str):
        try:
            return timestamp_ms(value)
        except ValueError as error:
            work.faults.add(path, str(error), shown(value), of=rests)
            return None
    if kind == bundle.FLOAT and type(value) is int and abs(value) <= INT_MAX:
        return float(value)
    if kind == bundle.STRINGS and isinstance(value, list):
        if len(value) <= DEFAULT_STRINGS_MAX:
            return sorted(set(value))
        expected = f"at most {DEFAULT_STRINGS_MAX} strings"
        work.faults.add(path, expected, str(len(value)), of=rests[:1])
        return None
    python = {bundle.BOOL: bool, bundle.INT: int, bundle.FLOAT: float, bundle.STRING: str}.get(kind)
    if type(value) is python and is_storable(value):
        return value
    work.faults.add(path, f"a default of type {TYPE_NAMES[kind]}", shown(value), of=rests)
    return None


def is_storable(value: bool | int | float | str | list[str]) -> bool:
    """Whether a record can hold the value: ints have 64 bits, doubles are finite."""
    if type(value) is int:
        return -INT_MAX - 1 <= value <= INT_MAX
    return not isinstance(value, float) or math.isfinite(value)
