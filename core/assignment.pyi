from typing import final

from typing_extensions import Buffer

from core.bundle import Experiment, Holdout

@final
class Experiments:
    def __new__(
        cls, experiments: list[Experiment], holdouts: list[Holdout], slot_names: dict[str, int]
    ) -> Experiments: ...
    def variant(self, experiment: int, unit_key: bytes, record: Buffer | None = None) -> int | None: ...
    def variants(self, unit_key: bytes) -> list[int | None]: ...
    def is_held_out(self, holdout: int, unit_key: bytes) -> bool: ...
