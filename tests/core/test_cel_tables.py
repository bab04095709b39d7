"""The tables' three-valued answer equals CEL's, on random expressions and random values.

The reference is a tree walk over the generated expression with errors as values; it shares nothing with the
compiler but the written text.
"""

import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core import bundle
from core.cel.checker import check
from core.cel.environment import Environment
from core.cel.lowering import Lowering
from core.cel.parser import parse
from core.cel.tables import TableBuilder

INT_MIN, INT_MAX = -(2**63), 2**63 - 1
NOW_MS = 1_795_000_000_000
NAMES: dict[str, int] = {
    "profile.a": bundle.INT,
    "profile.b": bundle.INT,
    "profile.x": bundle.FLOAT,
    "profile.y": bundle.FLOAT,
    "profile.p": bundle.BOOL,
    "profile.q": bundle.BOOL,
    "profile.s": bundle.STRING,
    "context.t": bundle.STRING,
    "profile.w": bundle.TIMESTAMP,
    "profile.l": bundle.STRINGS,
}
INDEX = {name: at for at, name in enumerate(NAMES)}


class Missing(Exception):  # noqa: N818
    """CEL's error."""


# ---- Values and literals


def nearby_ints() -> st.SearchStrategy[int]:
    edges = [
        INT_MIN,
        INT_MIN + 1,
        -(2**53) - 1,
        -1,
        0,
        1,
        2,
        2**53,
        2**53 + 1,
        2**53 + 3,
        INT_MAX - 1,
        INT_MAX,
    ]
    return st.sampled_from(edges) | st.integers(-6, 6)


def nearby_floats() -> st.SearchStrategy[float]:
    edges = [
        0.0,
        -0.0,
        0.5,
        -0.5,
        1.0,
        1.5,
        2.5,
        5e-324,
        2.0**53,
        2.0**63,
        -(2.0**63),
        1.7976931348623157e308,
    ]
    return st.sampled_from(edges) | st.integers(-6, 6).map(float)


STRINGS = ["", "a", "b", "ab", "ba", "é", "\U0001f600", "😀b"]
TIMES = [0, 1, NOW_MS - 3_600_000, NOW_MS - 1, NOW_MS, NOW_MS + 1, NOW_MS + 3_600_000]
VALUES: dict[int, st.SearchStrategy[Any]] = {
    bundle.BOOL: st.booleans(),
    bundle.INT: nearby_ints(),
    bundle.FLOAT: nearby_floats() | st.sampled_from([math.nan, math.inf, -math.inf]),
    bundle.STRING: st.sampled_from(STRINGS),
    bundle.TIMESTAMP: st.sampled_from(TIMES),
    bundle.STRINGS: st.lists(st.sampled_from(STRINGS), unique=True),
}
rows = st.fixed_dictionaries({name: st.none() | VALUES[kind] for name, kind in NAMES.items()})


# ---- Expressions: text and meaning side by side

Meaning = Callable[[Mapping[str, Any]], Any]


@dataclass(frozen=True)
class Written:
    text: str
    meaning: Meaning


def literal(text: str, value: Any) -> Written:
    return Written(text, lambda row: value)


def read(name: str) -> Written:
    def meaning(row: Mapping[str, Any]) -> Any:
        if row[name] is None:
            raise Missing
        return row[name]

    return Written(name, meaning)


def strict(template: str, function: Callable[..., Any], *parts: Written) -> Written:
    text = template.format(*(f"({part.text})" for part in parts))
    return Written(text, lambda row: function(*[part.meaning(row) for part in parts]))


def whole(value: int) -> int:
    if not INT_MIN <= value <= INT_MAX:
        raise Missing
    return value


def quotient(x: int, y: int) -> int:
    if y == 0:
        raise Missing
    return whole(int(abs(x) // abs(y)) * (1 if (x < 0) == (y < 0) else -1))


def remainder(x: int, y: int) -> int:
    quotient(x, y)
    return abs(x) % abs(y) * (-1 if x < 0 else 1)


def real_quotient(x: float, y: float) -> float:
    if y != 0:
        return x / y
    return math.nan if x == 0 or math.isnan(x) else math.copysign(1, x) * math.copysign(1, y) * math.inf


def of(kind: int) -> st.SearchStrategy[Written]:
    return st.sampled_from([read(name) for name, found in NAMES.items() if found == kind])


def int_text(value: int) -> Written:
    return literal(str(value), value)


def float_text(value: float) -> Written:
    text = repr(value)
    return literal(text if "." in text or "e" in text else text + ".0", value)


def quoted(value: str) -> Written:
    return literal('"' + value + '"', value)


def moment(value: int) -> Written:
    from core.cel.literals import timestamp_text

    return literal(f'timestamp("{timestamp_text(value)}")', value)


def ternary(
    kind: st.SearchStrategy[Written], conditions: st.SearchStrategy[Written]
) -> st.SearchStrategy[Written]:
    def make(condition: Written, yes: Written, no: Written) -> Written:
        text = f"({condition.text}) ? ({yes.text}) : ({no.text})"
        return Written(text, lambda row: (yes if condition.meaning(row) else no).meaning(row))

    return st.builds(make, conditions, kind, kind)


def simple_bools() -> st.SearchStrategy[Written]:
    has = st.sampled_from(
        [Written(f"has({name})", lambda row, name=name: row[name] is not None) for name in NAMES]
    )
    return of(bundle.BOOL) | has | st.sampled_from([literal("true", True), literal("false", False)])


ints = st.recursive(
    of(bundle.INT) | nearby_ints().map(int_text),
    lambda inner: st.one_of(
        st.builds(lambda x, y: strict("{} + {}", lambda a, b: whole(a + b), x, y), inner, inner),
        st.builds(lambda x, y: strict("{} - {}", lambda a, b: whole(a - b), x, y), inner, inner),
        st.builds(lambda x, y: strict("{} * {}", lambda a, b: whole(a * b), x, y), inner, inner),
        st.builds(lambda x, y: strict("{} / {}", quotient, x, y), inner, inner),
        st.builds(lambda x, y: strict("{} % {}", remainder, x, y), inner, inner),
        st.builds(lambda x: strict("-{}", lambda a: whole(-a), x), inner),
        st.builds(lambda x: strict("size({})", len, x), of(bundle.STRING) | of(bundle.STRINGS)),
        ternary(inner, simple_bools()),
    ),
    max_leaves=4,
)
floats = st.recursive(
    of(bundle.FLOAT) | nearby_floats().map(float_text),
    lambda inner: st.one_of(
        st.builds(lambda x, y: strict("{} + {}", lambda a, b: a + b, x, y), inner, inner),
        st.builds(lambda x, y: strict("{} * {}", lambda a, b: a * b, x, y), inner, inner),
        st.builds(lambda x, y: strict("{} / {}", real_quotient, x, y), inner, inner),
        st.builds(lambda x: strict("-{}", lambda a: -a, x), inner),
        ternary(inner, simple_bools()),
    ),
    max_leaves=3,
)
texts = st.one_of(
    of(bundle.STRING),
    st.sampled_from(STRINGS).map(quoted),
    ternary(of(bundle.STRING) | st.sampled_from(STRINGS).map(quoted), simple_bools()),
)
hours = st.sampled_from([literal('duration("1h")', 3_600_000), literal('duration("-30m")', -1_800_000)])
times = st.one_of(
    of(bundle.TIMESTAMP),
    st.sampled_from(TIMES).map(moment),
    st.just(literal("now", NOW_MS)),
    st.builds(lambda x, y: strict("{} - {}", lambda a, b: whole(a - b), x, y), of(bundle.TIMESTAMP), hours),
)
spans = hours | st.builds(lambda x, y: strict("{} - {}", lambda a, b: whole(a - b), x, y), times, times)


def same(a: Any, b: Any) -> bool:
    """By mathematical value, but for the largest int beside 2^63, which it becomes as a double."""
    return bool(a == b) or (a, b) in ((INT_MAX, 2.0**63), (2.0**63, INT_MAX))


COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": same,
    "!=": lambda a, b: not same(a, b),
    "<": lambda a, b: bool(a < b) and not same(a, b),
    "<=": lambda a, b: bool(a <= b) or same(a, b),
    ">": lambda a, b: bool(a > b) and not same(a, b),
    ">=": lambda a, b: bool(a >= b) or same(a, b),
}


def compared(
    left: st.SearchStrategy[Written], right: st.SearchStrategy[Written]
) -> st.SearchStrategy[Written]:
    return st.builds(
        lambda op, x, y: strict("{} " + op + " {}", COMPARISONS[op], x, y),
        st.sampled_from(list(COMPARISONS)),
        left,
        right,
    )


def listed(operand: Written, items: list[Written]) -> Written:
    text = f"({operand.text}) in [{', '.join(item.text for item in items)}]"

    def meaning(row: Mapping[str, Any]) -> bool:
        value = operand.meaning(row)
        return any(same(value, item.meaning(row)) for item in items)

    return Written(text, meaning)


def members(
    operand: st.SearchStrategy[Written], items: st.SearchStrategy[Written]
) -> st.SearchStrategy[Written]:
    return st.builds(listed, operand, st.lists(items, min_size=1, max_size=4))


tests = st.one_of(
    simple_bools(),
    compared(ints, ints | floats),
    compared(floats, floats | nearby_ints().map(int_text)),
    compared(texts, texts),
    compared(times, times),
    compared(spans, spans),
    members(ints, nearby_ints().map(int_text) | nearby_floats().map(float_text)),
    members(floats, nearby_ints().map(int_text) | nearby_floats().map(float_text)),
    members(texts, st.sampled_from(STRINGS).map(quoted)),
    members(times, st.sampled_from(TIMES).map(moment)),
    st.builds(lambda x, y: strict("{}.contains({})", lambda a, b: b in a, x, y), texts, texts),
    st.builds(lambda x, y: strict("{}.startsWith({})", lambda a, b: a.startswith(b), x, y), texts, texts),
    st.builds(lambda x, y: strict("{}.endsWith({})", lambda a, b: a.endswith(b), x, y), texts, texts),
    st.builds(lambda x, y: strict("{} in {}", lambda a, b: a in b, x, y), texts, of(bundle.STRINGS)),
)


def kleene(operator: str, parts: list[Written]) -> Written:
    absorbing = operator == "||"

    def meaning(row: Mapping[str, Any]) -> bool:
        failed = False
        for part in parts:
            try:
                if part.meaning(row) is absorbing:
                    return absorbing
            except Missing:
                failed = True
        if failed:
            raise Missing
        return not absorbing

    return Written(f" {operator} ".join(f"({part.text})" for part in parts), meaning)


expressions = st.recursive(
    tests,
    lambda inner: st.one_of(
        st.builds(kleene, st.sampled_from(["&&", "||"]), st.lists(inner, min_size=2, max_size=4)),
        st.builds(lambda x: strict("!{}", lambda a: not a, x), inner),
        ternary(inner, inner),
        compared(inner, inner),
        members(inner, simple_bools().filter(lambda one: one.text in ("true", "false"))),
    ),
    max_leaves=8,
)


# ---- The tables, read as docs/decisions/0004 says


def answer(tables: bundle.Tables, refs: tuple[int, int], row: Mapping[str, Any]) -> bool | None:
    """True, false, or None for an error."""
    values = [row[name] for name in NAMES]
    literals: list[bool] = []
    for condition in tables.conditions:
        outcome = condition_holds(condition, values)
        literals += [outcome is True, outcome is False]
    for node in tables.nodes:
        inputs = [literals[ref] for ref in node.inputs]
        literals.append(all(inputs) if node.op == bundle.NODE_AND else any(inputs))
    true, false = literals[refs[0]], literals[refs[1]]
    assert not (true and false)
    return True if true else False if false else None


def condition_holds(condition: bundle.Condition, values: list[Any]) -> bool | None:
    if condition.op == bundle.OP_CONSTANT:
        return True
    if condition.op == bundle.OP_PROGRAM:
        return program_holds(condition.program, values)
    value = values[condition.attribute]
    if condition.op == bundle.OP_HAS:
        return value is not None
    if value is None:
        return None
    strings = condition.strings
    match condition.op:
        case bundle.OP_RANGE:
            key = float_key(value) if isinstance(value, float) else int(value)
            return key is not None and condition.lo <= key <= condition.hi
        case bundle.OP_STRING_IN:
            return value in strings
        case bundle.OP_ANY_IN:
            return any(one in strings for one in value)
        case bundle.OP_CONTAINS:
            return strings[0] in value
        case bundle.OP_STARTS:
            return bool(value.startswith(strings[0]))
        case bundle.OP_ENDS:
            return bool(value.endswith(strings[0]))
    raise AssertionError(condition)


def float_key(value: float) -> int | None:
    if math.isnan(value):
        return None
    bits = int(struct.unpack("<q", struct.pack("<d", value + 0.0))[0])
    return bits if bits >= 0 else bits ^ 0x7FFFFFFFFFFFFFFF


def program_holds(program: list[tuple[int, Any]], values: list[Any]) -> bool | None:
    stack: list[Any] = []
    try:
        for code, argument in program:
            step(stack, code, argument, values)
            assert len(stack) <= bundle.PROGRAM_STACK_MAX
    except Missing:
        return None
    (outcome,) = stack
    assert isinstance(outcome, bool)
    return outcome


def step(stack: list[Any], code: int, argument: Any, values: list[Any]) -> None:
    if code == bundle.P_ATTRIBUTE:
        if values[argument] is None:
            raise Missing
        stack.append(values[argument])
    elif code == bundle.P_NOW:
        stack.append(NOW_MS)
    elif code < bundle.P_ADD:
        stack.append(argument)
    elif code == bundle.P_NEG:
        value = stack.pop()
        stack.append(-value if isinstance(value, float) else whole(-value))
    elif code == bundle.P_SIZE:
        stack.append(len(stack.pop()))
    else:
        right, left = stack.pop(), stack.pop()
        stack.append(BINARY[code](left, right))


def arithmetic(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def run(left: Any, right: Any) -> Any:
        value = function(left, right)
        return value if isinstance(value, float) else whole(value)

    return run


BINARY: dict[int, Callable[[Any, Any], Any]] = {
    bundle.P_ADD: arithmetic(lambda a, b: a + b),
    bundle.P_SUB: arithmetic(lambda a, b: a - b),
    bundle.P_MUL: arithmetic(lambda a, b: a * b),
    bundle.P_DIV: lambda a, b: real_quotient(a, b) if isinstance(a, float) else quotient(a, b),
    bundle.P_MOD: remainder,
    bundle.P_EQ: COMPARISONS["=="],
    bundle.P_NE: COMPARISONS["!="],
    bundle.P_LT: COMPARISONS["<"],
    bundle.P_LE: COMPARISONS["<="],
    bundle.P_GT: COMPARISONS[">"],
    bundle.P_GE: COMPARISONS[">="],
    bundle.P_CONTAINS: lambda a, b: b in a,
    bundle.P_STARTS: lambda a, b: a.startswith(b),
    bundle.P_ENDS: lambda a, b: a.endswith(b),
    bundle.P_IN: lambda a, b: a in b,
}


def compiled(*written: str) -> tuple[bundle.Tables, list[tuple[int, int]]]:
    builder = TableBuilder()
    lowering = Lowering(builder)
    planes = []
    for text in written:
        typed, faults = check(
            parse(text), Environment({name: (INDEX[name], kind) for name, kind in NAMES.items()})
        )
        assert not faults, (text, faults)
        assert typed is not None
        planes.append(lowering.planes(typed))
    tables, final = builder.finish([ref for pair in planes for ref in pair], [])
    return tables, [(final[true], final[false]) for true, false in planes]


def expected(written: Written, row: Mapping[str, Any]) -> bool | None:
    try:
        return bool(written.meaning(row))
    except Missing:
        return None


# ---- Tests


@settings(max_examples=500, deadline=None)
@given(st.lists(expressions, min_size=1, max_size=4), st.lists(rows, min_size=1, max_size=8))
def test_tables_answer_as_kleene_logic_does(written: list[Written], given_rows: list[dict[str, Any]]) -> None:
    tables, refs = compiled(*(one.text for one in written))
    for one, pair in zip(written, refs, strict=True):
        for row in given_rows:
            assert answer(tables, pair, row) == expected(one, row), (one.text, row)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(list(COMPARISONS)),
    nearby_ints() | nearby_floats(),
    VALUES[bundle.INT] | VALUES[bundle.FLOAT],
)
@example("<", 2**53 + 1, 2.0**53)
@example("<=", 2**53 + 3, 2.0**53 + 4)
@example(">", -(2**53) - 3, -(2.0**53) - 4)
@example(">=", 0.5, 0)
@example("==", 2.0**63, INT_MAX)
@example("<", 2.0**63, INT_MAX)
@example(">=", 2.0**63, INT_MAX)
@example("==", INT_MAX, 2.0**63)
@example(">", INT_MAX, 2.0**63)
@example("<", 2.0**63, INT_MAX - 1)
def test_a_number_compares_with_a_literal_by_mathematical_value(
    op: str, constant: float, value: float
) -> None:
    name = "profile.x" if isinstance(value, float) else "profile.a"
    text = float_text(constant).text if isinstance(constant, float) else str(constant)
    tables, [pair] = compiled(f"{name} {op} {text}")
    assert len(tables.conditions) <= 2
    assert not any(condition.op == bundle.OP_PROGRAM for condition in tables.conditions)
    row = {**dict.fromkeys(NAMES), name: value}
    assert answer(tables, pair, row) is COMPARISONS[op](value, constant)
    assert answer(tables, pair, dict.fromkeys(NAMES)) is None


@pytest.mark.parametrize(
    ("text", "conditions", "nodes"),
    [
        ("profile.p", 1, 0),
        ("profile.p == false", 1, 0),
        ("!profile.p || profile.p", 1, 1),
        ("profile.a >= 1 && profile.a < 5", 1, 0),
        ("profile.a < 1 || profile.a == 1 || profile.a == 2", 1, 0),
        ("profile.a < 1 || profile.a > 1", 2, 2),
        ("profile.a != 1 && profile.a != 2", 1, 0),
        ("profile.a in [3, 1, 2]", 1, 0),
        ("profile.a in [1, 3]", 2, 2),
        ('profile.s == "a" || profile.s in ["b", "c"]', 1, 0),
        ('profile.s != "a" && profile.s != "b"', 1, 0),
        ('"a" in profile.l || "b" in profile.l', 1, 0),
        ('"a" in profile.l && "b" in profile.l', 2, 2),
        ("profile.a >= 1 && profile.b < 5", 2, 2),
        ("profile.a >= 1 && profile.a >= 1", 1, 0),
        ("true", 0, 0),
        ("1 / 0 > 1", 0, 0),
        ("profile.p && true", 1, 0),
        ("profile.p || true", 0, 0),
        ("1 + 1 == 2 && profile.a * 2 > 3", 1, 0),
    ],
)
def test_conditions_of_one_attribute_are_merged(text: str, conditions: int, nodes: int) -> None:
    tables, _ = compiled(text)
    assert (len(tables.conditions) - 1, len(tables.nodes)) == (conditions, nodes)


def test_equal_conditions_and_nodes_of_several_rules_are_one() -> None:
    shared = 'profile.a > 1 && profile.s == "a"'
    tables, refs = compiled(shared, f"({shared}) || profile.p", f"!({shared})")
    assert len(tables.conditions) == 4
    assert len(tables.nodes) == 4
    assert refs[2] == (refs[0][1], refs[0][0])


def test_nodes_come_after_their_inputs_by_level_operator_and_arity() -> None:
    tables, _ = compiled(
        'profile.a > 1 && (profile.p || profile.q && profile.s == "a")',
        "profile.x > 1.0 || profile.b == 2 || profile.p",
    )
    first = 2 * len(tables.conditions)
    levels: list[int] = []
    for at, node in enumerate(tables.nodes):
        assert all(ref < first + at for ref in node.inputs)
        levels.append(1 + max([0, *(levels[ref - first] for ref in node.inputs if ref >= first)]))
    shapes = [(level, node.op, len(node.inputs)) for level, node in zip(levels, tables.nodes, strict=True)]
    assert shapes == sorted(shapes)


@pytest.mark.parametrize(
    "text",
    [
        "profile.p == (profile.q == (profile.p != (profile.q == (profile.p == (profile.q != profile.p)))))",
        " == ".join(["(profile.a > 1 ? profile.p : profile.q)"] * 20),
        "((" * 30 + "profile.a" + " + 1) * 2)" * 30 + " > 0",
    ],
)
def test_deep_logic_stays_small(text: str) -> None:
    tables, _ = compiled(text)
    assert len(tables.nodes) < 500


def test_compiling_is_deterministic() -> None:
    written = [
        'profile.a in [9, 7, 5] || profile.s in ["b", "a"]',
        "profile.q && profile.p",
        "has(profile.w)",
    ]
    assert compiled(*written) == compiled(*written)
