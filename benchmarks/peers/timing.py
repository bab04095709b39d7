"""Two or more sides timed in turns, each on inputs of its own kind."""

import importlib.metadata
from collections.abc import Callable, Sequence
from typing import Any, Final

from benchmarks.test_core import time_calls_us

Side = tuple[Callable[[Any], object], Sequence[Any]]
ROUNDS: Final = 40
ROUND_ITEMS: Final = 25


def sides_in_turns(*sides: Side, rounds: int = ROUNDS, size: int = ROUND_ITEMS) -> list[list[float]]:
    """Microseconds a call of each side, `rounds` times: a few inputs of one after the same few of the other,
    so that noise falls on all; one call more comes first, for what the others left of the caches. `sides`: a
    call and its inputs, as many for each.
    """
    times: list[list[float]] = [[] for _ in sides]
    for number in range(rounds):
        begin = number * size % len(sides[0][1])
        for (call, items), found in zip(sides, times, strict=True):
            call(items[begin - 1])
            found.extend(time_calls_us(call, list(items[begin : begin + size]), 1))
    return times


def version(package: str) -> str:
    """The package with the version that is installed, for the figure's notes."""
    return f"{package} {importlib.metadata.version(package)}"
