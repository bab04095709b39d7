"""The oracle against what others have published or computed: the definition is checked from outside."""

import json
import math
from collections import Counter
from typing import Any

import msgspec
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from core.cel.checker import check
from core.cel.environment import Environment
from core.cel.parser import parse
from core.errors import ExpressionError
from tests.oracle import cel
from tests.oracle.evaluate import Error, Value, evaluate
from tests.oracle.hashing import bucket, xxh64
from tests.oracle.numbers import exp
from tests.oracle.output import to_json
from tests.properties.expressions import string_literal
from tests.properties.profiles import examples
from tests.shared import shared_data

#: Of the specification's tests: those that a catalogue takes, and the oracle agrees on.
CONFORMANCE_MIN = 440


@pytest.mark.parametrize(
    ("data", "published"),
    [
        (b"", 0xEF46DB3751D8E999),
        (b"a", 0xD24EC4F1A98C6E5B),
        (b"abc", 0x44BC2CF5AD770999),
        (b"Nobody inspects the spammish repetition", 0xFBCEA83C8A378BF1),
    ],
)
def test_xxh64_has_its_published_values(data: bytes, published: int) -> None:
    assert xxh64(data) == published


@given(st.binary(max_size=200))
@examples(200)
def test_xxh64_is_that_of_the_reference(data: bytes) -> None:
    assert xxh64(data) == xxhash.xxh64_intdigest(data)


def test_buckets_cover_the_range_evenly() -> None:
    counts = Counter(bucket("salt", number.to_bytes(16, "little")) // 100_000 for number in range(10_000))
    assert set(counts) == set(range(10))
    # Ten cells of 1,000 expected; the statistic passes 27.9 once in a thousand times.
    assert sum((count - 1000) ** 2 / 1000 for count in counts.values()) < 27.9


@given(st.floats(-745.0, 709.0))
@examples(500)
def test_exp_is_near_the_true_one(x: float) -> None:
    assert math.isclose(exp(x), math.exp(x), rel_tol=4e-16, abs_tol=5e-324)


@pytest.mark.parametrize(
    ("x", "value"),
    [(0.0, 1.0), (-0.0, 1.0), (math.inf, math.inf), (-math.inf, 0.0), (710.0, math.inf), (-746.0, 0.0)],
)
def test_exp_of_special_values(x: float, value: float) -> None:
    assert exp(x) == value


def test_exp_of_nan() -> None:
    assert math.isnan(exp(math.nan))


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@given(json_values)
@examples(500)
def test_json_is_written_as_msgspec_writes_it(value: Any) -> None:
    assert to_json(value) == msgspec.json.encode(value)


class Nothing:
    """An environment without names."""

    now_ms = 0

    def read(self, _scope: str, _name: str) -> Value:
        raise AssertionError("no names")

    def has(self, _scope: str, _name: str) -> bool:
        raise AssertionError("no names")


def test_expressions_come_to_what_the_specification_says() -> None:
    """Google's conformance tests without variables, as far as the language that the compiler accepts goes."""
    agreed = 0
    wrong = []
    for name in ("basic", "comparisons", "fields", "lists", "logic", "macros"):
        for test in json.loads(shared_data(f"cel_conformance/{name}.json").read_text(encoding="utf-8")):
            expression = as_test(test)
            if expression is None or not is_supported(expression):
                continue
            value = evaluate(cel.parse(expression), Nothing())
            if isinstance(value, Error) if "eval_error" in test else value is expected_bool(test):
                agreed += 1
            else:
                wrong.append((name, test["section"], test["name"], expression, value))
    assert not wrong
    assert agreed >= CONFORMANCE_MIN


def as_test(test: Any) -> str | None:
    """The conformance test as an expression of type bool; None where it is about something else."""
    if test.get("disable_check") or test.get("bindings") or test.get("container"):
        return None
    expression: str = test["expr"]
    if "eval_error" in test:
        return expression if is_supported(expression) else f"({expression}) == ({expression})"
    kind, value = next(iter(test.get("value", {"bool_value": True}).items()))
    if kind == "bool_value":
        return expression
    if kind == "string_value":
        return f"({expression}) == {string_literal(value)}"
    return f"({expression}) == {value}" if kind in ("int64_value", "double_value") else None


def expected_bool(test: Any) -> bool:
    value = test.get("value", {}).get("bool_value", True)
    assert isinstance(value, bool)
    return value


def is_supported(expression: str) -> bool:
    try:
        return not check(parse(expression), Environment({}))[1]
    except ExpressionError:
        return False
