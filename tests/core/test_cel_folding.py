"""Constant expressions are computed when the bundle is made, as CEL computes them."""

import math

import pytest

from core.bundle import BOOL, FLOAT
from core.cel.checker import check
from core.cel.environment import Environment
from core.cel.parser import parse
from core.cel.typed import Binary, Constant, Failure


def folded(text: str) -> object:
    """The constant that `text` comes to, seen through a comparison with an attribute; None for an error."""
    typed, faults = check(parse(f"profile.x == ({text})"), Environment({"profile.x": (0, FLOAT)}))
    assert not faults
    if isinstance(typed, Failure):
        return None
    assert isinstance(typed, Binary)
    assert isinstance(typed.right, Constant)
    return typed.right.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3 - 4", 3),
        ("7 / 2", 3),
        ("-7 / 2", -3),
        ("7 / -2", -3),
        ("-7 / -2", 3),
        ("7 % 3", 1),
        ("-7 % 3", -1),
        ("7 % -3", 1),
        ("-(3 - 5)", 2),
        ("size('aé😀')", 3),
        ("1.5 * 2.0 + 0.25", 3.25),
        ("7.0 / 2.0", 3.5),
        ("1.0 / 0.0", math.inf),
        ("-1.0 / 0.0", -math.inf),
        ("1.0 / -0.0", -math.inf),
        ("9223372036854775807 + 0", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("9223372036854775807 + 1", None),
        ("-9223372036854775808 - 1", None),
        ("-(-9223372036854775808)", None),
        ("4611686018427387904 * 2", None),
        ("-9223372036854775808 / -1", None),
        ("-9223372036854775808 % -1", None),
        ("1 / 0", None),
        ("1 % 0", None),
        ("1 + 1 / 0", None),
    ],
)
def test_arithmetic_of_constants(text: str, value: object) -> None:
    found = folded(text)
    assert (found, type(found)) == (value, type(value))


def test_not_a_number_stays_one() -> None:
    found = folded("0.0 / 0.0")
    assert isinstance(found, float)
    assert math.isnan(found)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 < 1.5", True),
        ("9007199254740993 == 9007199254740992.0", False),
        ("'a' < 'b'", True),
        ("'\U0001f600' > '\uffff'", True),
        ("2 in [1, 2.0]", True),
        ("'b' in ['a']", False),
        ("'abc'.contains('b') && 'abc'.startsWith('ab')", True),
        ("'abc'.endsWith('ab')", False),
        ("duration('1h') == duration('60m')", True),
        ("timestamp('2026-01-01T00:00:00Z') - timestamp('2025-12-31T23:00:00Z') == duration('1h')", True),
        ("timestamp('2026-01-01T01:00:00+01:00') == timestamp('2026-01-01T00:00:00Z')", True),
        ("timestamp('2026-01-01T00:00:00Z') + duration('-1ms') < timestamp('2026-01-01T00:00:00Z')", True),
    ],
)
def test_comparisons_of_constants(text: str, value: bool) -> None:
    # A chain of && is left to the tables, which absorb constants; each term of it is folded here.
    for term in text.split(" && "):
        typed, faults = check(parse(term), Environment({}))
        assert not faults
        assert isinstance(typed, Constant)
        assert (typed.type, typed.value) == (BOOL, value)
