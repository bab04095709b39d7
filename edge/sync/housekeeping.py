"""What has to be done now and then: dead readers, old environments, contained events, damage, the status
file.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from edge.control import (
    CELL_CRASHES,
    CELL_SEQUENCE,
    CELL_SNAPSHOT,
    SEAT_READY,
    SEAT_RECORD_ERRORS,
    SEAT_SNAPSHOT,
)
from edge.logs import log
from edge.status import now_ms, write_status
from edge.sync.parts import Parts
from edge.sync.stream import wait_at_most

LOOK_SECONDS: Final = 1.0
SWEEP_SECONDS: Final = 600.0
#: So many damaged records in a minute, and the snapshot is not trusted any more.
RECORD_ERRORS_MAX: Final = 3
RECORD_ERRORS_SECONDS: Final = 60.0


class Housekeeping:
    """Runs beside the stream, also while there is none."""

    def __init__(self, parts: Parts, ask_for_snapshot: Callable[[], None]) -> None:
        self._parts = parts
        self._ask_for_snapshot = ask_for_snapshot
        self._crashes = parts.control.cells[CELL_CRASHES]
        self._errors = self._record_errors()
        self._error_times: deque[float] = deque(maxlen=RECORD_ERRORS_MAX)
        self._swept_at = time.monotonic()
        self._sweep_from = b""

    async def run(self) -> None:
        """Each second, and at once when P has moved."""
        while True:
            try:
                await self._look()
            except Exception:
                log.exception("housekeeping failed")
            await wait_at_most(self._parts.watermark_moved.wait(), LOOK_SECONDS)
            self._parts.watermark_moved.clear()

    async def _look(self) -> None:
        parts = self._parts
        if self._is_damaged():
            async with parts.disk:
                await asyncio.to_thread(parts.snapshot.set_aside)
            self._ask_for_snapshot()
        async with parts.disk:
            await asyncio.to_thread(parts.snapshot.tidy)
            if self._all_follow():
                await asyncio.to_thread(parts.snapshot.writer.delete_old)
        await asyncio.to_thread(self._trim)
        parts.status.epoch = parts.snapshot.writer.epoch
        parts.status.sequence = parts.control.cells[CELL_SEQUENCE]
        parts.status.bundle_revision = parts.bundles.revision
        await asyncio.to_thread(write_status, parts.folder.status, parts.status)

    def look_at_damage(self) -> bool:
        """Whether there is something that should not wait for the next second."""
        return (
            self._parts.control.cells[CELL_CRASHES] != self._crashes or self._record_errors() != self._errors
        )

    def _is_damaged(self) -> bool:
        """Workers died of the snapshot, or met several damaged records within a minute."""
        crashes, errors, now = (
            self._parts.control.cells[CELL_CRASHES],
            self._record_errors(),
            time.monotonic(),
        )
        crashed, self._crashes = crashes != self._crashes, crashes
        met, self._errors = errors - self._errors, errors
        self._error_times.extend([now] * min(max(met, 0), RECORD_ERRORS_MAX))
        many = (
            len(self._error_times) == RECORD_ERRORS_MAX and now - self._error_times[0] < RECORD_ERRORS_SECONDS
        )
        if crashed or many:
            self._error_times.clear()
            return self._parts.snapshot.writer.is_open
        return False

    def _record_errors(self) -> int:
        return sum(seat[SEAT_RECORD_ERRORS] for seat in self._parts.control.seats())

    def _all_follow(self) -> bool:
        """Whether every serving worker has opened the current environment, and so left the older ones."""
        generation = self._parts.control.cells[CELL_SNAPSHOT]
        return all(
            seat[SEAT_SNAPSHOT] >= generation for seat in self._parts.control.seats() if seat[SEAT_READY]
        )

    def _trim(self) -> None:
        parts = self._parts
        parts.overlay.reader_check()
        watermark = dict(parts.snapshot.writer.watermark)
        for journal_id, position in watermark.items():
            if parts.overlay.has_untrimmed(journal_id, position):
                parts.overlay.trim(journal_id, position)
        parts.journals.delete_contained(watermark)
        if self._sweep_from or time.monotonic() - self._swept_at > SWEEP_SECONDS:
            self._swept_at = time.monotonic()
            self._sweep_from = parts.overlay.sweep_seen(now_ms(), self._sweep_from)
