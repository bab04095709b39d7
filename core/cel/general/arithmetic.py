"""`+ - * / %` and unary minus, by the types of the operands."""

from collections.abc import Callable
from typing import Final

from core.bundle import FLOAT
from core.cel import folding
from core.cel.general.run import Run
from core.cel.general.values import (
    Duration,
    Timestamp,
    Uint,
    Value,
    checked_duration,
    checked_int,
    checked_timestamp,
    checked_uint,
    no_overload,
)
from core.cel.literals import INT_MAX
from core.errors import EvaluationError

Operation = Callable[[Value, Value], Value]


def calculate(run: Run, sign: str, left: Value, right: Value) -> Value:
    """`left sign right`."""
    kind, other = type(left), type(right)
    if sign == "+" and kind is other and kind in (str, bytes, list):
        run.spend(len(left) + len(right))
        return left + right
    operation = _OPERATIONS.get((sign, kind, other))
    if operation is None:
        raise no_overload(f"`{sign}`", left, right)
    return operation(left, right)


def negate(value: Value) -> Value:
    """`-value` of an int or a double."""
    if type(value) is int:
        return checked_int(-value)
    if type(value) is float:
        return -value
    raise no_overload("`-`", value)


def _quotient(left: int, right: int) -> int:
    if right == 0:
        raise EvaluationError("divide by zero")
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def _remainder(left: int, right: int) -> int:
    """It has the sign of the left side. The least int by -1 overflows as its division does."""
    return left - right * checked_int(_quotient(left, right))


def _divide_doubles(left: float, right: float) -> float:
    quotient = folding.arithmetic(FLOAT, "/", left, right)
    assert quotient is not None, "doubles divide by zero"
    return quotient


def _between(left: Timestamp, right: Timestamp) -> Duration:
    """The specification wants an error where nanoseconds leave 64 bits: 292 years."""
    ns = left.ns - right.ns
    if abs(ns) > INT_MAX:
        raise EvaluationError("out of the range of duration")
    return Duration(ns)


_OPERATIONS: Final[dict[tuple[str, type, type], Operation]] = {
    ("+", int, int): lambda x, y: checked_int(x + y),
    ("-", int, int): lambda x, y: checked_int(x - y),
    ("*", int, int): lambda x, y: checked_int(x * y),
    ("/", int, int): lambda x, y: checked_int(_quotient(x, y)),
    ("%", int, int): _remainder,
    ("+", Uint, Uint): lambda x, y: checked_uint(int(x) + int(y)),
    ("-", Uint, Uint): lambda x, y: checked_uint(int(x) - int(y)),
    ("*", Uint, Uint): lambda x, y: checked_uint(int(x) * int(y)),
    ("/", Uint, Uint): lambda x, y: Uint(_quotient(int(x), int(y))),
    ("%", Uint, Uint): lambda x, y: Uint(int(x) - int(y) * _quotient(int(x), int(y))),
    ("+", float, float): lambda x, y: x + y,
    ("-", float, float): lambda x, y: x - y,
    ("*", float, float): lambda x, y: x * y,
    ("/", float, float): _divide_doubles,
    ("+", Timestamp, Duration): lambda x, y: checked_timestamp(x.ns + y.ns),
    ("+", Duration, Timestamp): lambda x, y: checked_timestamp(x.ns + y.ns),
    ("-", Timestamp, Duration): lambda x, y: checked_timestamp(x.ns - y.ns),
    ("-", Timestamp, Timestamp): _between,
    ("+", Duration, Duration): lambda x, y: checked_duration(x.ns + y.ns),
    ("-", Duration, Duration): lambda x, y: checked_duration(x.ns - y.ns),
}
