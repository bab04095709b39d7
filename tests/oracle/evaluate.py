"""CEL evaluation with errors as values, as the language definition's chapter on evaluation has it."""

import math
from collections.abc import Callable
from typing import Any, Final

from tests.oracle import general
from tests.oracle.cel import Node
from tests.oracle.values import INT_MAX, INT_MIN, Duration, Environment, Error, Timestamp, Uint, Value, Within

YEAR_1_MS: Final = -62_135_596_800_000
YEAR_10000_MS: Final = 253_402_300_800_000
TEN_THOUSAND_YEARS_MS: Final = 315_576_000_000_000

__all__ = ["INT_MAX", "INT_MIN", "Duration", "Environment", "Error", "Timestamp", "Value", "evaluate"]


def evaluate(node: Node, environment: Environment) -> Value:
    """The value of an expression, or the Error it comes to."""
    kind, *parts = node
    match kind:
        case "name" | "now" | "read" | "has" if (names := _locals(environment)) and _root(node) in names:
            return general.local(node, names)
        case "uint":
            return Uint(parts[0])
        case "bytes":
            return parts[0]  # type: ignore[no-any-return]
        case "null":
            return None
        case "name":
            return general.TYPES.get(parts[0], Error("no such name"))
        case "list":
            return general.all_or_error([evaluate(part, environment) for part in parts[0]])
        case "map":
            return general.made_map(
                [(evaluate(key, environment), evaluate(value, environment)) for key, value in parts[0]]
            )
        case "macro":
            return general.macro(
                parts[0], evaluate(parts[1], environment), parts[2], parts[3], _under(environment)
            )
        case "bind":
            value = evaluate(parts[1], environment)
            return value if isinstance(value, Error) else _under(environment)(parts[2], {parts[0]: value})
        case "call":
            arguments = general.all_or_error([evaluate(part, environment) for part in parts[1]])
            return arguments if isinstance(arguments, Error) else general.call(parts[0], arguments)
        case "field" | "has field":
            return general.field(kind, evaluate(parts[0], environment), parts[1])
        case "literal":
            return parts[0]  # type: ignore[no-any-return]
        case "duration":
            return Duration(parts[0])
        case "timestamp":
            return Timestamp(parts[0])
        case "now":
            return Timestamp(environment.now_ms)
        case "read" if ".".join(parts) in general.TYPES:
            return general.TYPES[".".join(parts)]
        case "read":
            return environment.read(*parts)
        case "has":
            return environment.has(*parts)
        case "and":
            return _and(evaluate(parts[0], environment), evaluate(parts[1], environment))
        case "or":
            return _or(evaluate(parts[0], environment), evaluate(parts[1], environment))
        case "choose":
            condition = evaluate(parts[0], environment)
            if isinstance(condition, Error):
                return condition
            return evaluate(parts[1] if condition else parts[2], environment)
    # Every other operator is strict: an error of an operand is its result.
    operands = [evaluate(part, environment) for part in parts]
    for operand in operands:
        if isinstance(operand, Error):
            return operand
    if not general.has_overload(kind, operands):
        return Error("no such overload")
    return STRICT[kind](*operands)


def _locals(environment: Environment) -> dict[str, Value]:
    return environment.names if isinstance(environment, Within) else {}


def _root(node: Node) -> str:
    return "now" if node[0] == "now" else str(node[1])


def _under(environment: Environment) -> Callable[[Node, dict[str, Value]], Value]:
    """Evaluates with more macros' variables."""
    return lambda node, names: evaluate(node, Within(environment, {**_locals(environment), **names}))


def _and(left: Value, right: Value) -> Value:
    """False if either side is false, whatever the other is; an error if there is one and no false."""
    if left is False or right is False:
        return False
    if left is True and right is True:
        return True
    return left if isinstance(left, Error) else right


def _or(left: Value, right: Value) -> Value:
    """True if either side is true, whatever the other is; an error if there is one and no true."""
    if left is True or right is True:
        return True
    if left is False and right is False:
        return False
    return left if isinstance(left, Error) else right


def _whole(value: int) -> int | Error:
    """A result in the range of its type."""
    if isinstance(value, Uint):
        return value if 0 <= value < 2**64 else Error("uint overflow")
    return value if INT_MIN <= value <= INT_MAX else Error("int overflow")


def _add(left: Any, right: Any) -> Value:
    if isinstance(left, Timestamp) or isinstance(right, Timestamp):
        return _timestamp(left.ms + right.ms)
    if isinstance(left, Duration):
        return _duration(left.ms + right.ms)
    return left + right if isinstance(left, float | str | bytes | list) else _whole(left + right)


def _subtract(left: Any, right: Any) -> Value:
    if isinstance(left, Timestamp) and isinstance(right, Timestamp):
        return _between(left.ms - right.ms)
    if isinstance(left, Timestamp):
        return _timestamp(left.ms - right.ms)
    if isinstance(left, Duration):
        return _duration(left.ms - right.ms)
    return left - right if isinstance(left, float) else _whole(left - right)


def _timestamp(ms: int) -> Timestamp | Error:
    return Timestamp(ms) if YEAR_1_MS <= ms < YEAR_10000_MS else Error("timestamp overflow")


def _duration(ms: int) -> Duration | Error:
    return Duration(ms) if abs(ms) <= TEN_THOUSAND_YEARS_MS else Error("duration overflow")


def _between(ms: int) -> Duration | Error:
    """The specification counts in nanoseconds, of 64 bits."""
    return Duration(ms) if abs(ms) * 1_000_000 <= INT_MAX else Error("duration overflow")


def _divide(left: Any, right: Any) -> Value:
    if isinstance(left, float):
        return _divide_doubles(left, right)
    if right == 0:
        return Error("division by zero")
    quotient = abs(left) // abs(right)
    return _whole(quotient if (left < 0) == (right < 0) else -quotient)


def _divide_doubles(left: float, right: float) -> float:
    """IEEE division; Python's own refuses a zero divisor."""
    if right != 0.0 or math.isnan(left):
        return left / right if right != 0.0 else left
    if left == 0.0:
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1.0, right)


def _modulo(left: int, right: int) -> Value:
    """The remainder has the dividend's sign."""
    if right == 0:
        return Error("division by zero")
    if left == INT_MIN and right == -1:
        return Error("int overflow")
    remainder = abs(left) % abs(right)
    return -remainder if left < 0 else remainder


def _negate(value: Any) -> Value:
    return -value if isinstance(value, float) else _whole(-value)


# Python compares int and float by mathematical value, NaN unequal to everything, and text by code point,
# which is the order of its UTF-8 bytes.
STRICT: Final[dict[str, Callable[..., Value]]] = {
    "not": lambda x: not x,
    "neg": _negate,
    "==": general.equal,
    "!=": lambda x, y: not general.equal(x, y),
    "<": lambda x, y: bool(x < y) and not general.equal(x, y),
    "<=": lambda x, y: bool(x <= y) or general.equal(x, y),
    ">": lambda x, y: bool(x > y) and not general.equal(x, y),
    ">=": lambda x, y: bool(x >= y) or general.equal(x, y),
    "+": _add,
    "-": _subtract,
    "*": lambda x, y: x * y if isinstance(x, float) else _whole(x * y),
    "/": _divide,
    "%": _modulo,
    "in": general.member,
    "index": general.index,
    "size": len,
    "contains": lambda x, y: y in x,
    "startsWith": lambda x, y: x.startswith(y),
    "endsWith": lambda x, y: x.endswith(y),
}
