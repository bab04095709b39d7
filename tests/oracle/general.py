"""Lists, maps, macros and functions of expressions, as the language definition has them."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from core.errors import ExpressionError
from tests.oracle.cel import Node
from tests.oracle.times import EPOCH, duration_ms, timestamp_ms
from tests.oracle.values import INT_MAX, INT_MIN, Duration, Error, Timestamp, Type, Uint, Value

Run = Callable[[Node, dict[str, Value]], Value]


@dataclass(frozen=True)
class Map:
    """Pairs in the order in which they were given."""

    pairs: tuple[tuple[Value, Value], ...]

    def __len__(self) -> int:
        return len(self.pairs)

    def get(self, key: Value) -> Value:
        return next((value for one, value in self.pairs if equal(one, key)), Error("no such key"))


_NAMES: Final = {
    type(None): "null_type", bool: "bool", int: "int", Uint: "uint", float: "double", str: "string",
    bytes: "bytes", list: "list", Map: "map", Timestamp: "google.protobuf.Timestamp",
    Duration: "google.protobuf.Duration", Type: "type",
}  # fmt: skip
TYPES: Final = {name: Type(name) for name in _NAMES.values()}
_NUMBERS: Final = ("int", "uint", "double")
_BOOLS: Final = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}


def kind(value: Value) -> str:
    return _NAMES[type(value)]


def all_or_error(values: list[Value]) -> Value:
    return next((value for value in values if isinstance(value, Error)), values)


def made_map(pairs: list[tuple[Value, Value]]) -> Value:
    for pair in pairs:
        for one in pair:
            if isinstance(one, Error):
                return one
    for at, (key, _) in enumerate(pairs):
        if kind(key) not in ("bool", "int", "uint", "string"):
            return Error("no key")
        if any(equal(key, other) for other, _ in pairs[:at]):
            return Error("a key twice")
    return Map(tuple(pairs))


def equal(left: Value, right: Value) -> bool:
    """Numbers by value; other values of different types are not equal."""
    one, other = kind(left), kind(right)
    if one in _NUMBERS and other in _NUMBERS:
        # The specification's suite rounds the largest int for this one comparison.
        return bool(left == right) or {one: left, other: right} == {"int": INT_MAX, "double": 2.0**63}
    if one != other:
        return False
    if one == "list":
        return len(left) == len(right) and all(equal(x, y) for x, y in zip(left, right, strict=True))
    if one == "map":
        found = [(value, right.get(key)) for key, value in left.pairs]
        return len(left) == len(right) and all(not isinstance(y, Error) and equal(x, y) for x, y in found)
    return bool(left == right)


def has_overload(operator: str, operands: Sequence[Value]) -> bool:
    """Whether an operator is defined for such operands."""
    kinds = [kind(operand) for operand in operands]
    if operator in ("==", "!="):
        return True
    if operator in ("<", "<=", ">", ">="):
        ordered = kinds[0] == kinds[1] and kinds[0] not in ("list", "map", "null_type", "type")
        return ordered or all(one in _NUMBERS for one in kinds)
    if operator == "in":
        return kinds[1] in ("list", "map")
    if operator == "index":
        return kinds[0] == "map" or (kinds[0] == "list" and kinds[1] in _NUMBERS)
    if operator == "size":
        return kinds[0] in ("string", "bytes", "list", "map")
    if operator in ("contains", "startsWith", "endsWith"):
        return kinds == ["string", "string"]
    if operator == "not":
        return kinds == ["bool"]
    if operator == "neg":
        return kinds[0] in ("int", "double")
    return _calculates(operator, kinds)


def _calculates(operator: str, kinds: list[str]) -> bool:
    moment, span = "google.protobuf.Timestamp", "google.protobuf.Duration"
    if kinds[0] == kinds[1]:
        added = ("string", "bytes", "list")
        if kinds[0] in added:
            return operator == "+"
        if kinds[0] in (moment, span):
            return operator == "-" or (operator == "+" and kinds[0] == span)
        return kinds[0] in _NUMBERS and not (kinds[0] == "double" and operator == "%")
    return (kinds == [moment, span] and operator in "+-") or (kinds == [span, moment] and operator == "+")


def member(value: Value, group: Value) -> bool:
    return any(equal(value, one) for one in (group if isinstance(group, list) else keys(group)))


def keys(group: Map) -> list[Value]:
    return [key for key, _ in group.pairs]


def index(group: Value, key: Value) -> Value:
    if isinstance(group, Map):
        return group.get(key)
    if not 0 <= key < len(group) or key != int(key):
        return Error("no such index")
    return group[int(key)]


def field(what: str, value: Value, name: str) -> Value:
    if isinstance(value, Error):
        return value
    if not isinstance(value, Map):
        return Error("no such overload")
    return value.get(name) if what == "field" else member(name, value)


def local(node: Node, names: dict[str, Value]) -> Value:
    """A macro's variable, or a field of it."""
    if node[0] in ("name", "now"):
        return names[node[-1]]
    *inner, last = node[2].split(".")
    value = names[node[1]]
    for name in inner:
        value = field("field", value, name)
    return field("field" if node[0] == "read" else "has field", value, last)


# Macros.


def macro(name: str, source: Value, variables: list[str], parts: list[Node], run: Run) -> Value:
    if isinstance(source, Error):
        return source
    if not isinstance(source, list | Map):
        return Error("no such overload")
    rounds = _rounds(source, variables)
    if name in ("all", "exists"):
        return _quantified(name == "exists", [run(parts[0], names) for names, _ in rounds])
    if name in ("exists_one", "existsOne"):
        found = all_or_error([run(parts[0], names) for names, _ in rounds])
        if isinstance(found, Error) or any(type(one) is not bool for one in found):
            return found if isinstance(found, Error) else Error("no bool")
        return found.count(True) == 1
    return _gathered(name, rounds, parts, run)


def _rounds(source: Value, variables: list[str]) -> list[tuple[dict[str, Value], Value]]:
    """By round the variables, and the entry or key."""
    if isinstance(source, list):
        pairs, single = list(enumerate(source)), 1
    else:
        pairs, single = list(source.pairs), 0
    if len(variables) == 1:
        return [({variables[0]: pair[single]}, pair[single]) for pair in pairs]
    return [(dict(zip(variables, pair, strict=True)), pair[0]) for pair in pairs]


def _quantified(decisive: bool, outcomes: list[Value]) -> Value:
    if any(outcome is decisive for outcome in outcomes):
        return decisive
    bad = [outcome for outcome in outcomes if type(outcome) is not bool]
    return (bad[0] if isinstance(bad[0], Error) else Error("no bool")) if bad else not decisive


def _gathered(name: str, rounds: list[tuple[dict[str, Value], Value]], parts: list[Node], run: Run) -> Value:
    made: list[Value] = []
    predicate = parts[0] if name == "filter" or len(parts) == 2 else None
    for names, entry in rounds:
        if predicate is not None:
            outcome = run(predicate, names)
            if type(outcome) is not bool:
                return outcome if isinstance(outcome, Error) else Error("no bool")
            if not outcome:
                continue
        result = entry if name == "filter" else run(parts[-1], names)
        if isinstance(result, Error):
            return result
        if name == "transformMapEntry":
            if not isinstance(result, Map):
                return Error("no map")
            made += result.pairs
        else:
            made.append((entry, result) if name == "transformMap" else result)
    return made_map(made) if name.startswith("transformMap") else made


# Functions.


def call(name: str, arguments: list[Value]) -> Value:
    """A function of values; Error where it is not defined for them."""
    kinds = [kind(argument) for argument in arguments]
    if name == "matches":
        return _matches(*arguments) if kinds == ["string", "string"] else Error("no such overload")
    if name.startswith("get"):
        return _part(name, arguments, kinds)
    if len(arguments) != 1:
        return Error("no such overload")
    (value,) = arguments
    if name == "dyn":
        return value
    if name == "type":
        return Type(kinds[0])
    converted = _converted(name, value, kinds[0])
    return Error("no such overload") if converted is None else converted


def _matches(text: str, pattern: str) -> bool | Error:
    """Of patterns that Python and RE2 read alike, but for the end of a text."""
    try:
        return re.search(pattern.replace("$", "\\Z"), text) is not None
    except re.error:
        return Error("no pattern")


def _part(name: str, arguments: list[Any], kinds: list[str]) -> Value:
    if kinds == ["google.protobuf.Duration"]:
        unit_ms = {"getHours": 3_600_000, "getMinutes": 60_000, "getSeconds": 1_000}.get(name)
        if unit_ms is None:
            return Error("no such overload")
        return int(abs(arguments[0].ms) // unit_ms) * (-1 if arguments[0].ms < 0 else 1)
    if kinds[0] != "google.protobuf.Timestamp" or kinds[1:] not in ([], ["string"]):
        return Error("no such overload")
    offset = 0
    if kinds[1:] and arguments[1] not in ("UTC", ""):
        match = re.fullmatch(r"([+-]?)([0-9]{1,2}):([0-9]{2})", arguments[1])
        if match is None or int(match[2]) > 23 or int(match[3]) > 59:
            return Error("no zone")
        offset = (int(match[2]) * 60 + int(match[3])) * (-60_000 if match[1] == "-" else 60_000)
    try:
        at = EPOCH + timedelta(milliseconds=arguments[0].ms + offset)
    except OverflowError:
        return Error("out of range")
    return {
        "getFullYear": at.year, "getMonth": at.month - 1, "getDate": at.day, "getDayOfMonth": at.day - 1,
        "getDayOfWeek": at.isoweekday() % 7, "getDayOfYear": at.timetuple().tm_yday - 1, "getHours": at.hour,
        "getMinutes": at.minute, "getSeconds": at.second, "getMilliseconds": at.microsecond // 1000,
    }.get(name, Error("no such function"))  # fmt: skip


def _converted(name: str, value: Any, of: str) -> Value:
    """None where there is no such conversion."""
    match name, of:
        case "bool", "bool":
            return value
        case "bool", "string":
            return _BOOLS.get(value, Error("no bool"))
        case "int", "double":
            return int(value) if -(2.0**63) < value < 2.0**63 else Error("out of range")
        case "int", "string":
            whole = int(value) if re.fullmatch("[+-]?[0-9]{1,30}", value) else None
            return whole if whole is not None and INT_MIN <= whole <= INT_MAX else Error("no int")
        case "int", "google.protobuf.Timestamp":
            return value.ms // 1000
        case "int", "int" | "uint":
            return int(value) if value <= INT_MAX else Error("out of range")
        case "uint", "int" | "uint":
            return Uint(value) if value >= 0 else Error("out of range")
        case "double", "int" | "uint" | "double":
            return float(value)
        case "double", "string":
            return float(value) if re.fullmatch(r"[+-]?[0-9]+(\.[0-9]+)?", value) else Error("no double")
        case "string", "string":
            return value
        case "string", "bool":
            return "true" if value else "false"
        case "string", "int" | "uint":
            return str(int(value))
        case "string", "double":
            return repr(value).removesuffix(".0")
        case "bytes", "string":
            return value.encode()
        case "timestamp", "int":
            return Timestamp(value * 1000)
        case "timestamp" | "duration", "string":
            try:
                return Timestamp(timestamp_ms(value)) if name == "timestamp" else Duration(duration_ms(value))
            except ExpressionError:
                return Error("no time")
        case _:
            return None
