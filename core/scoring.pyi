from typing import final

from core.bundle import Model

@final
class Models:
    def __new__(cls, models: list[Model]) -> Models: ...
    @property
    def count(self) -> int: ...
