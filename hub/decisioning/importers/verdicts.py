"""One line for each condition of a file: what it is in CEL and what comes of it, or why it stays outside."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from core.cel.general.compiling import compile_expression
from core.cel.general.names import Scope
from core.cel.general.values import Map, Value
from core.cel.parser import parse
from core.errors import EvaluationError, ExhaustedError, ExpressionError
from hub.decisioning.importers.writing import OutsideError
from hub.decisioning.zones import find_zone

#: Nothing was expected, or there is no value to evaluate a condition with.
NOTHING: Final = object()


class MalformedError(ValueError):
    """The file does not have the form that its system writes; the message says what was expected."""


@dataclass(slots=True, frozen=True)
class Case:
    """A condition, how it is translated, and what it is evaluated with."""

    name: str
    translate: Callable[[], str]
    variables: Mapping[str, Value] | None = None
    expected: Any = NOTHING
    #: An error of the expression is no match, as in eligibility; else it is an error.
    is_condition: bool = True


def verdict(case: Case) -> dict[str, Any]:
    """`{"name", "cel", "verdict", "expected"}`, or `{"name", "refused"}`."""
    line: dict[str, Any] = {"name": case.name}
    try:
        cel = case.translate()
        names = ["now", *(case.variables or {})]
        program = compile_expression(parse(cel), Scope(frozenset(names)))
    except OutsideError as error:
        return {**line, "refused": str(error)}
    except ExpressionError as error:
        return {**line, "refused": f"the expression it makes has no place in CEL: {error}"}
    except RecursionError:
        return {**line, "refused": "a condition that is nested too deep"}
    except (KeyError, TypeError, AttributeError, ValueError):
        return {**line, "refused": "a condition that is malformed"}
    line["cel"] = cel
    if case.variables is not None:
        try:
            line["verdict"] = to_json(program.evaluate(case.variables, find_zone))
        except (EvaluationError, ExhaustedError) as error:
            line |= {"verdict": False} if case.is_condition else {"error": str(error)}
    if case.expected is not NOTHING:
        line["expected"] = case.expected
    return line


def agrees(line: Mapping[str, Any]) -> bool:
    """Whether the verdict is the expected one; numbers are equal by value."""
    return "expected" not in line or ("verdict" in line and same(line["verdict"], line["expected"]))


def same(one: Any, other: Any) -> bool:
    """Equal JSON: numbers by value, but no bool is a number."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return bool(one == other)


def from_json(plain: Any) -> Value:
    """The value of plain JSON; whole numbers of more than 64 bits are doubles."""
    if isinstance(plain, dict):
        return Map((key, from_json(one)) for key, one in plain.items())
    if isinstance(plain, list):
        return [from_json(one) for one in plain]
    if isinstance(plain, int) and not isinstance(plain, bool) and abs(plain) >= 2**63:
        return float(plain)
    return plain


def to_json(value: Value) -> Any:
    """Plain JSON of a value that was made of JSON."""
    if isinstance(value, Map):
        return {str(key): to_json(one) for key, one in value.items()}
    return [to_json(one) for one in value] if isinstance(value, list) else value
