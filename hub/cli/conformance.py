"""`onevoice eval --batch`: cases in the JSON of CEL's conformance suite, one a line, and their outcomes.

A case is `{"name", "expr", "bindings"?, "type_env"?, "container"?}`; whatever else it holds is not looked at.
Its outcome is `{"name", "value"}`, `{"name", "error"}` or, for what is not supported, `{"name", "refused"}`.
"""

import json
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from core.cel.general.compiling import compile_expression
from core.cel.general.names import Scope
from core.cel.general.values import Value
from core.cel.parser import parse
from core.errors import EvaluationError, ExhaustedError, ExpressionError, UnsupportedError
from hub.cli import typed_values
from hub.cli.typed_values import MalformedError
from hub.decisioning.zones import find_zone

LINE_BYTES_MAX: Final = 4 * 1024 * 1024
#: Message types that are values of CEL itself.
_KNOWN_MESSAGES: Final = frozenset({"google.protobuf.Timestamp", "google.protobuf.Duration"})


def outcomes(file: BinaryIO) -> Iterator[dict[str, Any]]:
    """The outcome of each case of a file, in its order; blank lines are passed over.

    A line may also be an array of cases, as the suite's own files are when they are written on one line.
    """
    number = 0
    while line := file.readline(LINE_BYTES_MAX + 1):
        number += 1
        if len(line) > LINE_BYTES_MAX:
            raise MalformedError(f"line {number}: expected at most {LINE_BYTES_MAX} bytes")
        if line.strip():
            for case in _cases(line, number):
                yield outcome(case)


def _cases(line: bytes, number: int) -> list[dict[str, Any]]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"line {number}: expected a case as JSON, got {error}") from error
    cases = found if isinstance(found, list) else [found]
    for case in cases:
        if not isinstance(case, dict) or not isinstance(case.get("expr"), str):
            raise MalformedError(f'line {number}: expected a case with "name" and "expr"')
    return cases


def outcome(case: dict[str, Any]) -> dict[str, Any]:
    """What comes of one case."""
    named = {"name": case.get("name", "")}
    try:
        return {**named, "value": typed_values.encode(_value(case))}
    except UnsupportedError as refusal:
        return {**named, "refused": refusal.got}
    except ExpressionError as error:
        return {**named, "error": f"{error.line}:{error.column}: {error}"}
    except (EvaluationError, ExhaustedError) as error:
        return {**named, "error": str(error)}
    except (MalformedError, AttributeError, TypeError, KeyError, RecursionError) as error:
        return {**named, "refused": f"the case is malformed: expected {error}"}


def _value(case: dict[str, Any]) -> Value:
    declared = [one["name"] for one in case.get("type_env", []) if "ident" in one]
    for one in case.get("type_env", []):
        _refuse_messages(one.get("ident", {}).get("type", {}))
    variables = {
        name: typed_values.decode(binding["value"]) for name, binding in case.get("bindings", {}).items()
    }
    scope = Scope(frozenset([*declared, *variables]), case.get("container", ""))
    return compile_expression(parse(case["expr"]), scope).evaluate(variables, find_zone)


def _refuse_messages(type_: dict[str, Any]) -> None:
    """A variable of a message or wrapper type is refused, whatever the expression does with it."""
    message = type_.get("message_type")
    if message is not None and message not in _KNOWN_MESSAGES:
        raise UnsupportedError(expected="a type of CEL", got=f"the protocol-buffer message `{message}`")
    for name in ("wrapper", "abstract_type"):
        if name in type_:
            raise UnsupportedError(expected="a type of CEL", got=f"a variable of a {name} type")
    parts = [*type_.get("list_type", {}).values(), *type_.get("map_type", {}).values()]
    for part in parts:
        _refuse_messages(part)
