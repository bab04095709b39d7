"""Values of CEL in the typed JSON of its conformance suite, such as `{"int64_value": "1"}`."""

import base64
import binascii
import math
from collections.abc import Callable
from typing import Any, Final

from core.cel.general import times
from core.cel.general.values import (
    SECOND_NS,
    TYPES,
    Duration,
    Map,
    Timestamp,
    Type,
    Uint,
    Value,
    checked_duration,
    checked_int,
    checked_timestamp,
    checked_uint,
)
from core.errors import EvaluationError, UnsupportedError

#: Entries of lists and maps in one value; the same list may stand in a value many times.
ENTRIES_MAX: Final = 1_000_000
DEPTH_MAX: Final = 200

_ANY: Final = "type.googleapis.com/"
_PARSERS: Final[dict[str, Callable[[str], Value]]] = {
    "google.protobuf.Timestamp": times.parse_timestamp,
    "google.protobuf.Duration": times.parse_duration,
}
_SPECIAL: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class MalformedError(ValueError):
    """The JSON is no typed value."""


def decode(typed: Any) -> Value:
    """The value of typed JSON.

    Raises
    ------
    MalformedError
        It is none.
    UnsupportedError
        It is a protocol-buffer message or enum.
    """
    if not isinstance(typed, dict) or len(typed) != 1:
        raise MalformedError('a typed value such as {"int64_value": "1"}')
    ((kind, content),) = typed.items()
    try:
        return _DECODERS[kind](content)
    except (TypeError, ValueError, KeyError, AttributeError, binascii.Error, EvaluationError) as error:
        raise MalformedError(f"a typed value, not one of kind {kind!r}") from error


def _double(content: Any) -> float:
    return _SPECIAL[content] if isinstance(content, str) and content in _SPECIAL else float(content)


def _list(content: Any) -> Value:
    return [decode(one) for one in content.get("values", [])]


def _map(content: Any) -> Value:
    return Map((decode(entry["key"]), decode(entry["value"])) for entry in content.get("entries", []))


def _object(content: Any) -> Value:
    name = content["@type"].removeprefix(_ANY)
    if name not in _PARSERS:
        raise UnsupportedError(expected="a value of CEL", got=f"the protocol-buffer message `{name}`")
    if "value" in content:
        return _PARSERS[name](content["value"])
    ns = int(content.get("seconds", 0)) * SECOND_NS + int(content.get("nanos", 0))
    return checked_timestamp(ns) if name.endswith("Timestamp") else checked_duration(ns)


def _enum(content: Any) -> Value:
    raise UnsupportedError(expected="a value of CEL", got="a protocol-buffer enum")


def _exactly(kind: type) -> Callable[[Any], Value]:
    def run(content: Any) -> Value:
        if type(content) is not kind:
            raise TypeError(kind)
        return content

    return run


_DECODERS: Final[dict[str, Callable[[Any], Value]]] = {
    "null_value": lambda content: None,
    "bool_value": _exactly(bool),
    "int64_value": lambda content: checked_int(int(content)),
    "uint64_value": lambda content: checked_uint(int(content)),
    "double_value": _double,
    "string_value": _exactly(str),
    "bytes_value": lambda content: base64.b64decode(content, validate=True),
    "list_value": _list,
    "map_value": _map,
    "type_value": lambda content: TYPES[content],
    "object_value": _object,
    "enum_value": _enum,
}


def encode(value: Value) -> dict[str, Any]:
    """Typed JSON of a value. Raises EvaluationError for one that is too large to write."""
    return _Encoder().encode(value, DEPTH_MAX)


class _Encoder:
    def __init__(self) -> None:
        self.entries_left = ENTRIES_MAX

    def encode(self, value: Value, depth: int) -> dict[str, Any]:
        self.entries_left -= 1
        if self.entries_left < 0 or depth == 0:
            raise EvaluationError(
                f"a value of more than {ENTRIES_MAX} entries, or nested too deep to be written"
            )
        if isinstance(value, list):
            values = [self.encode(one, depth - 1) for one in value]
            return {"list_value": {"values": values} if values else {}}
        if isinstance(value, Map):
            entries = [
                {"key": self.encode(key, depth - 1), "value": self.encode(one, depth - 1)}
                for key, one in value.items()
            ]
            return {"map_value": {"entries": entries} if entries else {}}
        return _scalar(value)


def _scalar(value: Value) -> dict[str, Any]:
    match value:
        case None:
            return {"null_value": None}
        case bool():
            return {"bool_value": value}
        case Uint():
            return {"uint64_value": str(int(value))}
        case int():
            return {"int64_value": str(value)}
        case float():
            return {"double_value": value if math.isfinite(value) else _special(value)}
        case str():
            return {"string_value": value}
        case bytes():
            return {"bytes_value": base64.b64encode(value).decode()}
        case Type(name=name):
            return {"type_value": name}
        case Timestamp():
            return _message("google.protobuf.Timestamp", times.timestamp_text(value))
        case Duration():
            return _message("google.protobuf.Duration", times.duration_text(value))
    raise AssertionError(value)


def _special(value: float) -> str:
    return next(
        name for name, one in _SPECIAL.items() if one == value or (name == "NaN" and math.isnan(value))
    )


def _message(name: str, text: str) -> dict[str, Any]:
    return {"object_value": {"@type": _ANY + name, "value": text}}
