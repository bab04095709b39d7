"""What the parts of an expression are at run time: functions of a run, made of those of their operands."""

from collections.abc import Hashable
from typing import Final

from core.cel.general import regex
from core.cel.general.arithmetic import calculate, negate
from core.cel.general.comparing import ORDERS, equal, in_order, member
from core.cel.general.functions import Function
from core.cel.general.run import Code, Run
from core.cel.general.values import Map, Uint, Value, no_overload
from core.errors import EvaluationError

#: Types whose values Python compares as CEL does.
_PLAIN: Final = frozenset({bool, int, float, str, bytes})


def constant(value: Value) -> Code:
    """The same value always."""
    return lambda run: value


def failing(message: str) -> Code:
    """An error always."""

    def code(run: Run) -> Value:
        raise EvaluationError(message)

    return code


def variable(key: Hashable, name: str = "") -> Code:
    """What the run's variables hold under a key; `name` is for the error."""

    def code(run: Run) -> Value:
        try:
            return run.variables[key]
        except KeyError:
            raise EvaluationError(f"no value for `{name or key}`") from None

    return code


def local(slot: int) -> Code:
    """The variable of a macro."""
    return lambda run: run.locals[slot]


def once(slot: int, operand: Code) -> Code:
    """What is evaluated at most once in a run: a value, or an error that is raised again."""

    def code(run: Run) -> Value:
        found = run.kept.get(slot)
        if found is None:
            try:
                found = (operand(run), None)
            except EvaluationError as error:
                found = (None, error)
            run.kept[slot] = found
        value, failure = found
        if failure is not None:
            raise failure
        return value

    return code


def fields(code: Code, names: list[str]) -> Code:
    """`code.a.b`."""
    for name in names:
        code = field(code, name)
    return code


def field(operand: Code, name: str) -> Code:
    """`operand.name` of a map."""

    def code(run: Run) -> Value:
        value = operand(run)
        if type(value) is not Map:
            raise no_overload(f"the field `.{name}`", value)
        if name not in value:
            raise EvaluationError(f"no such key: `{name}`")
        return value[name]

    return code


def indexed(operand: Code, index: Code) -> Code:
    """`operand[index]` of a list or map."""

    def code(run: Run) -> Value:
        group, key = operand(run), index(run)
        if type(group) is Map:
            return group[key]
        if type(group) is not list or type(key) not in (int, Uint, float):
            raise no_overload("an index", group, key)
        if not 0 <= key < len(group) or key != int(key):
            raise EvaluationError(f"no such index: {key}")
        return group[int(key)]

    return code


def listing(items: list[Code]) -> Code:
    """A list."""
    return lambda run: [item(run) for item in items]


def conditional(condition: Code, yes: Code, no: Code) -> Code:
    """`condition ? yes : no`."""

    def code(run: Run) -> Value:
        chosen = condition(run)
        if type(chosen) is not bool:
            raise no_overload("the condition of `?:`", chosen)
        return yes(run) if chosen else no(run)

    return code


def logic(decisive: bool, operands: list[Code]) -> Code:
    """|| (true decides) and && (false decides): an error counts only where nothing decides."""

    def code(run: Run) -> Value:
        failure: EvaluationError | None = None
        for operand in operands:
            try:
                value = operand(run)
                if type(value) is not bool:
                    raise no_overload("`||`" if decisive else "`&&`", value)
                if value is decisive:
                    return decisive
            except EvaluationError as error:
                failure = failure or error
        if failure is not None:
            raise failure
        return not decisive

    return code


def negative(operand: Code) -> Code:
    """`-operand`."""
    return lambda run: negate(operand(run))


def opposite(operand: Code) -> Code:
    """`!operand`."""

    def code(run: Run) -> Value:
        value = operand(run)
        if type(value) is not bool:
            raise no_overload("`!`", value)
        return not value

    return code


def binary(sign: str, left: Code, right: Code) -> Code:
    """`left sign right` of operators that both operands are evaluated for."""
    if sign in ("==", "!="):
        return equality(sign == "==", left, right)
    if sign in ORDERS:
        return comparison(sign, left, right)
    if sign == "in":
        return lambda run: member(run, left(run), right(run))
    return lambda run: calculate(run, sign, left(run), right(run))


def equality(wanted: bool, left: Code, right: Code) -> Code:
    """`left == right`, or not."""

    def code(run: Run) -> Value:
        one, other = left(run), right(run)
        if type(one) is type(other) and type(one) in _PLAIN:
            return (one == other) is wanted
        return equal(run, one, other) is wanted

    return code


def comparison(sign: str, left: Code, right: Code) -> Code:
    """`left sign right` for < <= > >=."""
    compare = ORDERS[sign]

    def code(run: Run) -> Value:
        one, other = left(run), right(run)
        if type(one) is type(other) and type(one) in _PLAIN:
            return compare(one, other)
        return in_order(run, sign, one, other)

    return code


def mapping(pairs: list[tuple[Code, Code]]) -> Code:
    """A map of keys and values."""
    return lambda run: Map([(key(run), value(run)) for key, value in pairs])


def called(function: Function, arguments: list[Code]) -> Code:
    """A function of arguments, a method's target first."""
    if len(arguments) == 1:
        (only,) = arguments
        return lambda run: function(run, [only(run)])
    if len(arguments) == 2:
        first, second = arguments
        return lambda run: function(run, [first(run), second(run)])
    return lambda run: function(run, [argument(run) for argument in arguments])


def matching(text: Code, pattern: str) -> Code:
    """`text.matches(pattern)`; the pattern is made ready here."""
    search = regex.compiled(pattern)

    def code(run: Run) -> Value:
        value = text(run)
        if type(value) is not str:
            raise no_overload("`matches()`", value)
        run.spend(len(value))
        return search(value)

    return code


def has_field(operand: Code, name: str) -> Code:
    """`has(operand.name)`."""

    def code(run: Run) -> Value:
        value = operand(run)
        if type(value) is not Map:
            raise no_overload("`has()`", value)
        return name in value

    return code
