"""Comparisons with a constant as ranges of int64 keys, exact for every mix of int and double."""

import math
from typing import Final

from core.bundle import BOOL, FLOAT, INT, float_key
from core.cel.literals import INT_MAX, INT_MAX_DOUBLE, INT_MIN, fitted

Range = tuple[int, int]

#: Holds for no key: false for a value, an error for a missing one.
EMPTY: Final[Range] = (1, 0)
_FLOATS: Final[Range] = (float_key(-math.inf), float_key(math.inf))


def comparison_range(kind: int, operator: str, value: float) -> Range:
    """The keys of an attribute of type `kind` for which `attribute operator value` holds.

    Parameters
    ----------
    kind : BOOL, INT, FLOAT or TIMESTAMP
    operator : == < <= > or >=
    value : int or double; compared by mathematical value, NaN with nothing; the largest int equals 2^63
    """
    value = fitted(value, INT_MAX) if kind == INT else value
    if kind == FLOAT and value == INT_MAX:
        value = INT_MAX_DOUBLE
    if math.isnan(value):
        return EMPTY
    low, high = domain(kind)
    floor, ceiling = _float_keys(value) if kind == FLOAT else _int_keys(value)
    if operator == "==":
        low, high = (floor, ceiling) if floor == ceiling else EMPTY
    elif operator == "<":
        high = min(high, ceiling - 1)
    elif operator == "<=":
        high = min(high, floor)
    elif operator == ">":
        low = max(low, floor + 1)
    else:
        low = max(low, ceiling)
    return clip((low, high), domain(kind))


def domain(kind: int) -> Range:
    """All keys that values of a type can have."""
    if kind == FLOAT:
        return _FLOATS
    return (0, 1) if kind == BOOL else (INT_MIN, INT_MAX)


def clip(range_: Range, bounds: Range) -> Range:
    """The part of a range that is inside another one."""
    low, high = max(range_[0], bounds[0]), min(range_[1], bounds[1])
    return (low, high) if low <= high else EMPTY


def union(ranges: list[Range]) -> list[Range]:
    """Disjoint, non-adjacent ranges, ascending, that hold the same keys; one EMPTY if there are none."""
    merged: list[Range] = []
    for low, high in sorted(range_ for range_ in ranges if range_ != EMPTY):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    return merged or [EMPTY]


def _int_keys(value: float) -> Range:
    """The largest integer at or below a value, and the smallest at or above it."""
    if value == math.inf:
        return INT_MAX, INT_MAX + 1
    if value == -math.inf:
        return INT_MIN - 1, INT_MIN
    return math.floor(value), math.ceil(value)


def _float_keys(value: float) -> Range:
    """The key of the largest double at or below a value, and of the smallest at or above it."""
    nearest = float(value)
    key = float_key(nearest)
    return (key if nearest <= value else key - 1), (key if nearest >= value else key + 1)
