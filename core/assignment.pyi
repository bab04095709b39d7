from typing import final

from core.bundle import Experiment, Holdout

@final
class Experiments:
    def __new__(
        cls, experiments: list[Experiment], holdouts: list[Holdout], slot_names: dict[str, int]
    ) -> Experiments: ...
    def variant(self, experiment: int, unit_key: bytes) -> int | None: ...
    def is_held_out(self, holdout: int, unit_key: bytes) -> bool: ...
