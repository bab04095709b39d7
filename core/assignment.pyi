from typing import final

from core.bundle import Experiment, Holdout

@final
class Experiments:
    def __new__(
        cls, experiments: list[Experiment], holdouts: list[Holdout], slot_names: dict[str, int]
    ) -> Experiments: ...
