"""Equality and order of values, across types."""

import operator
from collections.abc import Callable
from typing import Final

from core.cel.general.run import Run
from core.cel.general.values import NUMBERS, Duration, Map, Timestamp, Value, no_overload
from core.cel.literals import INT_MAX

#: What the largest int becomes as a double; the conformance suite takes the two for equal.
_INT_MAX_DOUBLE: Final = 2.0**63
_ORDERED: Final = frozenset({bool, str, bytes})
_TIMES: Final = frozenset({Timestamp, Duration})
ORDERS: Final[dict[str, Callable[[Value, Value], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def equal(run: Run, left: Value, right: Value) -> bool:
    """Say whether two values are equal. Those of different types are not, numbers aside."""
    run.spend(1)
    kind = type(left)
    if kind is not type(right):
        if kind not in NUMBERS or type(right) not in NUMBERS:
            return False
        return bool(left == right if run.exact else _fitted(left, right) == _fitted(right, left))
    if kind is list:
        return len(left) == len(right) and all(
            equal(run, one, other) for one, other in zip(left, right, strict=True)
        )
    if kind is Map:
        return len(left) == len(right) and all(
            key in right and equal(run, value, right[key]) for key, value in left.items()
        )
    return bool(left == right)


def in_order(run: Run, sign: str, left: Value, right: Value) -> bool:
    """`left sign right` for < <= > >=. Strings are ordered by code point, false before true."""
    kind, other = type(left), type(right)
    if kind in NUMBERS and other in NUMBERS:
        if run.exact or kind is other:
            return ORDERS[sign](left, right)
        return ORDERS[sign](_fitted(left, right), _fitted(right, left))
    if kind is other and kind in _ORDERED:
        return ORDERS[sign](left, right)
    if kind is other and kind in _TIMES:
        return ORDERS[sign](left.ns, right.ns)
    raise no_overload(f"`{sign}`", left, right)


def _fitted(number: Value, other: Value) -> Value:
    """A number as it compares with another one: by its value, but for 2^63 beside the largest int."""
    return INT_MAX if number == _INT_MAX_DOUBLE and type(other) is int and other == INT_MAX else number


def member(run: Run, value: Value, group: Value) -> bool:
    """`value in group`: an entry of a list or a key of a map."""
    if type(group) is list:
        return any(equal(run, value, entry) for entry in group)
    if type(group) is Map:
        return value in group
    raise no_overload("`in`", value, group)
