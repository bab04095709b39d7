from typing import final

from core.bundle import Attribute

@final
class Attributes:
    def __new__(
        cls, attributes: list[Attribute], deciding: frozenset[int], used: frozenset[int]
    ) -> Attributes: ...
    @property
    def count(self) -> int: ...
