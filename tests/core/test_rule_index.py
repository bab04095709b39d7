"""The index of large rule sets: it finds what the tables find, whatever the values, the planes and the
shapes.
"""

import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import bundle as b
from core.decide import Engine, Request
from core.rule_index import RuleIndex
from tests.core.sketch import (
    INT64_MAX,
    INT64_MIN,
    NOW,
    UNIT_KEY,
    Entry,
    Sketch,
    bool_slot,
    float_slot,
    int_slot,
    record,
    string_slot,
    strings_slot,
)
from tests.properties.profiles import examples

KINDS = (b.INT, b.INT, b.FLOAT, b.FLOAT, b.STRING, b.STRING, b.BOOL, b.STRINGS)
EDGES = (INT64_MIN, INT64_MIN + 1, -1, 0, 1, INT64_MAX - 1, INT64_MAX)
RULES = 1600
#: More different numbers than an attribute has classes.
NUMBERS = 1000


def words(vocabulary: int) -> list[str]:
    return ["", "é", *[f"w{number}" for number in range(vocabulary)]]


def value_of(draw: random.Random, kind: int, known: list[str]) -> Any:
    if draw.random() < 0.15:
        return None
    match kind:
        case b.INT:
            return draw.choice(EDGES) if draw.random() < 0.1 else draw.randrange(NUMBERS)
        case b.FLOAT:
            return draw.choice((math.inf, -math.inf, -0.0, draw.uniform(-10, 10), float(draw.randrange(10))))
        case b.STRING:
            return draw.choice([*known, "other"])
        case b.BOOL:
            return draw.random() < 0.5
    return draw.sample(known, 3)


def slot_of(kind: int, value: Any) -> Entry:
    make: Any = {b.INT: int_slot, b.FLOAT: float_slot, b.STRING: string_slot, b.BOOL: bool_slot}.get(kind)
    return make(value) if make else strings_slot(dict.fromkeys(value, NOW))


def add_condition(draw: random.Random, sketch: Sketch, known: list[str]) -> int:
    attribute = draw.randrange(len(KINDS))
    kind = KINDS[attribute]
    if draw.random() < 0.05:
        return sketch.condition(b.OP_HAS, attribute)
    if draw.random() < 0.05:
        return sketch.condition(b.OP_PROGRAM, program=[(0, 0), (0, 1), (b.P_LT, 0)])
    if draw.random() < 0.06:
        return add_general(draw, sketch)
    match kind:
        case b.INT:
            low = draw.choice((*EDGES, *[draw.randrange(NUMBERS) for _ in EDGES]))
            high = draw.choice(EDGES) if draw.random() < 0.1 else low + draw.randrange(-1, 5)
            return sketch.condition(b.OP_RANGE, attribute, lo=low, hi=max(INT64_MIN, min(high, INT64_MAX)))
        case b.FLOAT:
            ends = sorted((draw.uniform(-10, 10), draw.uniform(-10, 10), draw.choice((math.inf, 0.0))))
            return sketch.condition(
                b.OP_RANGE, attribute, lo=b.float_key(ends[0]), hi=b.float_key(ends[draw.randrange(1, 3)])
            )
        case b.BOOL:
            return sketch.condition(b.OP_RANGE, attribute, lo=1, hi=1)
        case b.STRINGS:
            return sketch.condition(b.OP_ANY_IN, attribute, strings=draw.sample(known, 2))
    if draw.random() < 0.3:
        op = draw.choice((b.OP_CONTAINS, b.OP_STARTS, b.OP_ENDS))
        return sketch.condition(op, attribute, strings=[draw.choice(("w", "1", "", "é"))])
    return sketch.condition(b.OP_STRING_IN, attribute, strings=draw.sample(known, draw.randrange(4)))


#: What the general evaluator is asked of a string, and what comes of it; `int` of these is no bool.
GENERALS = (
    ("matches", "1$", lambda text: text.endswith("1")),
    ("contains", "é", lambda text: "é" in text),
    ("int", None, lambda text: None),
)


def add_general(draw: random.Random, sketch: Sketch) -> int:
    attribute, (function, text, _) = draw.choice((4, 5)), draw.choice(GENERALS)
    read = b.Part(b.G_ATTRIBUTE, attribute)
    if text is None:
        return sketch.general(read, b.Part(b.G_CALL, function, [0]))
    return sketch.general(read, b.Part(b.G_LITERAL, text), b.Part(b.G_CALL, function, [0, 1]))


def aim(draw: random.Random, sketch: Sketch) -> list[int]:
    """Literals that few profiles meet: a narrow range, what two ranges leave over, or two wider ranges."""
    number, low = draw.randrange(2), draw.randrange(NUMBERS)
    match draw.randrange(3):
        case 0:
            return [2 * sketch.condition(b.OP_RANGE, number, lo=low, hi=low + draw.randrange(9))]
        case 1:
            below = sketch.condition(b.OP_RANGE, number, lo=INT64_MIN, hi=low - 1)
            above = sketch.condition(b.OP_RANGE, number, lo=low + draw.randrange(9), hi=INT64_MAX)
            return [2 * below + 1, 2 * above + 1]
    low, start = draw.randrange(NUMBERS - NUMBERS // 8), draw.uniform(-10, 8)
    wide = sketch.condition(b.OP_RANGE, number, lo=low, hi=low + NUMBERS // 8)
    bounds = b.float_key(start), b.float_key(start + 2)
    return [2 * wide, 2 * sketch.condition(b.OP_RANGE, draw.randrange(2, 4), lo=bounds[0], hi=bounds[1])]


def add_node(draw: random.Random, sketch: Sketch, op: int, refs: list[int], first: int) -> int:
    if len(refs) == 1 and draw.random() < 0.8:
        return refs[0]
    sketch.nodes.append(b.Node(op, refs))
    return first + len(sketch.nodes) - 1


def random_set(draw: random.Random, rule_count: int) -> tuple[Sketch, list[str]]:
    """Rules that are mostly ANDs of literals of both planes and of ORs, some deeper, some shared."""
    sketch, known = Sketch(), words(draw.choice((5, 60, 400)))
    for number, kind in enumerate(KINDS):
        default = draw.choice((None, None, 7)) if kind == b.INT else None
        sketch.attribute(f"profile.a{number}", kind, default=default)
    for _ in range(rule_count * 2):
        add_condition(draw, sketch, known)
    aims = [aim(draw, sketch) if draw.random() < 0.8 else [] for _ in range(rule_count)]
    first = 2 * len(sketch.conditions)

    def literal() -> int:
        if draw.random() < 0.02:
            return draw.randrange(2)
        return 2 * draw.randrange(1, len(sketch.conditions)) + (draw.random() < 0.2)

    for number in range(rule_count):
        clauses = aims[number].copy()
        for _ in range(draw.randint(1, 4)):
            if draw.random() < 0.7:
                clauses.append(literal())
                continue
            terms = [
                add_node(draw, sketch, b.NODE_AND, [literal() for _ in range(draw.randint(1, 2))], first)
                for _ in range(draw.randint(1, 3))
            ]
            clauses.append(add_node(draw, sketch, b.NODE_OR, terms, first))
        if sketch.nodes and draw.random() < 0.1:
            clauses.append(first + draw.randrange(len(sketch.nodes)))
        op = b.NODE_OR if draw.random() < 0.05 else b.NODE_AND
        root = add_node(draw, sketch, op, clauses, first)
        sketch.formula(f"r{number}", root, 1)
    return sketch, known


def expected_of(sketch: Sketch, values: list[Any]) -> list[int]:
    """What the definition of literals and nodes says."""
    literals: list[int] = []
    for condition in sketch.conditions:
        literals += verdict_of(condition, sketch, values)
    for node in sketch.nodes:
        found = [literals[ref] for ref in node.inputs]
        literals.append(max(found) if node.op == b.NODE_OR else min(found))
    return [number for number, rule in enumerate(sketch.rules) if literals[rule.true_ref]]


def verdict_of(condition: b.Condition, sketch: Sketch, values: list[Any]) -> tuple[int, int]:
    if condition.op == b.OP_CONSTANT:
        return 1, 0
    if condition.op == b.OP_HAS:
        held = int(values[condition.attribute] is not None)
        return held, 1 - held
    seen = [
        attribute.default if value is None else value
        for attribute, value in zip(sketch.attributes, values, strict=True)
    ]
    if condition.op == b.OP_GENERAL:
        parts = sketch.generals[condition.lo].parts
        value, meaning = seen[int(parts[0].value)], {one[0]: one[2] for one in GENERALS}[str(parts[-1].value)]
        holds = None if value is None else meaning(value)
        return int(holds is True), int(holds is False)
    if condition.op == b.OP_PROGRAM:
        if seen[0] is None or seen[1] is None:
            return 0, 0
        return int(seen[0] < seen[1]), int(seen[0] >= seen[1])
    value = seen[condition.attribute]
    if value is None:
        return 0, 0
    match condition.op:
        case b.OP_RANGE:
            key = b.float_key(value) if isinstance(value, float) else int(value)
            holds = condition.lo <= key <= condition.hi
        case b.OP_STRING_IN:
            holds = value in condition.strings
        case b.OP_ANY_IN:
            holds = any(text in condition.strings for text in value)
        case b.OP_CONTAINS:
            holds = condition.strings[0] in value
        case b.OP_STARTS:
            holds = value.startswith(condition.strings[0])
        case _:
            holds = value.endswith(condition.strings[0])
    return int(holds), int(not holds)


def packed(values: list[Any]) -> bytes:
    held = {16 + at: (KINDS[at], value) for at, value in enumerate(values) if value is not None}
    return record({slot: slot_of(kind, value) for slot, (kind, value) in held.items()})


@given(st.integers(0, 2**32))
@examples(12)
def test_the_index_finds_what_the_definition_says(seed: int) -> None:
    draw = random.Random(seed)
    sketch, known = random_set(draw, RULES)
    engine = Engine(sketch.content(), 1)
    index = RuleIndex(sketch.document(), frozenset())
    assert index.rule_count >= 512
    assert index.rests
    for _ in range(8):
        values = [value_of(draw, kind, known) for kind in KINDS]
        assert engine.match(packed(values), {}, NOW) == expected_of(sketch, values)
    assert engine.match(None, {}, NOW) == expected_of(sketch, [None] * len(KINDS))


def aimed_set(rule_count: int) -> Sketch:
    """Rules that each want another narrow range of one number and another town."""
    sketch = Sketch()
    number = sketch.attribute("profile.n", b.INT)
    town = sketch.attribute("profile.town", b.STRING)
    for at in range(rule_count):
        sketch.condition(b.OP_RANGE, number, lo=at, hi=at + 1)
        sketch.condition(b.OP_STRING_IN, town, strings=[f"t{at % 100}"])
    first = 2 * len(sketch.conditions)
    for at in range(rule_count):
        sketch.nodes.append(b.Node(b.NODE_AND, [2 * (1 + 2 * at), 2 * (2 + 2 * at)]))
        sketch.formula(f"r{at}", first + at, 1)
    return sketch


@pytest.mark.parametrize(("rules", "indexed"), [(1023, 0), (1024, 1024), (3000, 3000)])
def test_only_large_sets_have_an_index(rules: int, indexed: int) -> None:
    sketch = aimed_set(rules)
    assert RuleIndex(sketch.document(), frozenset()).rule_count == indexed
    engine = Engine(sketch.content(), 1)
    for at in (0, 1, 77, rules - 1):
        held = {16: int_slot(at), 17: string_slot(f"t{at % 100}")}
        assert engine.match(record(held), {}, NOW) == [at]
    assert engine.match(record({16: int_slot(5), 17: string_slot("t9")}), {}, NOW) == []


def test_what_decisions_need_is_not_put_into_the_index() -> None:
    sketch = aimed_set(1200)
    needed = frozenset(rule.true_ref for rule in sketch.rules[:100])
    index = RuleIndex(sketch.document(), needed)
    assert index.rule_count == 1100


def test_a_trace_explains_the_rules_of_the_index_too() -> None:
    sketch = aimed_set(1100)
    sketch.placement()
    sketch.treatment(sketch.offer("a", eligibility=0))
    engine = Engine(sketch.content(), 1)
    packed_record = record({16: int_slot(0), 17: string_slot("t0")})
    assert engine.match(packed_record, {}, NOW) == [0]
    request = Request("d", ("home.hero",), {}, UNIT_KEY, trace=True)
    assert engine.decide(packed_record, (), request, NOW).reasons == ("ok",)
    assert engine.match(packed_record, {}, NOW) == [0]
