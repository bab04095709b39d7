"""How busy this worker is: requests in work, and how late its event loop runs."""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from core.decide import Engine

TICK_SECONDS: Final = 0.05


class Load:
    """Judges whether there is time left for a decision."""

    def __init__(self, in_flight_max: int) -> None:
        self._in_flight_max = in_flight_max
        self._deadlines: dict[str, int] = {}
        self._engine: Engine | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self.in_flight = 0
        self.lag_ns = 0

    def start(self) -> None:
        """Begin to watch the event loop's delay."""
        self._schedule()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def enter(self) -> None:
        self.in_flight += 1

    def leave(self) -> None:
        self.in_flight -= 1

    def judge(self, spent_ns: int, engine: Engine, placements: Sequence[str]) -> str | None:
        """The reason for which only a fallback can be given in time, or None.

        The strictest placement's deadline counts, from the moment the request reached this process: what it
        has waited for its body, and the delay at which the loop runs now.
        """
        if self.in_flight > self._in_flight_max:
            return "overload"
        deadline_ns = self._deadline_ns(engine, placements)
        if spent_ns > deadline_ns:
            return "deadline"
        return "overload" if self.lag_ns > deadline_ns else None

    def _deadline_ns(self, engine: Engine, placements: Sequence[str]) -> int:
        if engine is not self._engine:
            self._engine = engine
            found = engine.document.placements
            self._deadlines = {placement.id: placement.deadline_ms * 1_000_000 for placement in found}
        deadlines = self._deadlines
        if len(placements) == 1:
            return deadlines.get(placements[0], _NO_DEADLINE_NS)
        return min([deadlines.get(name, _NO_DEADLINE_NS) for name in placements])

    def _schedule(self) -> None:
        self._due = time.perf_counter() + TICK_SECONDS
        self._timer = asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick)

    def _tick(self) -> None:
        self.lag_ns = max(0, int((time.perf_counter() - self._due) * 1e9))
        self._schedule()


_NO_DEADLINE_NS: Final = 3_600_000_000_000
