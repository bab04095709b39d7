from typing import final

from core.bundle import Condition

@final
class Conditions:
    def __new__(cls, conditions: list[Condition], extents: list[int]) -> Conditions: ...
    @property
    def width(self) -> int: ...
