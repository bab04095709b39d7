from typing import final

@final
class LinearModels:
    def __new__(
        cls, models: list[tuple[tuple[int, ...], bool, float, list[float]] | None]
    ) -> LinearModels: ...
