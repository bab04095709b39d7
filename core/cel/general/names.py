"""What a name in an expression stands for: a variable by its longest known prefix, or a type.

Inside a container `a.b`, `x.y` is looked for as a.b.x.y, a.x.y, x.y, then a.b.x, a.x, x with a field y.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from core.cel import ast
from core.cel.general.values import TYPES

#: Packages whose names are protocol-buffer messages and enums.
PROTOBUF_PACKAGES: Final = ("google.", "cel.expr.")


@dataclass(slots=True, frozen=True)
class Scope:
    """The variables that an expression may name, by full name, and the container it stands in."""

    variables: frozenset[str] = frozenset()
    container: str = ""


@dataclass(slots=True, frozen=True)
class Found:
    """A name's meaning: a variable or type, and how many parts of the path it took."""

    name: str
    taken: int


def path_of(node: ast.Node) -> list[str]:
    """The names of a chain `a.b.c`, empty if it is anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Select):
        parts.append(field_name(node.name))
        node = node.operand
    return [*reversed([*parts, node.name])] if isinstance(node, ast.Name) else []


def field_name(written: str) -> str:
    """A field's name without the backticks it may be written in."""
    return written.strip("`")


def resolve(scope: Scope, path: list[str], absolute: bool) -> Found | None:
    """The variable or type that the longest possible part of a path names."""
    for taken in range(len(path), 0, -1):
        for candidate in _candidates(scope, ".".join(path[:taken]), absolute):
            if candidate in scope.variables or candidate in TYPES:
                return Found(candidate, taken)
    return None


def _candidates(scope: Scope, name: str, absolute: bool) -> Iterator[str]:
    parts = [] if absolute or not scope.container else scope.container.split(".")
    for count in range(len(parts), 0, -1):
        yield f"{'.'.join(parts[:count])}.{name}"
    yield name


def is_protobuf(scope: Scope, path: list[str]) -> bool:
    """Say whether an unknown name can only be of protocol buffers: their packages, or inside a container."""
    name = ".".join(path)
    return bool(scope.container) or name.startswith(PROTOBUF_PACKAGES)
