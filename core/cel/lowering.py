"""Typed expression to formula: which tests the tables hold, and which become programs beside them."""

from typing import Final

from core import bundle
from core.bundle import BOOL, FLOAT, INT, STRING, TIMESTAMP
from core.cel import ranges
from core.cel.folding import COMPARISONS, fold
from core.cel.formula import ERROR, Formula, Leaf, Planner, choose, fixed, join, share
from core.cel.tables import Planes, TableBuilder, Test
from core.cel.typed import (
    DURATION,
    Binary,
    Conditional,
    Constant,
    Failure,
    Has,
    InGeneral,
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
from core.errors import ExpressionError

#: A ternary inside a comparison is lifted out of it, and doubles it; more comparisons than this are refused.
LIFTED_MAX: Final = 64

_MIRRORED: Final = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_KEYED: Final = frozenset({BOOL, INT, FLOAT, TIMESTAMP})
_STRING_OPS: Final = {
    "contains": bundle.OP_CONTAINS,
    "startsWith": bundle.OP_STARTS,
    "endsWith": bundle.OP_ENDS,
}
_CODES: Final = {
    "+": bundle.P_ADD, "-": bundle.P_SUB, "*": bundle.P_MUL, "/": bundle.P_DIV, "%": bundle.P_MOD,
    "==": bundle.P_EQ, "!=": bundle.P_NE, "<": bundle.P_LT, "<=": bundle.P_LE,
    ">": bundle.P_GT, ">=": bundle.P_GE, "in": bundle.P_IN,
    "contains": bundle.P_CONTAINS, "startsWith": bundle.P_STARTS, "endsWith": bundle.P_ENDS,
}  # fmt: skip
_CONSTANTS: Final = {
    BOOL: bundle.P_BOOL,
    INT: bundle.P_INT,
    FLOAT: bundle.P_FLOAT,
    STRING: bundle.P_STRING,
    TIMESTAMP: bundle.P_TIMESTAMP,
    DURATION: bundle.P_DURATION,
}


class Lowering:
    """Lowers the expressions of one bundle into one set of tables."""

    def __init__(self, builder: TableBuilder) -> None:
        self._planner = Planner(builder)
        self._known: dict[tuple[int, bool], tuple[Typed, Formula]] = {}

    def planes(self, expression: Typed) -> Planes:
        """The refs of "definitely true" and "definitely false".

        Raises
        ------
        ExpressionError
            Too many ternaries in one comparison, or arithmetic that needs too deep a stack.
        """
        return self._planner.planes(self._formula(expression, False))

    def _formula(self, node: Typed, negated: bool) -> Formula:
        found = self._known.get((id(node), negated))
        if found is None:
            found = self._known[id(node), negated] = (node, self._lowered(node, negated))
        return found[1]

    def _lowered(self, node: Typed, negated: bool) -> Formula:
        match node:
            case Constant(value=value):
                return fixed(bool(value) != negated)
            case Failure():
                return ERROR
            case Read(attribute=attribute):
                return Leaf(Test(bundle.OP_RANGE, attribute, 1, 1), negated)
            case Has(attribute=attribute):
                return Leaf(Test(bundle.OP_HAS, attribute), negated)
            case InGeneral(general=general):
                return Leaf(Test(bundle.OP_GENERAL, general=general), negated)
            case InSegment(expression=expression):
                return share(self._formula(expression, False), negated)
            case Not(operand=operand):
                return self._formula(operand, not negated)
            case Logic(operator=operator, terms=terms):
                op = bundle.NODE_AND if (operator == "&&") != negated else bundle.NODE_OR
                return join(op, [self._formula(term, negated) for term in terms])
            case Conditional(condition=condition, yes=yes, no=no):
                return choose(
                    self._formula(condition, False), self._formula(yes, negated), self._formula(no, negated)
                )
            case Binary() | InList():
                return self._test(node, negated)
        raise AssertionError(node)

    def _test(self, node: Binary | InList, negated: bool) -> Formula:
        if alternatives(node) > 1:
            return self._formula(lift(node), negated)
        if isinstance(node, InList):
            return self._in_list(node, negated)
        if node.operator in COMPARISONS:
            return self._comparison(node, negated)
        return Leaf(_string_test(node), negated)

    def _comparison(self, node: Binary, negated: bool) -> Formula:
        if node.operator == "!=":
            return self._comparison(Binary(BOOL, "==", node.left, node.right), not negated)
        left, operator, right = node.left, node.operator, node.right
        if isinstance(left, Constant):
            left, operator, right = right, _MIRRORED[operator], left
        if isinstance(left, Read) and isinstance(right, Constant):
            if left.type in _KEYED:
                assert not isinstance(right.value, str)
                low, high = ranges.comparison_range(left.type, operator, right.value)
                return Leaf(Test(bundle.OP_RANGE, left.attribute, low, high), negated)
            if operator == "==":
                return Leaf(Test(bundle.OP_STRING_IN, left.attribute, strings=(str(right.value),)), negated)
        if left.type == BOOL:
            return self._bools(operator, left, right, negated)
        return Leaf(_program_test(Binary(BOOL, operator, left, right)), negated)

    def _bools(self, operator: str, left: Typed, right: Typed, negated: bool) -> Formula:
        """A comparison of two bools, strict: an error of either is an error, so it is made of choices."""
        condition, other = self._formula(left, False), self._formula(right, False)
        if operator == "==":
            return choose(condition, self._formula(right, negated), self._formula(right, not negated))
        if operator in (">", ">="):
            condition, other = other, condition
            right = left
        # false < true: left < right is `left ? false : right`, left <= right is `left ? right : true`, yet
        # strict in both.
        known = choose(
            other, fixed((operator in ("<=", ">=")) != negated), fixed((operator in ("<=", ">=")) != negated)
        )
        value = self._formula(right, negated)
        return choose(condition, known, value) if operator in ("<", ">") else choose(condition, value, known)

    def _in_list(self, node: InList, negated: bool) -> Formula:
        operand, op = node.operand, bundle.NODE_AND if negated else bundle.NODE_OR
        if isinstance(operand, Read) and operand.type == STRING:
            strings = tuple(sorted({str(item.value) for item in node.items}))
            return Leaf(Test(bundle.OP_STRING_IN, operand.attribute, strings=strings), negated)
        return join(op, [self._comparison(Binary(BOOL, "==", operand, item), negated) for item in node.items])


def _string_test(node: Binary) -> Test:
    left, right = node.left, node.right
    if node.operator == "in" and isinstance(left, Constant) and isinstance(right, Read):
        return Test(bundle.OP_ANY_IN, right.attribute, strings=(str(left.value),))
    if node.operator in _STRING_OPS and isinstance(left, Read) and isinstance(right, Constant):
        return Test(_STRING_OPS[node.operator], left.attribute, strings=(str(right.value),))
    return _program_test(node)


def _program_test(node: Binary) -> Test:
    steps: list[tuple[int, int | float | str | bool]] = []
    if _emit(node, steps) > bundle.PROGRAM_STACK_MAX:
        raise ExpressionError(
            expected=f"arithmetic that holds at most {bundle.PROGRAM_STACK_MAX} values at once",
            got="a deeper nesting",
        )
    return Test(bundle.OP_PROGRAM, program=tuple(steps))


def _emit(node: Typed, steps: list[tuple[int, int | float | str | bool]]) -> int:
    """Append the steps that leave a node's value on the stack; return the depth that this needs."""
    depths = [at + _emit(operand, steps) for at, operand in enumerate(node.operands)]
    match node:
        case Constant(type=kind, value=value):
            steps.append((_CONSTANTS[kind], value))
        case Read(attribute=attribute):
            steps.append((bundle.P_ATTRIBUTE, attribute))
        case Now():
            steps.append((bundle.P_NOW, 0))
        case Negate():
            steps.append((bundle.P_NEG, 0))
        case Size():
            steps.append((bundle.P_SIZE, 0))
        case Binary(operator=operator):
            steps.append((_CODES[operator], 0))
        case _:
            raise AssertionError(node)
    return max(depths, default=1)


def too_large(node: Typed) -> ExpressionError | None:
    """Why the tables do not hold a strict test, though each part of it would do."""
    for operand in node.operands:
        if operand.type == BOOL and isinstance(operand, Binary | InList):
            found = too_large(operand)
            if found is not None:
                return found
    count = alternatives(node)
    if count > LIFTED_MAX:
        return ExpressionError(
            expected=f"ternaries in one comparison that make at most {LIFTED_MAX} of it",
            got=f"{count} comparisons of one",
        )
    depth = _stack_depth(node)
    if depth > bundle.PROGRAM_STACK_MAX:
        return ExpressionError(
            expected=f"arithmetic that holds at most {bundle.PROGRAM_STACK_MAX} values at once",
            got=f"arithmetic that holds {depth} values at once",
        )
    return None


def _stack_depth(node: Typed) -> int:
    """Values that a program holds at once; of a ternary, its results' more."""
    if isinstance(node, Conditional):
        return max(_stack_depth(node.yes), _stack_depth(node.no))
    return max((at + _stack_depth(operand) for at, operand in enumerate(node.operands)), default=1)


def alternatives(node: Typed) -> int:
    """How many comparisons a strict test becomes when its ternaries are lifted out."""
    if isinstance(node, Conditional):
        return alternatives(node.yes) + alternatives(node.no)
    if node.type == BOOL and not isinstance(node, Binary | InList):
        return 1
    product = 1
    for operand in node.operands:
        if operand.type != BOOL:
            product *= alternatives(operand)
    return product


def lift(node: Binary | InList) -> Typed:
    """`(c ? a : b) > x` as `c ? a > x : b > x`, for every ternary of a strict test."""
    count = alternatives(node)
    if count > LIFTED_MAX:
        raise ExpressionError(
            expected=f"ternaries in one comparison that make at most {LIFTED_MAX} of it", got=f"{count}"
        )
    found = _first_conditional(node)
    assert found is not None
    results = []
    for result in (found.yes, found.no):
        replaced = _replace(node, found, result)
        again = isinstance(replaced, Binary | InList) and _first_conditional(replaced) is not None
        results.append(lift(replaced) if again and isinstance(replaced, Binary | InList) else replaced)
    return Conditional(BOOL, found.condition, results[0], results[1])


def _first_conditional(node: Typed) -> Conditional | None:
    for operand in node.operands:
        if operand.type == BOOL:
            continue
        found = operand if isinstance(operand, Conditional) else _first_conditional(operand)
        if found is not None:
            return found
    return None


def _replace(node: Typed, old: Typed, new: Typed) -> Typed:
    """A strict node with one node below it replaced, folded again."""
    if node is old:
        return new
    match node:
        case Binary(type=kind, operator=operator, left=left, right=right):
            return fold(Binary(kind, operator, _replace(left, old, new), _replace(right, old, new)))
        case InList(type=kind, operand=operand, items=items):
            return fold(InList(kind, _replace(operand, old, new), items))
        case Negate(type=kind, operand=operand):
            return fold(Negate(kind, _replace(operand, old, new)))
        case Size(type=kind, operand=operand):
            return fold(Size(kind, _replace(operand, old, new)))
        case _:
            return node
