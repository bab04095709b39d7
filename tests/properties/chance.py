"""Cheap draws: what hypothesis needs to build a strategy anew costs more than the draw itself."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeVar

from hypothesis import strategies as st

Item = TypeVar("Item")
Draw = Callable[[st.SearchStrategy[Any]], Any]


class Chance:
    """Draws from an example's choices; smaller draws and earlier items are what shrinking prefers."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw

    def whole(self, least: int, most: int) -> int:
        drawn: int = self.draw(_integers(least, most))
        return drawn

    def flag(self) -> bool:
        return self.whole(0, 1) == 1

    def once_in(self, times: int) -> bool:
        """True one time in so many, and where it does not matter, false."""
        return self.whole(0, times - 1) == times - 1

    def pick(self, items: Sequence[Item]) -> Item:
        return items[self.whole(0, len(items) - 1)]

    def some(self, items: Sequence[Item], *, least: int = 0, most: int | None = None) -> list[Item]:
        """Some of the items, each once, in a row that begins anywhere."""
        most = len(items) if most is None else min(most, len(items))
        count = self.whole(min(least, most), most)
        if not count:
            return []
        first = self.whole(0, len(items) - 1)
        return [items[(first + position) % len(items)] for position in range(count)]


@cache
def _integers(least: int, most: int) -> st.SearchStrategy[int]:
    return st.integers(least, most)
