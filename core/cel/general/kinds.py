"""What is known of a value's type before anything runs, and which types operators and functions take.

`dyn` is what nothing is known of: it passes everywhere, and its value answers when it comes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from core import bundle


@dataclass(slots=True, frozen=True)
class Kind:
    """A type of CEL; a list's and a map's say what they hold."""

    name: str
    of: tuple["Kind", ...] = ()

    def __str__(self) -> str:
        """As documentation writes it: a list of string is `strings`."""
        if self == STRINGS:
            return "strings"
        return f"{self.name}({', '.join(map(str, self.of))})" if self.of else self.name


DYN: Final = Kind("dyn")
NULL: Final = Kind("null")
BOOL: Final = Kind("bool")
INT: Final = Kind("int")
UINT: Final = Kind("uint")
FLOAT: Final = Kind("float")
STRING: Final = Kind("string")
BYTES: Final = Kind("bytes")
TIMESTAMP: Final = Kind("timestamp")
DURATION: Final = Kind("duration")
TYPE: Final = Kind("type")
STRINGS: Final = Kind("list", (STRING,))

NUMBERS: Final = frozenset({INT, UINT, FLOAT})
ORDERED: Final = frozenset({BOOL, STRING, BYTES, TIMESTAMP, DURATION})
KEYS: Final = frozenset({BOOL, INT, UINT, STRING})
OF_ATTRIBUTE: Final = {
    bundle.BOOL: BOOL,
    bundle.INT: INT,
    bundle.FLOAT: FLOAT,
    bundle.STRING: STRING,
    bundle.TIMESTAMP: TIMESTAMP,
    bundle.STRINGS: STRINGS,
}


def list_of(kind: Kind) -> Kind:
    """A list's type."""
    return Kind("list", (kind,))


def map_of(key: Kind, value: Kind) -> Kind:
    """A map's type."""
    return Kind("map", (key, value))


def agree(one: Kind, other: Kind) -> bool:
    """Say whether values of the two types can be equal."""
    if DYN in (one, other):
        return True
    if one in NUMBERS and other in NUMBERS:
        return True
    return one.name == other.name and all(map(agree, one.of, other.of))


def in_order(one: Kind, other: Kind) -> bool:
    """Say whether values of the two types have an order."""
    return agree(one, other) and (one in NUMBERS or one in ORDERED or one == DYN)


def joined(one: Kind, other: Kind) -> Kind:
    """What both are: one of them, or nothing that is known."""
    if one == other:
        return one
    if one.name == other.name and len(one.of) == len(other.of) > 0:
        return Kind(one.name, tuple(map(joined, one.of, other.of)))
    return DYN


def calculated(sign: str, left: Kind, right: Kind) -> Kind | None:
    """The type of `left sign right`, None where there is none."""
    if DYN in (left, right):
        return DYN
    if sign == "+" and left.name == right.name == "list":
        return joined(left, right)
    return _ARITHMETIC.get((sign, left, right))


_ARITHMETIC: Final[dict[tuple[str, Kind, Kind], Kind]] = {
    **{(sign, kind, kind): kind for sign in "+-*/" for kind in (INT, UINT, FLOAT)},
    **{("%", kind, kind): kind for kind in (INT, UINT)},
    **{("+", kind, kind): kind for kind in (STRING, BYTES, DURATION)},
    ("-", DURATION, DURATION): DURATION,
    ("+", TIMESTAMP, DURATION): TIMESTAMP,
    ("+", DURATION, TIMESTAMP): TIMESTAMP,
    ("-", TIMESTAMP, DURATION): TIMESTAMP,
    ("-", TIMESTAMP, TIMESTAMP): DURATION,
}

#: What a parameter takes.
Takes = Callable[[Kind], bool]


def one_of(*kinds: Kind) -> Takes:
    """Takes these types, and what nothing is known of."""
    taken = frozenset({*kinds, DYN})
    return taken.__contains__


def _sized(kind: Kind) -> bool:
    return kind in (STRING, BYTES, DYN) or kind.name in ("list", "map")


@dataclass(slots=True, frozen=True)
class Signature:
    """A function: what its parameters take, the target first, in words too, and what it gives."""

    parameters: tuple[tuple[Takes, str], ...]
    result: Kind


def _function(result: Kind, *parameters: Kind) -> Signature:
    return Signature(tuple((one_of(kind), str(kind)) for kind in parameters), result)


def _conversion(result: Kind, *kinds: Kind) -> list[Signature]:
    words = " or ".join([", ".join(map(str, kinds[:-1])), str(kinds[-1])] if kinds[1:] else [str(kinds[0])])
    return [Signature(((one_of(*kinds), words),), result)]


_SIZE: Final = [Signature(((_sized, "string, bytes, list or map"),), INT)]
_MATCHES: Final = [_function(BOOL, STRING, STRING)]
_ANY: Final[tuple[Takes, str]] = (lambda kind: True, "a value")
_TIMES: Final = [_function(INT, TIMESTAMP), _function(INT, TIMESTAMP, STRING)]
_SPANS: Final = [Signature(((one_of(TIMESTAMP, DURATION), "timestamp or duration"),), INT), _TIMES[1]]

#: By name the forms that there are, one for each number of parameters.
GLOBALS: Final[dict[str, list[Signature]]] = {
    "size": _SIZE,
    "matches": _MATCHES,
    "bool": _conversion(BOOL, BOOL, STRING),
    "int": _conversion(INT, INT, UINT, FLOAT, STRING, TIMESTAMP),
    "uint": _conversion(UINT, UINT, INT, FLOAT, STRING),
    "double": _conversion(FLOAT, FLOAT, INT, UINT, STRING),
    "string": _conversion(STRING, STRING, BOOL, INT, UINT, FLOAT, BYTES, TIMESTAMP, DURATION),
    "bytes": _conversion(BYTES, BYTES, STRING),
    "timestamp": _conversion(TIMESTAMP, TIMESTAMP, STRING, INT),
    "duration": _conversion(DURATION, DURATION, STRING),
    "type": [Signature((_ANY,), TYPE)],
    "dyn": [Signature((_ANY,), DYN)],
}
METHODS: Final[dict[str, list[Signature]]] = {
    "size": _SIZE,
    "matches": _MATCHES,
    **{name: [_function(BOOL, STRING, STRING)] for name in ("contains", "startsWith", "endsWith")},
    **dict.fromkeys(("getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek"), _TIMES),
    "getDayOfYear": _TIMES,
    **dict.fromkeys(("getHours", "getMinutes", "getSeconds", "getMilliseconds"), _SPANS),
}
