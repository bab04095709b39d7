"""Values of expressions, errors among them, and what an expression can see."""

from dataclasses import dataclass
from typing import Any, Final, Protocol

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1


@dataclass(frozen=True)
class Error:
    """CEL's error as a value, with what caused it."""

    why: str


@dataclass(frozen=True, order=True)
class Timestamp:
    ms: int


@dataclass(frozen=True, order=True)
class Duration:
    ms: int


class Uint(int):
    """An unsigned integer; its arithmetic stays one."""

    def __add__(self, other: int) -> "Uint":
        return Uint(int(self) + int(other))

    def __sub__(self, other: int) -> "Uint":
        return Uint(int(self) - int(other))

    def __mul__(self, other: int) -> "Uint":
        return Uint(int(self) * int(other))

    def __floordiv__(self, other: int) -> "Uint":
        return Uint(int(self) // int(other))

    def __mod__(self, other: int) -> "Uint":
        return Uint(int(self) % int(other))

    def __abs__(self) -> "Uint":
        return self


@dataclass(frozen=True)
class Type:
    name: str


#: A map is a list of pairs, in order, under "map"; the rest is Python's own.
Value = Any


class Environment(Protocol):
    """What an expression can see."""

    now_ms: int

    def read(self, scope: str, name: str) -> Value: ...

    def has(self, scope: str, name: str) -> bool: ...


@dataclass(frozen=True)
class Within:
    """What the body of a macro sees: its variables, and all around it."""

    around: Environment
    names: dict[str, Value]

    @property
    def now_ms(self) -> int:
        return self.around.now_ms

    def read(self, scope: str, name: str) -> Value:
        return self.around.read(scope, name)

    def has(self, scope: str, name: str) -> bool:
        return self.around.has(scope, name)
