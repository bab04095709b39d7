"""An expression evaluated on plain values: for people who try one out, and as a reference for the tables.

CEL's logic over errors is Kleene's: `false && error` is false, `true || error` is true; a missing value is
an error.
"""

from collections.abc import Sequence

from core.bundle import STRINGS
from core.cel.folding import fold
from core.cel.typed import (
    Binary,
    Conditional,
    Constant,
    ConstantValue,
    Failure,
    Has,
    InList,
    InSegment,
    Logic,
    Negate,
    Not,
    Now,
    Read,
    Size,
    Typed,
)

#: A value of an attribute: strings are lists; timestamps and durations milliseconds; None is missing.
Value = ConstantValue | Sequence[str] | None


def evaluate(root: Typed, values: Sequence[Value], now_ms: int) -> Value:
    """The value of a checked expression, None for an error.

    Parameters
    ----------
    root : from `core.cel.checker`
    values : of the attributes, by their index in the environment
    now_ms : what `now` is, ms since 1970 UTC
    """
    match root:
        case Constant(value=constant):
            return constant
        case Failure():
            return None
        case Read(attribute=index):
            return values[index]
        case Has(attribute=index):
            return values[index] is not None
        case Now():
            return now_ms
        case InSegment(expression=inner):
            return evaluate(inner, values, now_ms)
        case Not(operand=operand):
            value = evaluate(operand, values, now_ms)
            return None if value is None else not value
        case Logic(operator=operator, terms=terms):
            return _logic(operator == "||", [evaluate(term, values, now_ms) for term in terms])
        case Conditional(condition=condition, yes=yes, no=no):
            chosen = evaluate(condition, values, now_ms)
            return None if chosen is None else evaluate(yes if chosen else no, values, now_ms)
        case _:
            return _strict(root, [evaluate(operand, values, now_ms) for operand in root.operands])


def _logic(decisive: bool, terms: list[Value]) -> bool | None:
    if decisive in terms:
        return decisive
    return None if None in terms else not decisive


def _strict(node: Typed, operands: list[Value]) -> Value:
    """A node whose operands are all needed: what constant folding says of it, and the two that take a
    list."""
    if any(operand is None for operand in operands):
        return None
    last = operands[-1]
    if node.operands[-1].type == STRINGS and isinstance(last, Sequence):
        return len(last) if isinstance(node, Size) else operands[0] in last
    constants = [
        Constant(operand.type, value)  # type: ignore[arg-type]  # lists were dealt with above
        for operand, value in zip(node.operands, operands, strict=True)
    ]
    folded = fold(_with(node, constants))
    return folded.value if isinstance(folded, Constant) else None


def _with(node: Typed, operands: list[Constant]) -> Typed:
    match node:
        case Negate():
            return Negate(node.type, *operands)
        case Size():
            return Size(node.type, *operands)
        case InList(items=items):
            return InList(node.type, operands[0], items)
        case Binary(operator=operator):
            return Binary(node.type, operator, *operands)
    raise AssertionError(node)
