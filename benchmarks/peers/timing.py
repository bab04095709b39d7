"""Two or more sides timed in turns, each on inputs of its own kind."""

import importlib.metadata
import itertools
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

Side = tuple[Callable[[Any], object], Sequence[Any]]
ROUNDS: Final = 40
ROUND_ITEMS: Final = 25
#: A side's turn takes no less, so that reading the clock, a call of the system, does not count.
TURN_SECONDS_MIN: Final = 0.0005


def sides_in_turns(*sides: Side, rounds: int = ROUNDS, size: int = ROUND_ITEMS) -> list[list[float]]:
    """Microseconds of processor time that a call of each side takes, `rounds` times: some inputs of one after
    some of the other, so that noise falls on all; one call more comes first, for what the others left of the
    caches. `sides`: a call and its inputs; `size`: how many a turn has at least.

    Processor time of the whole process and not the clock on the wall: where something else runs, a long call
    is interrupted more often than a short one, and the peers' are the long ones.
    """
    sizes = [turn_size(call, items, size) for call, items in sides]
    turns = [itertools.cycle(items) for _, items in sides]
    times: list[list[float]] = [[] for _ in sides]
    for _ in range(rounds):
        for (call, _), count, inputs, found in zip(sides, sizes, turns, times, strict=True):
            part = list(itertools.islice(inputs, count))
            call(part[-1])
            found.append(turn_seconds(call, part) / count * 1e6)
    return times


def turn_size(call: Callable[[Any], object], items: Sequence[Any], size: int) -> int:
    """Inputs of one turn: going through the same ones again would teach the processor their branches."""
    some = items[:size]
    turn_seconds(call, some)
    return max(size, math.ceil(TURN_SECONDS_MIN / max(turn_seconds(call, some), 1e-7) * len(some)))


def turn_seconds(call: Callable[[Any], object], part: Sequence[Any]) -> float:
    started = time.process_time()
    for item in part:
        call(item)
    return time.process_time() - started


def version(package: str) -> str:
    """The package with the version that is installed, for the figure's notes."""
    return f"{package} {importlib.metadata.version(package)}"
