from typing import final

from core.rules import Tables
from core.values import Attributes

MATCHES_BYTES_MAX: int
THREADS_MAX: int

@final
class Matches:
    """Which rules hold for which profiles."""

    @property
    def bits(self) -> bytes: ...
    @property
    def rule_count(self) -> int: ...
    @property
    def profile_count(self) -> int: ...
    def profiles_of(self, rule: int) -> list[int]: ...
    def rules_of(self, profile: int) -> list[int]: ...
    def count(self, rule: int) -> int: ...

@final
class Batch:
    """The tables of an engine, made ready for blocks of profiles."""

    def __new__(cls, tables: Tables, attributes: Attributes) -> Batch: ...
