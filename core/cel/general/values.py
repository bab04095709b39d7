"""The values of CEL at run time, as Python holds them.

    bool string bytes double null     bool str bytes float None
    int uint                          int, Uint
    list map                          list (never changed once made), Map
    timestamp duration type           Timestamp, Duration, Type

Numbers compare by mathematical value across int, uint and double; everything else equals its own type only.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from core.cel.literals import INT_MAX, INT_MIN, UINT_MAX
from core.errors import EvaluationError

#: One of the types above. Functions look at the type before anything else.
Value = Any

SECOND_NS: Final = 1_000_000_000
TIMESTAMP_NS_MIN: Final = -62_135_596_800 * SECOND_NS  # 0001-01-01T00:00:00Z
TIMESTAMP_NS_MAX: Final = 253_402_300_800 * SECOND_NS - 1  # 9999-12-31T23:59:59.999999999Z
DURATION_NS_MAX: Final = 315_576_000_000 * SECOND_NS  # ten thousand years, as google.protobuf.Duration


class Uint(int):
    """An unsigned integer of 64 bits."""

    __slots__ = ()


@dataclass(slots=True, frozen=True)
class Timestamp:
    """Nanoseconds since 1970 UTC."""

    ns: int


@dataclass(slots=True, frozen=True)
class Duration:
    """Nanoseconds."""

    ns: int


@dataclass(slots=True, frozen=True)
class Type:
    """The type of a value, a value itself."""

    name: str


class Map:
    """Keys are bool, int, uint or string; 1, 1u and 1.0 name the same entry. In order of insertion."""

    __slots__ = ("_entries",)

    def __init__(self, entries: Iterable[tuple[Value, Value]] = ()) -> None:
        self._entries: dict[object, tuple[Value, Value]] = {}
        for key, value in entries:
            if type(key) not in _KEY_TYPES:
                raise EvaluationError(f"unsupported key type: {type_name(key)}")
            place = _place(key)
            if place in self._entries:
                raise EvaluationError("a key of a map is given twice")
            self._entries[place] = (key, value)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: Value) -> bool:
        return _place(key) in self._entries

    def __getitem__(self, key: Value) -> Value:
        found = self._entries.get(_place(key))
        if found is None:
            raise EvaluationError("no such key")
        return found[1]

    def keys(self) -> Iterator[Value]:
        """The keys as they were given."""
        return (key for key, _ in self._entries.values())

    def items(self) -> Iterator[tuple[Value, Value]]:
        """Key and value pairs."""
        return iter(self._entries.values())


_KEY_TYPES: Final = frozenset({bool, int, Uint, str})


def _place(key: Value) -> object:
    """What equal keys share; None for what is no key."""
    kind = type(key)
    if kind is str:
        return key
    if kind is bool:
        return ("bool", key)
    if kind is int or kind is Uint:
        return int(key)
    if kind is float and key.is_integer():
        return int(key)
    return None


TYPE_NAMES: Final[dict[type, str]] = {
    type(None): "null_type",
    bool: "bool",
    int: "int",
    Uint: "uint",
    float: "double",
    str: "string",
    bytes: "bytes",
    list: "list",
    Map: "map",
    Timestamp: "google.protobuf.Timestamp",
    Duration: "google.protobuf.Duration",
    Type: "type",
}
#: The types that have a name in an expression; `dyn` is none.
TYPES: Final = {name: Type(name) for name in TYPE_NAMES.values()}
NUMBERS: Final = frozenset({int, Uint, float})


def type_name(value: Value) -> str:
    """The name of a value's type in CEL."""
    return TYPE_NAMES[type(value)]


def no_overload(what: str, *operands: Value) -> EvaluationError:
    """The error of an operation that is not defined for these types."""
    return EvaluationError(f"no such overload: {what} of {', '.join(map(type_name, operands)) or 'nothing'}")


def checked_int(value: int) -> int:
    """An int if it has 64 bits, else CEL's error."""
    if not INT_MIN <= value <= INT_MAX:
        raise EvaluationError("out of the range of int")
    return value


def checked_uint(value: int) -> Uint:
    """A uint if it has 64 bits, else CEL's error."""
    if not 0 <= value <= UINT_MAX:
        raise EvaluationError("out of the range of uint")
    return Uint(value)


def checked_timestamp(ns: int) -> Timestamp:
    """A timestamp between the years 1 and 9999, else CEL's error."""
    if not TIMESTAMP_NS_MIN <= ns <= TIMESTAMP_NS_MAX:
        raise EvaluationError("out of the range of timestamp")
    return Timestamp(ns)


def checked_duration(ns: int) -> Duration:
    """A duration of at most ten thousand years, else CEL's error."""
    if abs(ns) > DURATION_NS_MAX:
        raise EvaluationError("out of the range of duration")
    return Duration(ns)
