"""The syntax tree of a CEL expression, as written: nothing is known of types yet.

It holds the whole language. Chains of `&&` and `||` are flat, so the depth of a tree is what a person would
call nesting.
"""

from dataclasses import dataclass, field
from typing import Final

#: Limits of one expression; the parser enforces the first two, the checker the third.
LENGTH_MAX: Final = 4_096
NESTING_MAX: Final = 64
LIST_LENGTH_MAX: Final = 10_000


@dataclass(slots=True)
class Node:
    """Line and column count from 1 and point at what a fault is about: an operator, a name, a literal's
    start."""

    line: int
    column: int
    depth: int = field(default=1, init=False)

    def over(self, *operands: "Node") -> "Node":
        """Set the depth from the operands."""
        self.depth = 1 + max((operand.depth for operand in operands), default=0)
        return self


@dataclass(slots=True)
class Literal(Node):
    kind: str  # bool int uint float string bytes null
    value: bool | int | float | str | bytes | None


@dataclass(slots=True)
class Name(Node):
    """An identifier; with a dot before it, it is looked up from the outside (`.x`)."""

    name: str
    absolute: bool = False


@dataclass(slots=True)
class Select(Node):
    operand: Node
    name: str


@dataclass(slots=True)
class Call(Node):
    """A function or, with a target, a method."""

    name: str
    target: Node | None
    arguments: list[Node]


@dataclass(slots=True)
class Index(Node):
    operand: Node
    index: Node


@dataclass(slots=True)
class ListLiteral(Node):
    items: list[Node]


@dataclass(slots=True)
class MapLiteral(Node):
    entries: list[Node]


@dataclass(slots=True)
class Message(Node):
    name: Node


@dataclass(slots=True)
class Unary(Node):
    operator: str  # ! -
    operand: Node


@dataclass(slots=True)
class Binary(Node):
    operator: str  # == != < <= > >= in + - * / %
    left: Node
    right: Node


@dataclass(slots=True)
class Logic(Node):
    operator: str  # && ||
    operands: list[Node]


@dataclass(slots=True)
class Conditional(Node):
    condition: Node
    yes: Node
    no: Node
