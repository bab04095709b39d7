"""Equality and order of values, across types."""

import operator
from collections.abc import Callable
from typing import Final

from core.cel.general.run import Run
from core.cel.general.values import NUMBERS, Duration, Map, Timestamp, Value, no_overload
from core.cel.literals import fitted

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
        return bool(fitted(left, right) == fitted(right, left))
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
        if kind is other:
            return ORDERS[sign](left, right)
        return ORDERS[sign](fitted(left, right), fitted(right, left))
    if kind is other and kind in _ORDERED:
        return ORDERS[sign](left, right)
    if kind is other and kind in _TIMES:
        return ORDERS[sign](left.ns, right.ns)
    raise no_overload(f"`{sign}`", left, right)


def member(run: Run, value: Value, group: Value) -> bool:
    """`value in group`: an entry of a list or a key of a map."""
    if type(group) is list:
        return any(equal(run, value, entry) for entry in group)
    if type(group) is Map:
        return value in group
    raise no_overload("`in`", value, group)
