"""`bool() int() uint() double() string() bytes() timestamp() duration() type() dyn()`."""

import math
import re
from collections.abc import Callable
from typing import Final

from core.cel.general import times
from core.cel.general.values import (
    SECOND_NS,
    TYPES,
    Duration,
    Timestamp,
    Type,
    Uint,
    Value,
    checked_int,
    checked_timestamp,
    checked_uint,
    no_overload,
    type_name,
)
from core.errors import EvaluationError

_BOOLS: Final = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}
_INT: Final = re.compile(r"[+-]?[0-9]{1,30}")
_UINT: Final = re.compile(r"[0-9]{1,30}")
_DOUBLE: Final = re.compile(
    r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|inf|infinity|nan)", re.IGNORECASE | re.ASCII
)
#: Other powers of ten are written as such: 0.0001 and 100000, but 1e-05 and 1e+21.
_PLAIN_EXPONENTS: Final = range(-4, 21)

Conversion = Callable[[Value], Value]


def _from_text(pattern: re.Pattern[str], convert: Conversion, kind: str) -> Conversion:
    def run(text: Value) -> Value:
        if pattern.fullmatch(text) is None:
            raise EvaluationError(f"the string is no {kind}")
        return convert(text)

    return run


def _double(text: str) -> float:
    value = float(text)
    if math.isinf(value) and "n" not in text.lower():
        raise EvaluationError("out of the range of double")
    return value


def _bool(text: str) -> bool:
    found = _BOOLS.get(text)
    if found is None:
        raise EvaluationError("the string is no bool")
    return found


def _int(value: float) -> int:
    """Towards zero. A double at either end of the range is refused: it may have been beyond."""
    if not -(2.0**63) < value < 2.0**63:
        raise EvaluationError("out of the range of int")
    return int(value)


def _uint(value: float) -> Uint:
    if not 0.0 <= value < 2.0**64:
        raise EvaluationError("out of the range of uint")
    return Uint(value)


def _utf8(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise EvaluationError("the bytes are no UTF-8") from error


def double_text(value: float) -> str:
    """The shortest text that reads back as the same double, without a fraction of zero."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    sign = "-" if math.copysign(1.0, value) < 0 else ""
    digits, _, exponent = _shortest(abs(value)).partition("e")
    power = int(exponent)
    figures = digits.replace(".", "")
    if power not in _PLAIN_EXPONENTS:
        return f"{sign}{digits}e{power:+03d}"
    if power < 0:
        return f"{sign}0.{'0' * (-power - 1)}{figures}"
    whole, fraction = figures[: power + 1].ljust(power + 1, "0"), figures[power + 1 :]
    return f"{sign}{whole}{'.' if fraction else ''}{fraction}"


def _shortest(value: float) -> str:
    """`repr` in scientific form, such as 1.5e3: as few digits as read back the same."""
    return next(text for digits in range(17) if float(text := f"{value:.{digits}e}") == value)


_CONVERSIONS: Final[dict[str, dict[type, Conversion]]] = {
    "bool": {bool: bool, str: _bool},
    "int": {
        int: int,
        Uint: lambda value: checked_int(int(value)),
        float: _int,
        str: _from_text(_INT, lambda text: checked_int(int(text)), "int"),
        Timestamp: lambda value: value.ns // SECOND_NS,
    },
    "uint": {
        Uint: Uint,
        int: checked_uint,
        float: _uint,
        str: _from_text(_UINT, lambda text: checked_uint(int(text)), "uint"),
    },
    "double": {float: float, int: float, Uint: float, str: _from_text(_DOUBLE, _double, "double")},
    "string": {
        str: str,
        bool: lambda value: "true" if value else "false",
        int: str,
        Uint: lambda value: str(int(value)),
        float: double_text,
        bytes: _utf8,
        Timestamp: times.timestamp_text,
        Duration: times.duration_text,
    },
    "bytes": {bytes: bytes, str: str.encode},
    "timestamp": {
        Timestamp: lambda value: value,
        str: times.parse_timestamp,
        int: lambda value: checked_timestamp(value * SECOND_NS),
    },
    "duration": {Duration: lambda value: value, str: times.parse_duration},
}


def _convert(name: str) -> Conversion:
    by_type = _CONVERSIONS[name]

    def run(value: Value) -> Value:
        conversion = by_type.get(type(value))
        if conversion is None:
            raise no_overload(f"`{name}()`", value)
        return conversion(value)

    return run


def type_of(value: Value) -> Type:
    """The type of a value."""
    return TYPES[type_name(value)]


#: Name -> function of one value.
CONVERSIONS: Final[dict[str, Conversion]] = {
    **{name: _convert(name) for name in _CONVERSIONS},
    "type": type_of,
    "dyn": lambda value: value,
}
