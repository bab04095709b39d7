from collections.abc import Sequence
from typing import Final, final

from typing_extensions import Buffer

from core.events import Event
from core.plan import FoldPlan as FoldPlan

IGNORED: Final[int]
APPLIED: Final[int]
DROPPED: Final[int]

@final
class State:
    @staticmethod
    def unpack(record: Buffer) -> State: ...
    @property
    def is_empty(self) -> bool: ...
    @property
    def size(self) -> int: ...
    def copy(self) -> State: ...
    def apply(self, plan: FoldPlan, event: Event, *, behaviour: bool) -> int: ...
    def merge(self, other: State) -> None: ...
    def set_score(self, slot: int, value: float, scored_at_ms: int, ttl_ms: int) -> None: ...
    def consent(self, slot: int) -> tuple[int, int] | None: ...
    def allows_behaviour(self, plan: FoldPlan, at_ms: int) -> bool: ...
    def pack(
        self, *, layout_id: int, sequence: int, packed_at_ms: int, unit_key: bytes, known: bool
    ) -> bytes: ...

def fold_overlay(
    record: Buffer | None,
    events: Sequence[Event],
    plan: FoldPlan,
    *,
    unit_key: bytes,
    now_ms: int,
    layout_id: int,
) -> bytes: ...
