from typing import Final, final

from core.bundle import Trees

TREES_MAX: Final[int]
LEAVES_MAX: Final[int]
ENTRIES_MAX: Final[int]
INPUTS_MAX: Final[int]

@final
class Ensemble:
    def __new__(cls, path: str, trees: Trees) -> Ensemble: ...
