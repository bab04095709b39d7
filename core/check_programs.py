"""Type check of the general evaluator's programs.

A program that passes can neither leave its stack nor meet a value of a type that it does not expect.
"""

from collections.abc import Sequence
from typing import Final, NoReturn

from core import bundle as b
from core.errors import BundleError

DURATION: Final = 7
PROGRAM_LENGTH_MAX: Final = 10_000

CONSTANTS: Final[dict[int, tuple[int, type]]] = {
    b.P_INT: (b.INT, int),
    b.P_FLOAT: (b.FLOAT, float),
    b.P_STRING: (b.STRING, str),
    b.P_BOOL: (b.BOOL, bool),
    b.P_TIMESTAMP: (b.TIMESTAMP, int),
    b.P_DURATION: (DURATION, int),
}
#: (operator, left, right) -> result of arithmetic.
ARITHMETIC: Final[dict[tuple[int, int, int], int]] = {
    **{(op, b.INT, b.INT): b.INT for op in (b.P_ADD, b.P_SUB, b.P_MUL, b.P_DIV, b.P_MOD)},
    **{(op, b.FLOAT, b.FLOAT): b.FLOAT for op in (b.P_ADD, b.P_SUB, b.P_MUL, b.P_DIV)},
    (b.P_ADD, b.TIMESTAMP, DURATION): b.TIMESTAMP,
    (b.P_ADD, DURATION, b.TIMESTAMP): b.TIMESTAMP,
    (b.P_ADD, DURATION, DURATION): DURATION,
    (b.P_SUB, b.TIMESTAMP, DURATION): b.TIMESTAMP,
    (b.P_SUB, b.TIMESTAMP, b.TIMESTAMP): DURATION,
    (b.P_SUB, DURATION, DURATION): DURATION,
}
COMPARISONS: Final[frozenset[int]] = frozenset({b.P_EQ, b.P_NE, b.P_LT, b.P_LE, b.P_GT, b.P_GE})
ORDERED: Final[frozenset[int]] = frozenset({b.BOOL, b.INT, b.FLOAT, b.STRING, b.TIMESTAMP, DURATION})
NUMBERS: Final[frozenset[int]] = frozenset({b.INT, b.FLOAT})
TEXT_TESTS: Final[frozenset[int]] = frozenset({b.P_CONTAINS, b.P_STARTS, b.P_ENDS})


def fail(path: str, expected: str, got: object) -> NoReturn:
    """Refuse the bundle."""
    text = repr(got)
    raise BundleError(path=path, expected=expected, got=text if len(text) <= 80 else text[:77] + "...")


def check_program(
    path: str, program: Sequence[tuple[int, int | float | str | bool]], attributes: Sequence[b.Attribute]
) -> None:
    """Raise BundleError unless the program, run on any values of the attributes' types, leaves one bool."""
    stack: list[int] = []
    if len(program) > PROGRAM_LENGTH_MAX:
        fail(path, f"at most {PROGRAM_LENGTH_MAX} steps", len(program))
    for i, (op, argument) in enumerate(program):
        where = f"{path}[{i}]"
        if op < b.P_ADD:
            stack.append(_pushed(where, op, argument, attributes))
        elif op in (b.P_NEG, b.P_SIZE):
            stack.append(_unary(where, op, _pop(where, stack)))
        else:
            right, left = _pop(where, stack), _pop(where, stack)
            stack.append(_binary(where, op, left, right))
        if len(stack) > b.PROGRAM_STACK_MAX:
            fail(where, f"at most {b.PROGRAM_STACK_MAX} values on the stack", len(stack))
    if stack != [b.BOOL]:
        fail(path, "a program that leaves one bool", stack)


def _pop(path: str, stack: list[int]) -> int:
    if not stack:
        fail(path, "an operand on the stack", "none")
    return stack.pop()


def _pushed(path: str, op: int, argument: object, attributes: Sequence[b.Attribute]) -> int:
    if op == b.P_NOW:
        return b.TIMESTAMP
    if op == b.P_ATTRIBUTE:
        if type(argument) is not int or not 0 <= argument < len(attributes):
            fail(path, f"an attribute from 0 to {len(attributes) - 1}", argument)
        return attributes[argument].type
    if op not in CONSTANTS:
        fail(path, "a known operation", op)
    result, python_type = CONSTANTS[op]
    if type(argument) is not python_type or (isinstance(argument, int) and not -(2**63) <= argument < 2**63):
        fail(path, f"a constant of type {python_type.__name__}", argument)
    return result


def _unary(path: str, op: int, operand: int) -> int:
    allowed = NUMBERS if op == b.P_NEG else {b.STRING, b.STRINGS}
    if operand not in allowed:
        fail(path, f"an operand of type {sorted(allowed)}", operand)
    return operand if op == b.P_NEG else b.INT


def _binary(path: str, op: int, left: int, right: int) -> int:
    if op in COMPARISONS:
        same = left == right and left in ORDERED
        good = same or {left, right} == NUMBERS
    elif op in TEXT_TESTS:
        good = left == right == b.STRING
    elif op == b.P_IN:
        good = (left, right) == (b.STRING, b.STRINGS)
    else:
        result = ARITHMETIC.get((op, left, right))
        if result is None:
            fail(path, "operands that the operation takes", (op, left, right))
        return result
    if not good:
        fail(path, "operands that the operation takes", (op, left, right))
    return b.BOOL
