"""The checked expression: a closed set of typed nodes, each one supported.

Types are the attribute types of `core.bundle` and DURATION. Everything but the logic nodes is strict: an
error of an operand is an error of the whole. Nodes compare by identity; a segment's expression is one
object, shared by all that use it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from core.bundle import BOOL, FLOAT, INT, STRING, STRINGS, TIMESTAMP, General, general_attributes

DURATION: Final = 7
#: Of a general expression that is no bool.
UNKNOWN: Final = 0
TYPE_NAMES: Final[dict[int, str]] = {
    BOOL: "bool",
    INT: "int",
    FLOAT: "float",
    STRING: "string",
    TIMESTAMP: "timestamp",
    STRINGS: "strings",
    DURATION: "duration",
    UNKNOWN: "another value",
}
NUMBERS: Final = frozenset({INT, FLOAT})

ConstantValue = bool | int | float | str


@dataclass(slots=True, frozen=True, eq=False)
class Typed:
    type: int

    @property
    def operands(self) -> tuple["Typed", ...]:
        return ()


@dataclass(slots=True, frozen=True, eq=False)
class Constant(Typed):
    """A value known when the bundle is compiled. Timestamps and durations are milliseconds."""

    value: ConstantValue


@dataclass(slots=True, frozen=True, eq=False)
class Failure(Typed):
    """A constant expression that is an error, such as 1 / 0."""


@dataclass(slots=True, frozen=True, eq=False)
class Read(Typed):
    """The value of an attribute, by its index in the bundle."""

    attribute: int


@dataclass(slots=True, frozen=True, eq=False)
class Has(Typed):
    attribute: int


@dataclass(slots=True, frozen=True, eq=False)
class Now(Typed):
    pass


@dataclass(slots=True, frozen=True, eq=False)
class InSegment(Typed):
    """The segment's expression, in place."""

    expression: Typed

    @property
    def operands(self) -> tuple[Typed, ...]:
        return (self.expression,)


@dataclass(slots=True, frozen=True, eq=False)
class Not(Typed):
    operand: Typed

    @property
    def operands(self) -> tuple[Typed, ...]:
        return (self.operand,)


@dataclass(slots=True, frozen=True, eq=False)
class Logic(Typed):
    operator: str  # && ||
    terms: tuple[Typed, ...]

    @property
    def operands(self) -> tuple[Typed, ...]:
        return self.terms


@dataclass(slots=True, frozen=True, eq=False)
class Conditional(Typed):
    condition: Typed
    yes: Typed
    no: Typed

    @property
    def operands(self) -> tuple[Typed, ...]:
        return (self.condition, self.yes, self.no)


@dataclass(slots=True, frozen=True, eq=False)
class Negate(Typed):
    operand: Typed

    @property
    def operands(self) -> tuple[Typed, ...]:
        return (self.operand,)


@dataclass(slots=True, frozen=True, eq=False)
class Binary(Typed):
    """A comparison (== != < <= > >=), arithmetic (+ - * / %), a string test (contains startsWith endsWith),
    or `in` a strings attribute."""

    operator: str
    left: Typed
    right: Typed

    @property
    def operands(self) -> tuple[Typed, ...]:
        return (self.left, self.right)


@dataclass(slots=True, frozen=True, eq=False)
class InList(Typed):
    """Equal to one of the constants, which are all comparable with the operand."""

    operand: Typed
    items: tuple[Constant, ...]

    @property
    def operands(self) -> tuple[Typed, ...]:
        return (self.operand,)


@dataclass(slots=True, frozen=True, eq=False)
class Size(Typed):
    operand: Typed

    @property
    def operands(self) -> tuple[Typed, ...]:
        return (self.operand,)


@dataclass(slots=True, frozen=True, eq=False)
class InGeneral(Typed):
    """A part that the general evaluator runs, and where it begins in the text (line and column from 1). Its
    type is BOOL, or UNKNOWN."""

    general: General
    line: int
    column: int


def attributes_of(root: Typed) -> list[int]:
    """The attributes that an expression looks at, its segments' too, ascending."""
    found: set[int] = set()
    for node in walk(root):
        if isinstance(node, Read | Has):
            found.add(node.attribute)
        elif isinstance(node, InGeneral):
            found |= general_attributes(node.general)
    return sorted(found)


def own_generals(root: Typed) -> list[InGeneral]:
    """The parts that the general evaluator runs, but for those of segments, in the order of the text."""
    found: list[InGeneral] = []
    stack = [root]
    while stack:
        node = stack.pop()
        if isinstance(node, InGeneral):
            found.append(node)
        elif not isinstance(node, InSegment):
            stack.extend(node.operands)
    return sorted(found, key=lambda node: (node.line, node.column))


def walk(root: Typed) -> Iterator[Typed]:
    """Every node once, however often it is shared."""
    seen: set[int] = set()
    stack = [root]
    while stack:
        node = stack.pop()
        if id(node) not in seen:
            seen.add(id(node))
            yield node
            stack.extend(node.operands)
