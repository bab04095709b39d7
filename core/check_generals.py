"""Check of the general expressions of a bundle: numbers, names and arities, size and depth.

What passes can be made ready and evaluated on values of any type: it comes to a value or an error within a
bounded time.
"""

from collections.abc import Sequence
from typing import Final

from core import bundle as b
from core.cel.general.comprehensions import ONE_VARIABLE, TWO_VARIABLES
from core.cel.general.functions import FUNCTIONS
from core.cel.general.sizes import measure
from core.cel.general.values import TYPES
from core.check_programs import fail

WHY_LENGTH_MAX: Final = 256
SIGNS: Final = frozenset({"==", "!=", "<", "<=", ">", ">=", "in", "+", "-", "*", "/", "%"})
MACROS: Final = frozenset({*ONE_VARIABLE, *TWO_VARIABLES})

#: By what a part is: how many operands and slots it may have.
SHAPES: Final[dict[int, tuple[range, int]]] = {
    **dict.fromkeys(
        (b.G_LITERAL, b.G_UINT, b.G_ATTRIBUTE, b.G_HAS, b.G_NOW, b.G_TYPE, b.G_LOCAL, b.G_BYTES),
        (range(1), 0),
    ),
    **dict.fromkeys((b.G_NOT, b.G_NEGATE, b.G_FIELD, b.G_HAS_FIELD, b.G_SEGMENT), (range(1, 2), 0)),
    **dict.fromkeys((b.G_AND, b.G_OR), (range(1, b.GENERAL_SIZE_MAX), 0)),
    b.G_CHOOSE: (range(3, 4), 0),
    **dict.fromkeys((b.G_BINARY, b.G_INDEX), (range(2, 3), 0)),
    b.G_LIST: (range(b.GENERAL_SIZE_MAX), 0),
    b.G_MAP: (range(0, b.GENERAL_SIZE_MAX, 2), 0),
    b.G_CALL: (range(1, 4), 0),
    b.G_MACRO: (range(2, 4), 2),
    b.G_BIND: (range(2, 3), 1),
}
#: What `value` names.
NAMED: Final[dict[int, frozenset[str]]] = {
    b.G_TYPE: frozenset(TYPES),
    b.G_BINARY: SIGNS,
    b.G_CALL: frozenset(FUNCTIONS),
    b.G_MACRO: MACROS,
}
#: What `value` numbers are below.
NUMBERED: Final = {b.G_UINT: 2**64, b.G_LOCAL: b.GENERAL_SLOTS_MAX}


def check_general(path: str, general: b.General, attributes: Sequence[b.Attribute]) -> None:
    """Raise BundleError unless the expression can be evaluated, in bounded time."""
    if not 1 <= len(general.parts) <= b.GENERAL_SIZE_MAX:
        fail(f"{path}.parts", f"1 to {b.GENERAL_SIZE_MAX} parts", len(general.parts))
    if len(general.why) > WHY_LENGTH_MAX:
        fail(f"{path}.why", f"at most {WHY_LENGTH_MAX} characters", len(general.why))
    for i, part in enumerate(general.parts):
        _check_part(f"{path}.parts[{i}]", part, i, len(attributes))
    size, depth = measure(general.parts)
    if size > b.GENERAL_SIZE_MAX:
        fail(f"{path}.parts", f"at most {b.GENERAL_SIZE_MAX} parts as they are evaluated", "more")
    if depth > b.GENERAL_DEPTH_MAX:
        fail(f"{path}.parts", f"parts at most {b.GENERAL_DEPTH_MAX} deep", depth)


def _check_part(path: str, part: b.Part, number: int, attribute_count: int) -> None:
    if part.op not in SHAPES:
        fail(f"{path}.op", f"one of {sorted(SHAPES)}", part.op)
    operands, slots = SHAPES[part.op]
    if len(part.operands) not in operands:
        fail(f"{path}.operands", f"a number of operands that {part.op} has", len(part.operands))
    for operand in part.operands:
        if not 0 <= operand < number:
            fail(f"{path}.operands", f"a part from 0 to {number - 1}", operand)
    if len(part.slots) > slots or (slots and not part.slots):
        fail(f"{path}.slots", f"1 to {slots} slots" if slots else "no slots", len(part.slots))
    for slot in part.slots:
        if not 0 <= slot < b.GENERAL_SLOTS_MAX:
            fail(f"{path}.slots", f"a slot from 0 to {b.GENERAL_SLOTS_MAX - 1}", slot)
    _check_value(path, part, attribute_count)


def _check_value(path: str, part: b.Part, attribute_count: int) -> None:
    value = part.value
    if part.op in NAMED:
        if not isinstance(value, str) or value not in NAMED[part.op]:
            fail(f"{path}.value", f"one of {sorted(NAMED[part.op])}", value)
    elif part.op in (b.G_FIELD, b.G_HAS_FIELD):
        if not isinstance(value, str):
            fail(f"{path}.value", "a name", value)
    elif part.op in (b.G_ATTRIBUTE, b.G_HAS, *NUMBERED):
        limit = NUMBERED.get(part.op, attribute_count)
        if type(value) is not int or not 0 <= value < limit:
            fail(f"{path}.value", f"a number from 0 to {limit - 1}", value)
    elif part.op == b.G_BYTES:
        if not isinstance(value, str) or max(value, default="") > "\xff":
            fail(f"{path}.value", "characters of a byte each", value)
    elif part.op == b.G_LITERAL:
        if type(value) is int and not -(2**63) <= value < 2**63:
            fail(f"{path}.value", "an int of 64 bits", value)
    elif value is not None:
        fail(f"{path}.value", "no value", value)
