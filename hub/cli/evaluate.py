"""`onevoice eval`: try an expression on plain values, or run a batch of cases, without hub and catalogue."""

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from core.cel.checker import check_value
from core.cel.environment import Environment
from core.cel.general.compiling import compile_expression
from core.cel.general.names import Scope
from core.cel.general.values import Timestamp, Value, type_name
from core.cel.parser import parse
from core.cel.typed import own_generals
from core.errors import EvaluationError, ExhaustedError, ExpressionError
from hub.cli import conformance, typed_values
from hub.cli.arguments import json_option, moment, now_ms
from hub.cli.errors import DONE, CommandError, UsageError
from hub.cli.output import Output
from hub.cli.session import Commands
from hub.cli.variables import MILLISECOND_NS, NO_VARIABLES, SCOPES, Variables, read_variables, to_json
from hub.decisioning.zones import find_zone

STANDARD_INPUT: Final = "-"
SCOPE_PREFIXES: Final = tuple(f"{scope}." for scope in SCOPES)
#: What a catalogue calls these types.
SHOWN_TYPES: Final = {
    "double": "float",
    "google.protobuf.Timestamp": "timestamp",
    "google.protobuf.Duration": "duration",
}
EPILOG: Final = (
    'The file holds a JSON object, such as {"profile": {"age": 30}, "context": {"device": "mobile"}, "x": 1, '
    '"types": {"profile.birthday": "timestamp", "profile.city": "string"}}. Types are read from the values; '
    "`types` says those that cannot be, and declares what has no value. With --batch each line of FILE (or "
    'of standard input) is a case in the JSON of CEL\'s conformance suite, {"name", "expr", "bindings"}; the '
    'outcomes come one a line: {"name", "value"}, {"name", "error"} or {"name", "refused"}.'
)


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "eval",
        parents=[json_option()],
        help="evaluate an expression on plain values (no hub needed)",
        epilog=EPILOG,
    )
    parser.add_argument("expression", metavar="EXPR", nargs="?", help="CEL")
    parser.add_argument("--vars", type=Path, metavar="FILE", help="values of the names in it")
    parser.add_argument(
        "--now", type=moment, default=0, metavar="TIME", help="what `now` is (default: the clock)"
    )
    parser.add_argument(
        "--batch", nargs="?", const=STANDARD_INPUT, metavar="FILE", help="evaluate cases, one a line"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Print value and type; an error of the expression and a refusal are refusals of the command."""
    if arguments.batch is not None:
        if arguments.expression is not None or arguments.vars is not None:
            raise UsageError(
                "--batch takes its expressions and values from the cases: expected no EXPR, no --vars"
            )
        return _batch(arguments.batch)
    if arguments.expression is None:
        raise UsageError("expected EXPR or --batch")
    variables = read_variables(arguments.vars) if arguments.vars else NO_VARIABLES
    value = _evaluated(arguments.expression, variables, arguments.now or now_ms())
    why_not, parts = in_a_catalogue(arguments.expression, variables)
    kind = type_name(value)
    kind, shown = SHOWN_TYPES.get(kind, kind), to_json(value)
    lines = [f"{json.dumps(shown, ensure_ascii=False)} ({kind})"]
    if why_not is not None:
        lines.append(f"a catalogue refuses this expression: {why_not}")
    lines += [f"a catalogue runs this in the general evaluator: {part}" for part in parts]
    output.show({"type": kind, "value": shown, "catalogue_refusal": why_not, "generals": parts}, lines)
    return DONE


def _evaluated(expression: str, variables: Variables, at_ms: int) -> Value:
    values = {"now": Timestamp(at_ms * MILLISECOND_NS), **variables.values}
    try:
        declared = [name for name in variables.attributes if not name.startswith(SCOPE_PREFIXES)]
        scope = Scope(frozenset([*values, *declared]))
        value = compile_expression(parse(expression), scope).evaluate(values, find_zone)
        typed_values.encode(value)  # what is too large to write is an error of the expression too
        return value
    except ExpressionError as error:
        raise _refusal(error) from error
    except (EvaluationError, ExhaustedError) as error:
        message = f"error: {error}"
        raise CommandError(message, {"code": "error", "message": message}) from error


def in_a_catalogue(expression: str, variables: Variables) -> tuple[str | None, list[str]]:
    """Why a catalogue refuses an expression, None if it does not; and the parts that the decision tables
    cannot hold."""
    environment = Environment(
        {
            name: None if kind is None else (index, kind)
            for index, (name, kind) in enumerate(variables.attributes.items())
        }
    )
    try:
        typed, faults = check_value(parse(expression), environment)
    except ExpressionError as error:
        return _place(error.line, error.column, error.expected, error.got), []
    if faults:
        return _place(faults[0].line, faults[0].column, faults[0].expected, faults[0].got), []
    if typed is None:
        return "a value in it has a type that attributes do not have", []
    return None, [f"EXPR:{one.line}:{one.column}: {one.general.why}" for one in own_generals(typed)]


def _refusal(error: ExpressionError) -> CommandError:
    message = _place(error.line, error.column, error.expected, error.got)
    detail = {
        "code": "refused",
        "message": message,
        "path": f"{error.line}:{error.column}",
        "expected": error.expected,
        "got": error.got,
    }
    return CommandError(message, detail)


def _place(line: int, column: int, expected: str, got: str) -> str:
    return f"EXPR:{line}:{column}: expected {expected}, got {got}"


def _batch(name: str) -> int:
    """Write the outcomes as they come."""
    if name == STANDARD_INPUT:
        return _write(conformance.outcomes(sys.stdin.buffer), "standard input")
    try:
        with Path(name).open("rb") as file:
            return _write(conformance.outcomes(file), name)
    except OSError as error:
        raise UsageError(f"{name}: expected a readable file, got {error}") from error


def _write(outcomes: Iterable[dict[str, Any]], name: str) -> int:
    try:
        for outcome in outcomes:
            print(json.dumps(outcome))
    except typed_values.MalformedError as error:
        raise UsageError(f"{name}: {error}") from error
    return DONE
