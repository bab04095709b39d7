"""Forgetting in time: each store of history has a limit, and is brought under it in small steps."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from hub.data.event_log import EventLog
from hub.data.tasks import SteadyTask
from hub.store import (
    change_log,
    decisions,
    engagements,
    event_ids,
    journal_positions,
    journeys,
    log_state,
    outbox,
    signals,
)
from hub.store.engine import Connection, Store

DAY_MS: Final = 86_400_000
EVERY_SECONDS: Final = 60.0
ROWS_AT_ONCE: Final = 5_000
#: Event ids are uniform, so each look takes one of so many equal slices of them.
SLICES: Final = 256
#: The reader of signals whose cursor says what was acted on.
SIGNAL_READER: Final = "journeys"


@dataclass(frozen=True)
class Retention:
    """How long what is kept."""

    #: Batches in the event log that are contained in the profiles: for a restored store to catch up.
    log_days: int = 7
    #: Ids of events, against duplicates; longer than any journal or import file is sent again.
    event_id_days: int = 400
    decision_days: int = 90
    decision_rows: int = 20_000_000
    #: An edge further behind takes a snapshot.
    changes: int = 1_000_000
    #: Journals of edges that are gone.
    position_days: int = 90
    #: Signals that journeys have acted on.
    signal_days: int = 7
    #: Journeys that ended, messages that are finished, and what people did with them. Longer than anybody
    #: keeps a mail to unsubscribe by: its links name the message.
    message_days: int = 400


class Maintenance:
    """Runs beside ingestion, in its gaps."""

    def __init__(
        self, store: Store, event_log: EventLog, clock: Callable[[], int], retention: Retention
    ) -> None:
        self._store = store
        self._log = event_log
        self._clock = clock
        self._retention = retention
        self._slice = 0
        self._task = SteadyTask("maintenance", self._run)

    def start(self) -> None:
        self._task.start()

    async def stop(self) -> None:
        await self._task.stop()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            await self.tidy()

    async def tidy(self) -> None:
        """Bring everything one step nearer to its limit."""
        while await self._store.write(self._prune_decisions):
            await asyncio.sleep(0)
        while await self._store.write(self.prune_outbound):
            await asyncio.sleep(0)
        while await self._store.write(self._prune_changes):
            await asyncio.sleep(0)
        await self._store.write(self._prune_ids)
        state = await self._store.read(log_state.read)
        if state.stream == self._log.stream_id:
            before_ms = self._clock() - self._retention.log_days * DAY_MS
            await self._log.forget(state.stream_sequence, before_ms)

    def _prune_decisions(self, connection: Connection) -> bool:
        before_ms = self._clock() - self._retention.decision_days * DAY_MS
        rows_max = self._retention.decision_rows
        return (
            decisions.prune(connection, before_ms=before_ms, rows_max=rows_max, rows_at_once=ROWS_AT_ONCE) > 0
        )

    def prune_outbound(self, connection: Connection) -> bool:
        """Forget a step's worth of what journeys and messages leave behind; whether there was anything."""
        now_ms, retention = self._clock(), self._retention
        signals_ms = now_ms - retention.signal_days * DAY_MS
        before_ms = now_ms - retention.message_days * DAY_MS
        gone = signals.prune(connection, name=SIGNAL_READER, before_ms=signals_ms, rows_at_once=ROWS_AT_ONCE)
        for noun in (journeys, outbox, engagements):
            gone += noun.prune(connection, before_ms=before_ms, rows_at_once=ROWS_AT_ONCE)
        return gone > 0

    def _prune_changes(self, connection: Connection) -> bool:
        state = log_state.read(connection)
        keep_after = state.sequence - self._retention.changes
        if keep_after <= state.log_floor:
            return False
        change_log.prune(connection, min(keep_after, state.log_floor + ROWS_AT_ONCE))
        return True

    def _prune_ids(self, connection: Connection) -> None:
        before_ms = self._clock() - self._retention.event_id_days * DAY_MS
        event_ids.prune(connection, self._slice, before_ms)
        self._slice = (self._slice + 1) % SLICES
        journal_positions.prune(connection, self._clock() - self._retention.position_days * DAY_MS)
