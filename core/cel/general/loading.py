"""The general expressions of a bundle, made ready to run (docs/decisions/0009-general-conditions.md)."""

from collections.abc import Sequence
from typing import Final

from core import bundle
from core.bundle import General, Part
from core.cel.general import building
from core.cel.general.comprehensions import Loop, bound, comprehension
from core.cel.general.functions import FUNCTIONS
from core.cel.general.run import Code
from core.cel.general.sizes import sizes_of
from core.cel.general.values import TYPES, Uint
from core.errors import EvaluationError

#: The key of the moment among a run's variables; an attribute's is its index, and whether it is held ~index.
NOW: Final = "now"


def load(general: General) -> Code:
    """The code of an expression that `core.check_generals` has passed."""
    sizes = sizes_of(general.parts)
    codes: list[Code] = []
    for number, part in enumerate(general.parts):
        operands = [codes[at] for at in part.operands]
        if part.op == bundle.G_MACRO:
            work = 1 + sum(sizes[at] for at in part.operands[1:])
            loop = Loop(operands[0], tuple(part.slots), work)
            codes.append(comprehension(str(part.value), loop, operands[1:]))
        elif part.op == bundle.G_SEGMENT:
            codes.append(building.once(number, operands[0]))
        else:
            codes.append(_code(part, operands, general.parts))
    return codes[-1]


def needed(general: General) -> list[int]:
    """The attributes without any one of which the expression is an error, whatever the others are."""
    found: list[frozenset[int]] = []
    for part in general.parts:
        operands = [found[at] for at in part.operands]
        if part.op == bundle.G_ATTRIBUTE:
            found.append(frozenset([int(part.value)]))  # type: ignore[arg-type]
        elif part.op in (bundle.G_AND, bundle.G_OR):  # one operand may absorb the error of another
            found.append(frozenset.intersection(*operands))
        elif part.op in (bundle.G_CHOOSE, bundle.G_MACRO):  # the rest is not always evaluated
            found.append(operands[0])
        else:
            found.append(frozenset().union(*operands))
    return sorted(found[-1])


def _code(part: Part, operands: list[Code], parts: Sequence[Part]) -> Code:
    value = part.value
    match part.op:
        case bundle.G_LITERAL:
            return building.constant(value)
        case bundle.G_UINT:
            return building.constant(Uint(value))  # type: ignore[arg-type]
        case bundle.G_BYTES:
            return building.constant(str(value).encode("latin-1"))
        case bundle.G_ATTRIBUTE:
            return building.variable(value)
        case bundle.G_HAS:
            return building.variable(~value)  # type: ignore[operator]
        case bundle.G_NOW:
            return building.variable(NOW)
        case bundle.G_TYPE:
            return building.constant(TYPES[str(value)])
        case bundle.G_LOCAL:
            return building.local(int(value))  # type: ignore[arg-type]
        case bundle.G_CALL:
            return _call(part, operands, parts)
        case bundle.G_BIND:
            return bound(part.slots[0], *operands)
        case _:
            return _operator(part, operands)


def _operator(part: Part, operands: list[Code]) -> Code:
    match part.op:
        case bundle.G_NOT:
            return building.opposite(operands[0])
        case bundle.G_NEGATE:
            return building.negative(operands[0])
        case bundle.G_AND | bundle.G_OR:
            return building.logic(part.op == bundle.G_OR, operands)
        case bundle.G_CHOOSE:
            return building.conditional(*operands)
        case bundle.G_BINARY:
            return building.binary(str(part.value), *operands)
        case bundle.G_FIELD:
            return building.field(operands[0], str(part.value))
        case bundle.G_HAS_FIELD:
            return building.has_field(operands[0], str(part.value))
        case bundle.G_INDEX:
            return building.indexed(*operands)
        case bundle.G_LIST:
            return building.listing(operands)
        case bundle.G_MAP:
            return building.mapping(list(zip(operands[::2], operands[1::2], strict=True)))
        case _:
            raise AssertionError(part)


def _call(part: Part, operands: list[Code], parts: Sequence[Part]) -> Code:
    """A function; a literal pattern is made ready now, and one that is none is an error always."""
    if part.value == "matches" and len(operands) == 2:
        pattern = parts[part.operands[1]]
        if pattern.op == bundle.G_LITERAL and isinstance(pattern.value, str):
            try:
                return building.matching(operands[0], pattern.value)
            except EvaluationError as error:
                return building.failing(str(error))
    return building.called(FUNCTIONS[str(part.value)], operands)
