"""What the names in an expression stand for, and what is wrong with one."""

from dataclasses import dataclass, field

from core.cel import ast
from core.cel.typed import Typed


@dataclass(slots=True, frozen=True)
class ExpressionFault:
    """What is wrong at a line and column (from 1) of an expression."""

    line: int
    column: int
    expected: str
    got: str


@dataclass(slots=True)
class Environment:
    """The names an expression may use: attributes by full name ("profile.age") with index and type, and
    segments, checked and as written.

    A catalogue has none without a dot; whoever evaluates an expression on its own may bind such names too.
    None stands for what is declared but faulty itself: to name it is no second fault.
    """

    attributes: dict[str, tuple[int, int] | None]
    segments: dict[str, Typed | None] = field(default_factory=dict)
    segment_trees: dict[str, ast.Node] = field(default_factory=dict)
