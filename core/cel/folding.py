"""Constant folding: strict operators over constants, with CEL's errors (docs/decisions/0002-decision.md)."""

import math
from collections.abc import Callable
from typing import Final

from core.bundle import BOOL, FLOAT, INT, STRING, TIMESTAMP
from core.cel.literals import INT_MAX, INT_MIN, SPAN_MS_MAX, TIMESTAMP_MS_MAX, TIMESTAMP_MS_MIN, fitted
from core.cel.typed import DURATION, Binary, Constant, ConstantValue, Failure, InList, Negate, Size, Typed

COMPARISONS: Final = ("==", "!=", "<", "<=", ">", ">=")


def fold(node: Typed) -> Typed:
    """The constant that a strict node with constant operands comes to; any other node as it is."""
    if not isinstance(node, Binary | Negate | Size | InList):
        return node
    operands = node.operands
    if any(isinstance(operand, Failure) for operand in operands):
        return Failure(node.type)
    values = [operand.value for operand in operands if isinstance(operand, Constant)]
    if len(values) < len(operands):
        return node
    value = _value(node, values)
    return Failure(node.type) if value is None else Constant(node.type, value)


def _value(node: Binary | Negate | Size | InList, values: list[ConstantValue]) -> ConstantValue | None:
    if isinstance(node, InList):
        return any(_TESTS["=="](*_fitted(values[0], item.value)) for item in node.items)
    if isinstance(node, Size):
        return len(str(values[0]))
    if isinstance(node, Negate):
        return _in_range(node.type, -values[0])  # type: ignore[operator]
    if node.operator in COMPARISONS or node.type == BOOL:
        return bool(_TESTS[node.operator](*_fitted(*values)))
    return arithmetic(node.type, node.operator, *values)  # type: ignore[arg-type]


def _fitted(left: ConstantValue, right: ConstantValue) -> tuple[ConstantValue, ConstantValue]:
    return fitted(left, right), fitted(right, left)


def arithmetic(kind: int, operator: str, x: float, y: float) -> int | float | None:
    """`x operator y` in the result's type, None on error. Timestamps and durations are integers of
    milliseconds."""
    if operator == "+":
        return _in_range(kind, x + y)
    if operator == "-":
        return _in_range(kind, x - y)
    if operator == "*":
        return _in_range(kind, x * y)
    if kind == FLOAT:
        return _divide_doubles(x, y)
    if y == 0 or not isinstance(x, int) or not isinstance(y, int):
        return None
    quotient = abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1)
    if _in_range(INT, quotient) is None:  # the least integer over -1, for the remainder too
        return None
    return quotient if operator == "/" else x - y * quotient


def _in_range(kind: int, value: float) -> int | float | None:
    low, high = _RANGES.get(kind, (INT_MIN, INT_MAX))
    return value if kind == FLOAT or low <= value <= high else None


#: Of what is no int: the years 1 to 9999, and the nanoseconds that an int holds.
_RANGES: Final = {TIMESTAMP: (TIMESTAMP_MS_MIN, TIMESTAMP_MS_MAX), DURATION: (-SPAN_MS_MAX, SPAN_MS_MAX)}


def _divide_doubles(x: float, y: float) -> float:
    if y != 0.0:
        return x / y
    return math.nan if x == 0.0 or math.isnan(x) else math.copysign(math.inf, x) * math.copysign(1.0, y)


# Python compares int and float by mathematical value, and strings by code point, which is the order of
# UTF-8 bytes.
_TESTS: Final[dict[str, Callable[..., object]]] = {
    "==": lambda x, y: x == y,
    "!=": lambda x, y: x != y,
    "<": lambda x, y: x < y,
    "<=": lambda x, y: x <= y,
    ">": lambda x, y: x > y,
    ">=": lambda x, y: x >= y,
    "contains": lambda x, y: y in x,
    "startsWith": lambda x, y: x.startswith(y),
    "endsWith": lambda x, y: x.endswith(y),
}
#: Result types of arithmetic by operator and operand types; what is not here is refused.
ARITHMETIC: Final[dict[tuple[str, int, int], int]] = {
    **{(operator, kind, kind): kind for operator in "+-*/" for kind in (INT, FLOAT)},
    ("%", INT, INT): INT,
    ("+", TIMESTAMP, DURATION): TIMESTAMP,
    ("+", DURATION, TIMESTAMP): TIMESTAMP,
    ("-", TIMESTAMP, DURATION): TIMESTAMP,
    ("-", TIMESTAMP, TIMESTAMP): DURATION,
}
#: Types whose values can be compared with their own kind; int and float also with each other.
COMPARABLE: Final = frozenset({BOOL, INT, FLOAT, STRING, TIMESTAMP, DURATION})
