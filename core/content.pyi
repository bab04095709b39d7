from typing import final

from core.bundle import Block

@final
class Blocks:
    def __new__(cls, blocks: list[Block], guards: list[list[int]]) -> Blocks: ...
