"""Profiles for the tests of record and fold: a document with every kind of fold rule, streams of events."""

import math
from typing import Any, Final

from hypothesis import strategies as st

from core import bundle as b
from core.events import Consent, Event, Identifier
from core.fold import FoldPlan, State
from tests.oracle.fold import Source

UNIT_KEY: Final = bytes(range(16))
PURPOSES: Final = ("personalization", "email", "sms", "analytics", "ads")
SECOND: Final = 1000
START: Final = 1_795_455_809_000  # 2026-11-23T17:43:29Z
TYPE_NAMES: Final = {
    b.BOOL: "bool", b.INT: "int", b.FLOAT: "float", b.STRING: "string", b.TIMESTAMP: "timestamp",
    b.STRINGS: "strings",
}  # fmt: skip
FUNCTION_NAMES: Final = {
    b.F_COUNT: "count", b.F_SUM: "sum", b.F_LAST: "last", b.F_FIRST: "first", b.F_MIN: "min", b.F_MAX: "max",
    b.F_STRINGS: "strings",
}  # fmt: skip


def rule(slot: int, function: int, kind: int, *events: str, **options: Any) -> b.FoldRule:
    return b.FoldRule(slot, function, kind, list(events), **options)


#: One of every kind; slots leave gaps, as a layout that has lost attributes does.
RULES: Final = [
    rule(16, b.F_COUNT, b.INT, "View"),
    rule(17, b.F_COUNT, b.INT, "View", where={"color": ["red", 1, True], "traits.vip": [True]}),
    rule(18, b.F_SUM, b.INT, "View", "Order", property="n"),
    rule(19, b.F_SUM, b.FLOAT, "Order", property="price", subtract=["Refund"]),
    rule(20, b.F_COUNT, b.INT, "View", granularity_ms=SECOND, window_ms=20 * SECOND, resets=["Order"]),
    rule(21, b.F_SUM, b.FLOAT, "Order", property="price", granularity_ms=SECOND, subtract=["Refund"]),
    rule(22, b.F_COUNT, b.INT, "View", granularity_ms=SECOND, half_life_ms=5 * SECOND),
    rule(
        24, b.F_SUM, b.FLOAT, "Order", property="price",
        granularity_ms=SECOND, half_life_ms=7 * SECOND, window_ms=30 * SECOND, resets=["Refund"],
    ),
    rule(25, b.F_SUM, b.INT, "View", property="n", granularity_ms=2 * SECOND, window_ms=8 * SECOND),
    *(
        rule(30 + 10 * number + kind, function, kind, "View", "Order", property=TYPE_NAMES[kind])
        for number, function in enumerate((b.F_LAST, b.F_FIRST, b.F_MIN, b.F_MAX))
        for kind in (b.BOOL, b.INT, b.FLOAT, b.STRING, b.TIMESTAMP)
    ),
    rule(80, b.F_STRINGS, b.STRINGS, "View", property="tags"),
    rule(81, b.F_STRINGS, b.STRINGS, "View", property="tags", window_ms=40 * SECOND),
    rule(82, b.F_LAST, b.STRING, property="traits.address.city"),
]  # fmt: skip


def source_of(rule: b.FoldRule) -> Source:
    """The same rule as the oracle knows it."""
    return Source(
        FUNCTION_NAMES[rule.function],
        frozenset(rule.events or ["Identify"]),
        rule.property,
        rule.where,
        rule.window_ms,
        rule.half_life_ms,
        rule.granularity_ms,
        frozenset(rule.resets),
        frozenset(rule.subtract),
    )


def attribute_of(rule: b.FoldRule) -> b.Attribute:
    reading = b.READ_PLAIN
    if rule.function in (b.F_COUNT, b.F_SUM):
        reading = b.READ_BUCKETS if rule.granularity_ms else b.READ_TOTAL
    window_ms = rule.window_ms if rule.function == b.F_STRINGS else 0
    return b.Attribute(f"profile.a{rule.slot}", rule.type, reading, rule.slot, True, None, window_ms)


def document_of(rules: list[b.FoldRule], **fields: Any) -> b.BundleDocument:
    purposes = [b.Purpose(name, slot, name == "ads") for slot, name in enumerate(PURPOSES)]
    purposes.append(b.Purpose("loyalty", 100, False))
    defaults: dict[str, Any] = {name: [] for name in b.BundleDocument.__struct_fields__} | {
        "attributes": [attribute_of(rule) for rule in rules],
        "tables": b.Tables([], [], 0),
        "purposes": purposes,
        "folds": rules,
        "aliases": {"PDP_Visit": "View"},
        "behaviour_purposes": [0, 3],
        "layout_id": 7,
        "stale_after_ms": 1,
        "sources": {},
    }
    return b.BundleDocument(**(defaults | fields))


DOCUMENT: Final = document_of(RULES)
PLAN: Final = FoldPlan(DOCUMENT)


def event(
    name: str,
    at_ms: int = START,
    properties: dict[str, Any] | None = None,
    *,
    message_id: str = "m",
    kind: str = "track",
    traits: dict[str, Any] | None = None,
    consent: Consent | None = None,
    identifiers: tuple[Identifier, ...] = (),
) -> Event:
    return Event(message_id, kind, name, at_ms, at_ms, identifiers, properties or {}, traits or {}, consent)


def consent_event(purpose: str, state: str, at_ms: int = START, message_id: str = "c") -> Event:
    consent = Consent(purpose, state, "v1", "web")
    return event("Consent", at_ms, message_id=message_id, kind="consent", consent=consent)


def fold(events: list[Event], plan: FoldPlan = PLAN) -> State:
    state = State()
    for one in events:
        state.apply(plan, one, behaviour=True)
    return state


def pack(state: State, packed_at_ms: int = START, **fields: Any) -> bytes:
    defaults: dict[str, Any] = {"layout_id": 7, "sequence": 3, "unit_key": UNIT_KEY, "known": False}
    return state.pack(**{**defaults, "packed_at_ms": packed_at_ms, **fields})


# Events on a coarse grid of time and from small pools, so that ties, equal granules and evictions are common.
NAMES = st.sampled_from(["View", "View", "View", "Order", "Refund", "Identify", "Impression", "Other"])
TEXTS = st.one_of(st.sampled_from(["red", "blue", "", "größe", "é" * 700]), st.text(max_size=3))
# Numbers that add up without leaving 64 bits, and values that are none.
ADDENDS = st.one_of(
    st.integers(-5, 5),
    st.floats(-1e6, 1e6),
    st.sampled_from([math.nan, math.inf, True, "7", -0.0, 3.0, None]),
)
NUMBERS = st.one_of(ADDENDS, st.floats(), st.integers(-(2**64), 2**64))
MOMENTS = st.sampled_from(
    [
        "2026-11-23T17:43:29Z",
        "2026-11-23T17:43:29.1299+02:00",
        "1969-12-31T23:59:59.999Z",
        "2026-11-23",
        "soon",
    ]
)
TREES = st.fixed_dictionaries({}, optional={"city": st.one_of(TEXTS, st.none())})


def properties() -> st.SearchStrategy[dict[str, Any]]:
    values: dict[str, st.SearchStrategy[Any]] = {
        "color": st.sampled_from(["red", "blue", 1, 1.0, True, None, ["red"]]),
        "n": ADDENDS,
        "price": ADDENDS,
        "bool": st.one_of(st.booleans(), st.just(1)),
        "int": NUMBERS,
        "float": NUMBERS,
        "string": st.one_of(TEXTS, st.just(7)),
        "timestamp": st.one_of(MOMENTS, st.just(0)),
        "tags": st.one_of(TEXTS, st.lists(st.one_of(TEXTS, st.just(3)), max_size=5)),
        "offer": st.one_of(st.sampled_from(["a", "b"]), st.none()),
        "channel": st.one_of(st.sampled_from(["web", "email"]), st.none()),
    }
    return st.fixed_dictionaries({}, optional=values)


def moments(most: int = 400) -> st.SearchStrategy[int]:
    """Times on a grid of a quarter granule, a hundred granules wide."""
    return st.integers(0, most).map(lambda step: START + step * SECOND // 4)


@st.composite
def facts(draw: st.DrawFn, message_ids: st.SearchStrategy[str]) -> Event:
    traits = draw(st.fixed_dictionaries({}, optional={"vip": st.booleans(), "address": TREES}))
    return event(
        draw(NAMES), draw(moments()), draw(properties()), message_id=draw(message_ids), traits=traits
    )


@st.composite
def consents(draw: st.DrawFn) -> Event:
    purpose = draw(st.sampled_from(["personalization", "analytics", "loyalty", "unheard-of"]))
    state = draw(st.sampled_from(["granted", "denied", "withdrawn"]))
    return consent_event(purpose, state, draw(moments(8)), draw(st.sampled_from("pqr")))


def histories(*, tied: bool, size: int = 40) -> st.SearchStrategy[list[Event]]:
    """Lists of events; `tied`: message ids repeat, so that stamps can be equal."""
    ids = st.sampled_from("xyz") if tied else st.uuids(version=4).map(str)
    return st.lists(st.one_of(facts(ids), facts(ids), facts(ids), consents()), max_size=size)
