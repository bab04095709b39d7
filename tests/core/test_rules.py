"""The tables that match rules: every operator on every kind of value, missing values, both planes."""

import math
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import bundle as b
from core.decide import Engine, Request
from tests.core.sketch import (
    INT64_MAX,
    INT64_MIN,
    NOW,
    UNIT_KEY,
    Entry,
    Sketch,
    bool_slot,
    buckets_slot,
    consent_slot,
    float_slot,
    int_slot,
    record,
    score_slot,
    string_slot,
    strings_slot,
    time_slot,
    total_slot,
)

TRUE, FALSE, ERROR = "true", "false", "error"


def verdict(
    sketch: Sketch,
    condition: int,
    slots: dict[int, Entry] | None = None,
    context: dict[str, Any] | None = None,
) -> str:
    """true, false or error of one condition, asked through two rules that stand for its two planes."""
    sketch.rules.clear()
    every = list(range(len(sketch.attributes)))
    sketch.rules.append(b.Rule("is-true", 2 * condition, 2 * condition + 1, every, ""))
    sketch.rules.append(b.Rule("is-false", 2 * condition + 1, 2 * condition, every, ""))
    matched = Engine(sketch.content(), 1).match(record(slots), context or {}, NOW)
    assert matched != [0, 1]
    return ERROR if not matched else TRUE if matched == [0] else FALSE


@pytest.mark.parametrize(
    ("kind", "slot", "lo", "hi", "expected"),
    [
        (b.INT, int_slot(5), 5, 9, TRUE),
        (b.INT, int_slot(9), 5, 9, TRUE),
        (b.INT, int_slot(4), 5, 9, FALSE),
        (b.INT, int_slot(10), 5, 9, FALSE),
        (b.INT, int_slot(INT64_MIN), INT64_MIN, INT64_MIN, TRUE),
        (b.INT, int_slot(INT64_MAX), INT64_MIN, INT64_MAX, TRUE),
        (b.INT, int_slot(INT64_MIN), 0, INT64_MAX, FALSE),
        (b.INT, int_slot(INT64_MAX), INT64_MIN, -1, FALSE),
        (b.INT, int_slot(2**53 + 1), 2**53 + 1, INT64_MAX, TRUE),
        (b.INT, int_slot(2**53), 2**53 + 1, INT64_MAX, FALSE),
        (b.BOOL, bool_slot(True), 1, 1, TRUE),
        (b.BOOL, bool_slot(False), 1, 1, FALSE),
        (b.TIMESTAMP, time_slot(NOW), NOW, INT64_MAX, TRUE),
        (b.FLOAT, float_slot(-1.5), b.float_key(-2.0), b.float_key(-1.0), TRUE),
        (b.FLOAT, float_slot(-0.0), b.float_key(0.0), b.float_key(math.inf), TRUE),
        (b.FLOAT, float_slot(-5e-324), b.float_key(0.0), b.float_key(math.inf), FALSE),
        (b.FLOAT, float_slot(math.inf), b.float_key(0.0), b.float_key(math.inf), TRUE),
        (b.INT, int_slot(5), 1, 0, FALSE),  # an empty range: no value passes
    ],
)
def test_range(kind: int, slot: Entry, lo: int, hi: int, expected: str) -> None:
    sketch = Sketch()
    condition = sketch.condition(b.OP_RANGE, sketch.attribute("profile.x", kind), lo=lo, hi=hi)
    assert verdict(sketch, condition, {16: slot}) == expected
    assert verdict(sketch, condition) == ERROR


def test_a_score_is_missing_once_its_time_to_live_is_over() -> None:
    sketch = Sketch()
    score = sketch.attribute("profile.score", b.FLOAT, reading=b.READ_SCORE)
    condition = sketch.condition(b.OP_RANGE, score, lo=b.float_key(0.25), hi=b.float_key(math.inf))
    assert verdict(sketch, condition, {16: score_slot(0.5, NOW, 1)}) == TRUE
    assert verdict(sketch, condition, {16: score_slot(0.5, NOW - 1, 1)}) == ERROR


@pytest.mark.parametrize(
    ("value", "strings", "expected"),
    [
        ("red", ["red"], TRUE),
        ("red", ["blue", "red", "green"], TRUE),
        ("red", ["Red", "re", "redd", ""], FALSE),
        ("", [""], TRUE),
        ("straße", ["straße"], TRUE),
        ("red", [], FALSE),
    ],
)
def test_string_in(value: str, strings: list[str], expected: str) -> None:
    sketch = Sketch()
    condition = sketch.condition(b.OP_STRING_IN, sketch.attribute("profile.x", b.STRING), strings=strings)
    sketch.condition(b.OP_STRING_IN, 0, strings=["another"])
    assert verdict(sketch, condition, {16: string_slot(value)}) == expected
    assert verdict(sketch, condition) == ERROR
    sketch.attributes[0] = b.Attribute("context.x", b.STRING, b.READ_CONTEXT, -1, True, None)
    assert verdict(sketch, condition, None, {"x": value}) == expected


def test_equal_hashes_of_different_strings_do_not_match() -> None:
    """The record says the hash; the bytes decide."""
    sketch = Sketch()
    colour = sketch.attribute("profile.x", b.STRING)
    condition = sketch.condition(b.OP_STRING_IN, colour, strings=["red", "blue"])
    kind, _, heap, flags, count = string_slot("blue")
    forged = (kind, string_slot("red")[1], heap, flags, count)
    assert verdict(sketch, condition, {16: forged}) == FALSE
    assert verdict(sketch, condition, {16: string_slot("blue")}) == TRUE


@pytest.mark.parametrize(
    ("op", "part", "expected"),
    [
        (b.OP_CONTAINS, "d sh", TRUE),
        (b.OP_CONTAINS, "", TRUE),
        (b.OP_CONTAINS, "red shoes!", FALSE),
        (b.OP_CONTAINS, "sho es", FALSE),
        (b.OP_STARTS, "red", TRUE),
        (b.OP_STARTS, "ed", FALSE),
        (b.OP_STARTS, "red shoes and more", FALSE),
        (b.OP_ENDS, "shoes", TRUE),
        (b.OP_ENDS, "shoe", FALSE),
        (b.OP_ENDS, "", TRUE),
    ],
)
def test_parts_of_strings(op: int, part: str, expected: str) -> None:
    sketch = Sketch()
    condition = sketch.condition(op, sketch.attribute("profile.x", b.STRING), strings=[part])
    assert verdict(sketch, condition, {16: string_slot("red shoes")}) == expected
    assert verdict(sketch, condition) == ERROR


def test_any_in_reads_only_entries_within_the_window() -> None:
    sketch = Sketch()
    tags = sketch.attribute("profile.tags", b.STRINGS, window_ms=1_000)
    condition = sketch.condition(b.OP_ANY_IN, tags, strings=["shoes", "hats"])
    assert verdict(sketch, condition, {16: strings_slot({"shoes": NOW, "books": NOW})}) == TRUE
    assert verdict(sketch, condition, {16: strings_slot({"shoes": NOW - 999})}) == TRUE
    assert verdict(sketch, condition, {16: strings_slot({"shoes": NOW - 1_000})}) == FALSE
    assert verdict(sketch, condition, {16: strings_slot({"books": NOW})}) == FALSE
    assert verdict(sketch, condition) == ERROR


def test_any_in_of_a_list_in_the_context() -> None:
    sketch = Sketch()
    condition = sketch.condition(b.OP_ANY_IN, sketch.attribute("context.tags", b.STRINGS), strings=["shoes"])
    assert verdict(sketch, condition, None, {"tags": ["books", "shoes"]}) == TRUE
    assert verdict(sketch, condition, None, {"tags": []}) == FALSE
    for wrong in (["shoes", 1], "shoes", ("shoes",), None, ["a"] * 1025):
        assert verdict(sketch, condition, None, {"tags": wrong}) == ERROR


def test_has_is_of_the_record_and_defaults_are_not_held() -> None:
    sketch = Sketch()
    plain = sketch.attribute("profile.x", b.INT, default=3)
    has = sketch.condition(b.OP_HAS, plain)
    equals = sketch.condition(b.OP_RANGE, plain, lo=3, hi=3)
    assert verdict(sketch, has) == FALSE
    assert verdict(sketch, equals) == TRUE
    assert verdict(sketch, has, {16: int_slot(4)}) == TRUE
    assert verdict(sketch, equals, {16: int_slot(4)}) == FALSE


@pytest.mark.parametrize("default", [["a", "b"], []])
def test_a_default_of_strings(default: list[str]) -> None:
    sketch = Sketch()
    condition = sketch.condition(
        b.OP_ANY_IN, sketch.attribute("profile.x", b.STRINGS, default=default), strings=["b"]
    )
    assert verdict(sketch, condition) == (TRUE if default else FALSE)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (b.INT, 7, TRUE),
        (b.INT, 7.0, TRUE),
        (b.INT, 7.5, ERROR),
        (b.INT, True, ERROR),
        (b.INT, "7", ERROR),
        (b.INT, 2**63, ERROR),
        (b.INT, 1e300, ERROR),
        (b.INT, math.nan, ERROR),
        (b.FLOAT, 7, TRUE),
        (b.FLOAT, 7.5, TRUE),
        (b.FLOAT, False, ERROR),
        (b.FLOAT, math.inf, ERROR),
        (b.FLOAT, 10**400, ERROR),
        (b.BOOL, True, TRUE),
        (b.BOOL, 1, ERROR),
        (b.STRING, "x", TRUE),
        (b.STRING, b"x", ERROR),
        (b.STRING, "\ud800", ERROR),
        (b.TIMESTAMP, "2026-11-23T17:43:29Z", TRUE),
        (b.TIMESTAMP, "2026-11-23t17:43:29.123456789+02:00", TRUE),
        (b.TIMESTAMP, "2024-02-29T00:00:00Z", TRUE),
        (b.TIMESTAMP, "2026-02-29T00:00:00Z", ERROR),
        (b.TIMESTAMP, "2026-11-23T24:00:00Z", ERROR),
        (b.TIMESTAMP, "2026-11-23T17:43:29", ERROR),
        (b.TIMESTAMP, "2026-11-23T17:43:29.Z", ERROR),
        (b.TIMESTAMP, NOW, ERROR),
        (b.INT, None, ERROR),
    ],
)
def test_a_context_value_of_the_wrong_type_is_missing(kind: int, value: object, expected: str) -> None:
    sketch = Sketch()
    attribute = sketch.attribute("context.x", kind)
    if kind == b.STRING:
        condition = sketch.condition(b.OP_STARTS, attribute, strings=[""])
    else:
        condition = sketch.condition(b.OP_RANGE, attribute, lo=INT64_MIN, hi=INT64_MAX)
    assert verdict(sketch, condition, None, {"x": value}) == expected


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-11-23T17:43:29.25Z", NOW + 250),
        ("2026-11-23T19:43:29+02:00", NOW),
        ("2026-11-23T12:13:29-05:30", NOW),
        ("0001-01-01T00:00:00Z", -62_135_596_800_000),
        ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
        ("1969-12-31T23:59:59.999Z", -1),
        ("2000-02-29T12:00:00Z", 951_825_600_000),
        ("1900-03-01T00:00:00Z", -2_203_891_200_000),
    ],
)
def test_times_of_the_context_are_read_to_the_millisecond(text: str, ms: int) -> None:
    sketch = Sketch()
    condition = sketch.condition(b.OP_RANGE, sketch.attribute("context.x", b.TIMESTAMP), lo=ms, hi=ms)
    assert verdict(sketch, condition, None, {"x": text}) == TRUE


def test_only_the_declared_kind_of_a_slot_is_read() -> None:
    sketch = Sketch()
    condition = sketch.condition(b.OP_HAS, sketch.attribute("profile.x", b.INT))
    for slot in (float_slot(1.0), string_slot("1"), bool_slot(True), time_slot(1), strings_slot({"a": 1})):
        assert verdict(sketch, condition, {16: slot}) == FALSE
    assert verdict(sketch, condition, {15: int_slot(1)}) == FALSE


@pytest.mark.parametrize(
    ("kind", "slot", "expected"),
    [
        (b.INT, total_slot(7), TRUE),
        (b.INT, total_slot(8), FALSE),
        (b.FLOAT, total_slot(7_000_000, millionths=True), TRUE),
        (b.FLOAT, total_slot(7_000_001, millionths=True), FALSE),
        # A count where a sum was declared, and the other way round: another attribute's slot.
        (b.FLOAT, total_slot(7), ERROR),
        (b.INT, total_slot(7_000_000, millionths=True), ERROR),
        (b.INT, int_slot(7), ERROR),
    ],
)
def test_totals(kind: int, slot: Entry, expected: str) -> None:
    sketch = Sketch()
    seven = 7 if kind == b.INT else b.float_key(7.0)
    total = sketch.attribute("profile.x", kind, reading=b.READ_TOTAL)
    assert verdict(sketch, sketch.condition(b.OP_RANGE, total, lo=seven, hi=seven), {16: slot}) == expected


def test_a_windowed_count_is_folded_at_now() -> None:
    hour = 3_600_000
    index = NOW // hour
    buckets = {index - 2: 1, index - 1: 2, index: 4}
    valid = (index * hour, (index + 1) * hour)
    slot = buckets_slot(buckets, granularity_ms=hour, window=3, folded=7, valid=valid)
    sketch = Sketch()
    count = sketch.attribute("profile.x", b.INT, reading=b.READ_BUCKETS)
    for value in (7, 6, 4, 0):
        sketch.rule(f"is {value}", sketch.condition(b.OP_RANGE, count, lo=value, hi=value))
    engine = Engine(sketch.content(), 1)
    folded = [engine.match(record({16: slot}), {}, NOW + hours * hour) for hours in (0, 1, 2, 3)]
    assert folded == [[0], [1], [2], [3]]


A, B, T, S, TAGS, FLAG, F = range(7)

PROGRAMS: list[tuple[str, list[tuple[int, Any]], str]] = [
    ("a + b == 7", [(0, A), (0, B), (b.P_ADD, 0), (b.P_INT, 7), (b.P_EQ, 0)], TRUE),
    ("a - b < 0", [(0, A), (0, B), (b.P_SUB, 0), (b.P_INT, 0), (b.P_LT, 0)], TRUE),
    ("a * b == 12", [(0, A), (0, B), (b.P_MUL, 0), (b.P_INT, 12), (b.P_EQ, 0)], TRUE),
    ("-7 / 2 == -3", [(b.P_INT, -7), (b.P_INT, 2), (b.P_DIV, 0), (b.P_INT, -3), (b.P_EQ, 0)], TRUE),
    ("-7 % 2 == -1", [(b.P_INT, -7), (b.P_INT, 2), (b.P_MOD, 0), (b.P_INT, -1), (b.P_EQ, 0)], TRUE),
    ("a / 0 == a", [(0, A), (b.P_INT, 0), (b.P_DIV, 0), (0, A), (b.P_EQ, 0)], ERROR),
    ("a % 0 == a", [(0, A), (b.P_INT, 0), (b.P_MOD, 0), (0, A), (b.P_EQ, 0)], ERROR),
    ("max + 1 > 0", [(b.P_INT, INT64_MAX), (b.P_INT, 1), (b.P_ADD, 0), (b.P_INT, 0), (b.P_GT, 0)], ERROR),
    ("-min > 0", [(b.P_INT, INT64_MIN), (b.P_NEG, 0), (b.P_INT, 0), (b.P_GT, 0)], ERROR),
    ("min / -1 > 0", [(b.P_INT, INT64_MIN), (b.P_INT, -1), (b.P_DIV, 0), (b.P_INT, 0), (b.P_GT, 0)], ERROR),
    ("min % -1 == 0", [(b.P_INT, INT64_MIN), (b.P_INT, -1), (b.P_MOD, 0), (b.P_INT, 0), (b.P_EQ, 0)], ERROR),
    ("max * 2 > 0", [(b.P_INT, INT64_MAX), (b.P_INT, 2), (b.P_MUL, 0), (b.P_INT, 0), (b.P_GT, 0)], ERROR),
    ("f / 0.0 > 1e9", [(0, F), (b.P_FLOAT, 0.0), (b.P_DIV, 0), (b.P_FLOAT, 1e9), (b.P_GT, 0)], TRUE),
    ("nan != nan", [(b.P_FLOAT, 0.0), (b.P_FLOAT, 0.0), (b.P_DIV, 0), (b.P_FLOAT, 1.0), (b.P_NE, 0)], TRUE),
    ("nan == nan", [(b.P_FLOAT, 0.0), (b.P_FLOAT, 0.0), (b.P_DIV, 0), (b.P_FLOAT, 1.0), (b.P_EQ, 0)], FALSE),
    ("2^53 + 1 == 2.0^53", [(b.P_INT, 2**53 + 1), (b.P_FLOAT, 2.0**53), (b.P_EQ, 0)], FALSE),
    ("2^53 + 1 > 2.0^53", [(b.P_INT, 2**53 + 1), (b.P_FLOAT, 2.0**53), (b.P_GT, 0)], TRUE),
    ("3 < 3.5", [(b.P_INT, 3), (b.P_FLOAT, 3.5), (b.P_LT, 0)], TRUE),
    ("-3 > -3.5", [(b.P_INT, -3), (b.P_FLOAT, -3.5), (b.P_GT, 0)], TRUE),
    ("1e300 >= max", [(b.P_FLOAT, 1e300), (b.P_INT, INT64_MAX), (b.P_GE, 0)], TRUE),
    ("-f == -2.5", [(0, F), (b.P_NEG, 0), (b.P_FLOAT, -2.5), (b.P_EQ, 0)], TRUE),
    ("now - t >= 1 h", [(b.P_NOW, 0), (0, T), (b.P_SUB, 0), (b.P_DURATION, 3_600_000), (b.P_GE, 0)], TRUE),
    ("t + 1 h == now", [(0, T), (b.P_DURATION, 3_600_000), (b.P_ADD, 0), (b.P_NOW, 0), (b.P_EQ, 0)], TRUE),
    ("1 h + t == now", [(b.P_DURATION, 3_600_000), (0, T), (b.P_ADD, 0), (b.P_NOW, 0), (b.P_EQ, 0)], TRUE),
    ("size(s) == 6", [(0, S), (b.P_SIZE, 0), (b.P_INT, 6), (b.P_EQ, 0)], TRUE),
    ("size(tags) == 2", [(0, TAGS), (b.P_SIZE, 0), (b.P_INT, 2), (b.P_EQ, 0)], TRUE),
    ('s.contains("ra")', [(0, S), (b.P_STRING, "ra"), (b.P_CONTAINS, 0)], TRUE),
    ('"strasse".startsWith(s)', [(b.P_STRING, "strasse"), (0, S), (b.P_STARTS, 0)], FALSE),
    ('s.endsWith("ße")', [(0, S), (b.P_STRING, "ße"), (b.P_ENDS, 0)], TRUE),
    ("s in tags", [(0, S), (0, TAGS), (b.P_IN, 0)], TRUE),
    ('"no" in tags', [(b.P_STRING, "no"), (0, TAGS), (b.P_IN, 0)], FALSE),
    ('s < "t"', [(0, S), (b.P_STRING, "t"), (b.P_LT, 0)], TRUE),
    ('s >= "straße!"', [(0, S), (b.P_STRING, "straße!"), (b.P_GE, 0)], FALSE),
    ("flag == true", [(0, FLAG), (b.P_BOOL, True), (b.P_EQ, 0)], TRUE),
    ("flag", [(0, FLAG)], TRUE),
]  # fmt: skip


@pytest.mark.parametrize(
    ("program", "expected"), [case[1:] for case in PROGRAMS], ids=[case[0] for case in PROGRAMS]
)
def test_programs(program: list[tuple[int, Any]], expected: str) -> None:
    sketch = Sketch()
    for name, kind in zip(["a", "b", "t", "s", "tags", "flag", "f"], (2, 2, 5, 4, 6, 1, 3), strict=True):
        sketch.attribute(f"profile.{name}", kind)
    condition = sketch.condition(b.OP_PROGRAM, program=program)
    slots = {
        16: int_slot(3),
        17: int_slot(4),
        18: time_slot(NOW - 3_600_000),
        19: string_slot("straße"),
        20: strings_slot({"straße": NOW, "b": NOW}),
        21: bool_slot(True),
        22: float_slot(2.5),
    }
    assert verdict(sketch, condition, slots) == expected
    if any(op == b.P_ATTRIBUTE for op, _ in program):
        assert verdict(sketch, condition) == ERROR


def test_a_program_uses_the_whole_stack() -> None:
    sketch = Sketch()
    deep: list[tuple[int, Any]] = [(b.P_INT, 1)] * (b.PROGRAM_STACK_MAX - 1)
    deep += [(b.P_ADD, 0)] * (b.PROGRAM_STACK_MAX - 2) + [(b.P_INT, b.PROGRAM_STACK_MAX - 1), (b.P_EQ, 0)]
    assert verdict(sketch, sketch.condition(b.OP_PROGRAM, program=deep)) == TRUE


def random_tables(draw: random.Random) -> tuple[Sketch, list[Entry | None]]:
    """Rules of random shape over five int attributes, some of which the profile lacks."""
    sketch = Sketch()
    attributes = [sketch.attribute(f"profile.a{i}", b.INT) for i in range(5)]
    for _ in range(draw.randrange(1, 40)):
        lo = draw.randrange(-3, 4)
        sketch.condition(b.OP_RANGE, draw.choice(attributes), lo=lo, hi=lo + draw.randrange(4))
    for _ in range(draw.randrange(40)):
        last = 2 * len(sketch.conditions) + len(sketch.nodes)
        inputs = [draw.randrange(last) for _ in range(draw.randrange(1, 8))]
        sketch.nodes.append(b.Node(draw.randrange(2), inputs))
    last = 2 * len(sketch.conditions) + len(sketch.nodes)
    for i in range(draw.randrange(1, 30)):
        sketch.formula(f"r{i}", draw.randrange(last), draw.randrange(last))
    return sketch, [int_slot(draw.randrange(-4, 8)) if draw.random() < 0.8 else None for _ in attributes]


@given(st.integers(0, 2**32))
def test_random_tables_equal_a_plain_evaluation(seed: int) -> None:
    sketch, slots = random_tables(random.Random(seed))
    literals = [1, 0]
    for condition in sketch.conditions[1:]:
        slot = slots[condition.attribute]
        value = None if slot is None else slot[1] - (1 << 64) * (slot[1] >> 63)
        literals += (0, 0) if value is None else (int(hit := condition.lo <= value <= condition.hi), 1 - hit)
    for node in sketch.nodes:
        values = [literals[ref] for ref in node.inputs]
        literals.append(max(values) if node.op == b.NODE_OR else min(values))
    held = {16 + i: slot for i, slot in enumerate(slots) if slot}
    expected = [i for i, rule in enumerate(sketch.rules) if literals[rule.true_ref]]
    assert Engine(sketch.content(), 1).match(record(held), {}, NOW) == expected


@given(st.integers(0, 2**32))
def test_what_only_match_reads_changes_no_decision(seed: int) -> None:
    """Some rules decide, the others are only matched: decisions see the former, matches see all."""
    draw = random.Random(seed)
    sketch, slots = random_tables(draw)
    sketch.conditions += MORE_CONDITIONS[: draw.randrange(len(MORE_CONDITIONS) + 1)]
    for at in range(len(sketch.conditions)):
        sketch.rule(f"c{at}", at)
    name, tags = sketch.attribute("profile.name", b.STRING), sketch.attribute("profile.tags", b.STRINGS)
    assert (name, tags) == (5, 6)
    held = {16 + i: slot for i, slot in enumerate(slots) if slot} | {0: consent_slot(1, NOW - 1)}
    if draw.random() < 0.8:
        held |= {21: string_slot("Ada"), 22: strings_slot({"x": NOW, "y": NOW})}
    packed = record(held)
    sketch.rules = [msgspec.structs.replace(rule, attributes=[*range(7)]) for rule in sketch.rules]
    deciding = draw.sample(range(len(sketch.rules)), draw.randrange(len(sketch.rules) + 1))
    expected = Engine(sketch.content(), 1).match(packed, {}, NOW)
    for at, number in enumerate(deciding):
        sketch.placement(f"p{at}")
        sketch.treatment(sketch.offer(f"o{at:03}", eligibility=number), at)
    engine = Engine(sketch.content(), 1)
    asked = [f"p{at}" for at in range(len(deciding))][:32]
    request = Request("d", tuple(asked), {}, UNIT_KEY)
    reasons = tuple("ok" if number in expected else "not_eligible" for number in deciding)[:32]
    assert engine.decide(packed, (), request, NOW).reasons == reasons
    assert engine.match(packed, {}, NOW) == expected
    assert engine.decide(packed, (), request, NOW).reasons == reasons


#: Over the sixth and seventh attribute, a name and tags, and over the ints before them.
MORE_CONDITIONS = [
    b.Condition(b.OP_STRING_IN, 5, strings=["Ada", "Ben"]),
    b.Condition(b.OP_ANY_IN, 6, strings=["y", "z"]),
    b.Condition(b.OP_PROGRAM, program=[(0, 0), (0, 1), (b.P_LT, 0)]),
    b.Condition(b.OP_HAS, 2),
    b.Condition(b.OP_STARTS, 5, strings=["A"]),
    b.Condition(b.OP_RANGE, 1, lo=3, hi=1),
    b.Condition(b.OP_STRING_IN, 5, strings=["Carla"]),
    b.Condition(b.OP_HAS, 6),
]


def test_match_leaves_the_engine_ready_for_a_decision() -> None:
    sketch = Sketch()
    sketch.placement()
    condition = sketch.condition(b.OP_RANGE, sketch.attribute("context.x", b.INT), lo=1, hi=1)
    sketch.treatment(sketch.offer("a", eligibility=sketch.rule("eligibility:a", condition)))
    engine = Engine(sketch.content(), 1)
    request = Request("d", ("home.hero",), {"x": 1}, UNIT_KEY)
    assert engine.match(record(), {"x": 2}, NOW) == []
    assert engine.decide(record(), (), request, NOW).reasons == ("ok",)
    assert engine.match(None, {"x": 1}, NOW) == [0]
