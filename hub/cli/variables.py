"""The variables of `onevoice eval`: a JSON object of plain values, with types where JSON has none."""

import base64
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from core.bundle import BOOL, FLOAT, INT, STRING, STRINGS, TIMESTAMP
from core.cel.general import times
from core.cel.general.values import Duration, Map, Timestamp, Uint, Value, checked_int, checked_uint
from core.cel.literals import timestamp_text
from core.errors import EvaluationError
from hub.cli.errors import UsageError

VARIABLES_BYTES_MAX: Final = 1024 * 1024
TYPES_KEY: Final = "types"
MILLISECOND_NS: Final = 1_000_000
#: Names whose fields are the attributes of a catalogue.
SCOPES: Final = ("profile", "context")


@dataclass(slots=True, frozen=True)
class Variables:
    """Values by name, and the types a catalogue would declare for them, None where it has none."""

    values: Mapping[str, Value]
    attributes: Mapping[str, int | None]


NO_VARIABLES: Final = Variables({scope: Map() for scope in SCOPES}, {})


def _exactly(kind: type) -> Callable[[Any], Value]:
    def run(value: Any) -> Value:
        if type(value) is not kind:
            raise ValueError(f"a {kind.__name__}")
        return value

    return run


def _float(value: Any) -> Value:
    return float(value) if type(value) is int else _exactly(float)(value)


def _strings(value: Any) -> Value:
    return [_exactly(str)(one) for one in _exactly(list)(value)]


#: Type -> what a catalogue calls it, and how a JSON value becomes it.
TYPES: Final[dict[str, tuple[int | None, Callable[[Any], Value]]]] = {
    "bool": (BOOL, _exactly(bool)),
    "int": (INT, lambda value: checked_int(_exactly(int)(value))),
    "uint": (None, lambda value: checked_uint(_exactly(int)(value))),
    "float": (FLOAT, _float),
    "double": (FLOAT, _float),
    "string": (STRING, _exactly(str)),
    "bytes": (None, lambda value: base64.b64decode(_exactly(str)(value), validate=True)),
    "timestamp": (TIMESTAMP, lambda value: times.parse_timestamp(_exactly(str)(value))),
    "duration": (None, lambda value: times.parse_duration(_exactly(str)(value))),
    "strings": (STRINGS, _strings),
}


def read_variables(path: Path) -> Variables:
    """The variables of a file: `profile.NAME`, `context.NAME`, or a name of its own."""
    document = _read(path)
    types = document.pop(TYPES_KEY, {})
    if not isinstance(types, dict):
        raise UsageError(f"{path}: expected an object of names and types for `types`")
    scopes: dict[str, list[tuple[Value, Value]]] = {scope: [] for scope in SCOPES}
    values: dict[str, Value] = {}
    attributes: dict[str, int | None] = {}
    for name, plain in {**dict.fromkeys(types), **_flat(document)}.items():
        declared = types.get(name)
        attributes[name] = _declared_type(path, name, declared) if declared else _type_of(plain)
        if declared and plain is None:
            continue
        value = _typed(path, name, declared, plain)
        scope, _, inner = name.partition(".")
        if inner and scope in SCOPES:
            scopes[scope].append((inner, value))
        else:
            values[name] = value
    maps = {scope: Map(entries) for scope, entries in scopes.items()}
    return Variables({**maps, **values}, attributes)


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > VARIABLES_BYTES_MAX:
            raise UsageError(f"{path}: expected at most {VARIABLES_BYTES_MAX} bytes")
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: expected a JSON object, got {error}") from error
    if not isinstance(document, dict):
        raise UsageError(f"{path}: expected a JSON object, got {type(document).__name__}")
    return document


def _flat(document: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in document.items():
        if name in SCOPES and isinstance(value, dict):
            flat.update({f"{name}.{inner}": one for inner, one in value.items()})
        else:
            flat[name] = value
    return flat


def _declared_type(path: Path, name: str, declared: str) -> int | None:
    if declared not in TYPES:
        raise UsageError(f"{path}: expected one of {', '.join(TYPES)} for types.{name}, got {declared!r}")
    return TYPES[declared][0]


def _type_of(plain: Any) -> int | None:
    if isinstance(plain, list):
        return STRINGS if all(isinstance(one, str) for one in plain) else None
    return {bool: BOOL, int: INT, float: FLOAT, str: STRING}.get(type(plain))


def _typed(path: Path, name: str, declared: str | None, plain: Any) -> Value:
    try:
        return TYPES[declared][1](plain) if declared else from_json(plain)
    except (ValueError, EvaluationError, RecursionError) as error:
        wanted = declared or "a value of CEL"
        raise UsageError(
            f"{path}: expected {wanted} for {name}, got {type(plain).__name__}: {error}"
        ) from error


def from_json(plain: Any) -> Value:
    """The value of plain JSON: objects are maps, numbers with a fraction or exponent are doubles.

    Raises EvaluationError for a whole number of more than 64 bits.
    """
    if isinstance(plain, dict):
        return Map((key, from_json(one)) for key, one in plain.items())
    if isinstance(plain, list):
        return [from_json(one) for one in plain]
    return checked_int(plain) if type(plain) is int else plain


def to_json(value: Value) -> Any:
    """A value as plain JSON can hold it, for people."""
    if isinstance(value, Map):
        return {str(to_json(key)): to_json(one) for key, one in value.items()}
    if isinstance(value, list):
        return [to_json(one) for one in value]
    if isinstance(value, Timestamp):
        ms, below = divmod(value.ns, MILLISECOND_NS)
        return times.timestamp_text(value) if below else timestamp_text(ms)
    if isinstance(value, Duration):
        return times.duration_text(value)
    return _scalar(value)


def _scalar(value: Value) -> Any:
    if isinstance(value, Uint):
        return int(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, bool | int | float | str) else value.name
