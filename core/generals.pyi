from collections.abc import Sequence
from typing import Any, Final, final

from core.bundle import General

TEXT_BYTES_MAX: Final = 65_536
LIST_BYTES_MAX: Final = 262_144

@final
class Values:
    def __getitem__(self, key: int | str, /) -> Any: ...

@final
class Generals:
    def __new__(cls, generals: Sequence[General], attribute_count: int) -> Generals: ...
    @property
    def count(self) -> int: ...
