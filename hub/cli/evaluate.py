"""`onevoice eval`: try an expression on plain values, without hub and catalogue."""

import argparse
import json
import math
from pathlib import Path
from typing import Any, Final

from core.bundle import BOOL, FLOAT, INT, STRING, STRINGS, TIMESTAMP
from core.cel.checker import Environment, check_value
from core.cel.evaluate import Value, evaluate
from core.cel.literals import INT_MAX, INT_MIN, timestamp_ms, timestamp_text
from core.cel.parser import parse
from core.cel.typed import DURATION, TYPE_NAMES, Typed
from core.errors import ExpressionError
from hub.cli.arguments import json_option, moment, now_ms
from hub.cli.errors import DONE, CommandError, UsageError
from hub.cli.output import Output
from hub.cli.session import Commands

VARIABLES_BYTES_MAX: Final = 1024 * 1024
TYPES: Final = {name: kind for kind, name in TYPE_NAMES.items() if kind != DURATION}
TYPES_KEY: Final = "types"
EPILOG: Final = (
    'The file holds a JSON object, such as {"profile": {"age": 30}, "context": {"device": "mobile"}, "x": 1, '
    '"types": {"profile.birthday": "timestamp", "profile.city": "string"}}. Types are read from the values; '
    "`types` says those that cannot be, and declares what has no value."
)

#: Name -> (type, value).
Bindings = dict[str, tuple[int, Value]]


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "eval",
        parents=[json_option()],
        help="evaluate an expression on plain values (no hub needed)",
        epilog=EPILOG,
    )
    parser.add_argument("expression", metavar="EXPR", help="CEL, as in a catalogue")
    parser.add_argument("--vars", type=Path, metavar="FILE", help="values of the names in it")
    parser.add_argument(
        "--now", type=moment, default=0, metavar="TIME", help="what `now` is (default: the clock)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Print value and type; an error of the expression and a refusal are refusals of the command."""
    bindings = read_bindings(arguments.vars) if arguments.vars else {}
    typed = checked(arguments.expression, bindings)
    value = evaluate(typed, [value for _, value in bindings.values()], arguments.now or now_ms())
    if value is None:
        message = "error: a value it needs is missing, or arithmetic has no result"
        raise CommandError(message, {"code": "error", "message": message})
    kind = TYPE_NAMES[typed.type]
    shown = shown_value(typed.type, value)
    output.show({"type": kind, "value": shown}, [f"{json.dumps(shown, ensure_ascii=False)} ({kind})"])
    return DONE


def checked(expression: str, bindings: Bindings) -> Typed:
    """The expression, typed. What is not supported is refused by its name."""
    attributes: dict[str, tuple[int, int] | None] = {
        name: (index, kind) for index, (name, (kind, _)) in enumerate(bindings.items())
    }
    try:
        typed, faults = check_value(parse(expression), Environment(attributes))
    except ExpressionError as error:
        raise _refusal(error.line, error.column, error.expected, error.got) from error
    if typed is None:
        first = faults[0]
        raise _refusal(first.line, first.column, first.expected, first.got)
    return typed


def _refusal(line: int, column: int, expected: str, got: str) -> CommandError:
    message = f"EXPR:{line}:{column}: expected {expected}, got {got}"
    detail = {
        "code": "refused",
        "message": message,
        "path": f"{line}:{column}",
        "expected": expected,
        "got": got,
    }
    return CommandError(message, detail)


def read_bindings(path: Path) -> Bindings:
    """The values of a file, by name: `profile.NAME`, `context.NAME`, or a name of its own."""
    try:
        if path.stat().st_size > VARIABLES_BYTES_MAX:
            raise UsageError(f"{path}: expected at most {VARIABLES_BYTES_MAX} bytes")
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: expected a JSON object, got {error}") from error
    if not isinstance(document, dict):
        raise UsageError(f"{path}: expected a JSON object, got {type(document).__name__}")
    types = document.pop(TYPES_KEY, {})
    flat: dict[str, Any] = dict.fromkeys(types)
    for name, value in document.items():
        if name in ("profile", "context") and isinstance(value, dict):
            flat.update({f"{name}.{inner}": one for inner, one in value.items()})
        else:
            flat[name] = value
    return {name: _binding(path, name, value, types.get(name)) for name, value in flat.items()}


def _binding(path: Path, name: str, value: Any, declared: str | None) -> tuple[int, Value]:
    if declared is not None and declared not in TYPES:
        raise UsageError(f"{path}: expected one of {', '.join(TYPES)} for types.{name}, got {declared!r}")
    kind = TYPES[declared] if declared else _type_of(value)
    if kind is None:
        raise UsageError(f"{path}: expected a type for {name} (`types`), got {type(value).__name__}")
    if value is None:
        return kind, None
    fitted = _fitted(kind, value)
    if fitted is None:
        raise UsageError(f"{path}: expected {TYPE_NAMES[kind]} for {name}, got {type(value).__name__}")
    return kind, fitted


def _type_of(value: Any) -> int | None:
    if isinstance(value, list):
        return STRINGS
    return {bool: BOOL, int: INT, float: FLOAT, str: STRING}.get(type(value))


def _fitted(kind: int, value: Any) -> Value:
    if kind == TIMESTAMP:
        try:
            return timestamp_ms(value) if isinstance(value, str) else None
        except ValueError:
            return None
    if kind == STRINGS:
        texts = [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
        return texts if isinstance(value, list) and len(texts) == len(value) else None
    if kind == FLOAT:
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
    if kind == INT:
        whole = isinstance(value, int) and not isinstance(value, bool) and INT_MIN <= value <= INT_MAX
        return int(value) if whole else None
    if kind == BOOL:
        return value if isinstance(value, bool) else None
    return value if isinstance(value, str) else None


def shown_value(kind: int, value: Value) -> Any:
    """A value as JSON can hold it."""
    if kind == TIMESTAMP and isinstance(value, int):
        return timestamp_text(value)
    if kind == DURATION and isinstance(value, int):
        return f"{value / 1000:g}s"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
