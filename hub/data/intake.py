"""Events that come straight to the hub: batched, put on the log's disk, then acknowledged.

The hub keeps them in journals of its own, of which the log is the only copy: positions count what was
appended since the hub started, under ids drawn at the start, so a position never means two things.
"""

import asyncio
import contextlib
import secrets
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

from core.events import Event, encode_event
from core.identifiers import HASH_BYTES
from core.journal import pack_record
from hub.data import identity
from hub.data.event_log import BATCH_BYTES_MAX, Batch, EventLog
from hub.data.ingestion import Ingestion
from hub.data.ingestor import event_key
from hub.errors import LimitError, UnavailableError
from hub.store import event_ids
from hub.store.engine import Store

#: Journals written side by side, so that one waiting for its disk does not hold up the rest.
LANES: Final = 4
WAITING_BYTES_MAX: Final = 64 * 1024 * 1024


class Intake:
    """`accept` returns when the events are safe, not when they are applied."""

    def __init__(self, store: Store, event_log: EventLog, ingestion: Ingestion, node: str) -> None:
        self._store = store
        self._ingestion = ingestion
        self._lanes = [_Lane(event_log, node) for _ in range(LANES)]

    def start(self) -> None:
        for lane in self._lanes:
            lane.start()

    async def stop(self) -> None:
        """Write what was promised, then end."""
        for lane in self._lanes:
            await lane.stop()

    @property
    def waiting_bytes(self) -> int:
        """What the log does not have yet."""
        return sum(lane.waiting_bytes for lane in self._lanes)

    async def accept(self, events: Sequence[Event]) -> tuple[int, int]:
        """Log events; returns (accepted, duplicates of events taken in before or within the call).

        Raises
        ------
        LimitError
            Too much is waiting for the log already.
        UnavailableError
            The log cannot be reached; whether it has the events is not known, so send them again.
        """
        fresh = await self._without_duplicates(events)
        if self.waiting_bytes > WAITING_BYTES_MAX:
            expected = f"at most {WAITING_BYTES_MAX} bytes waiting for the event log"
            raise LimitError(expected=expected, got=f"{self.waiting_bytes} bytes", code="overload")
        await self._ingestion.wait_for_room()
        lane = min(self._lanes, key=lambda one: one.waiting_bytes)
        await asyncio.gather(*(lane.append(records) for records in _runs(fresh)))
        return len(fresh), len(events) - len(fresh)

    async def _without_duplicates(self, events: Sequence[Event]) -> list[Event]:
        """Ingestion looks again, in its transaction; this spares the log what it would only pass over."""
        keyed = {event_key(event, identity.verified_of(event)): event for event in events}
        known = await self._store.read(lambda connection: event_ids.known(connection, keyed))
        return [event for key, event in keyed.items() if key not in known]


def _runs(events: Iterable[Event]) -> list[bytes]:
    """Journal records in runs that one message of the log can hold."""
    runs: list[list[bytes]] = []
    size = BATCH_BYTES_MAX
    for event in events:
        record = pack_record(encode_event(event))
        if size + len(record) > BATCH_BYTES_MAX:
            runs.append([])
            size = 0
        runs[-1].append(record)
        size += len(record)
    return [b"".join(run) for run in runs]


_Waiting = tuple[bytes, "asyncio.Future[None]"]


class _Lane:
    """One journal of the hub: records of several callers share a message of the log."""

    def __init__(self, log: EventLog, node: str) -> None:
        self._log = log
        self._node = node
        self._journal_id = secrets.token_hex(HASH_BYTES)
        self._position = 0
        self._queue: deque[_Waiting] = deque()
        self._wake = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self.waiting_bytes = 0

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="intake")

    async def stop(self) -> None:
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def append(self, records: bytes) -> None:
        """Wait until the log has the records."""
        if self._stopping:
            raise UnavailableError(expected="a running hub", got="one that stops")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((records, done))
        self.waiting_bytes += len(records)
        self._wake.set()
        await done

    async def _run(self) -> None:
        while self._queue or not self._stopping:
            if self._queue:
                await self._write(self._gather())
            else:
                self._wake.clear()
                await self._wake.wait()

    def _gather(self) -> list[_Waiting]:
        taken: list[_Waiting] = []
        size = 0
        while self._queue and size + len(self._queue[0][0]) <= BATCH_BYTES_MAX:
            taken.append(self._queue.popleft())
            size += len(taken[-1][0])
        return taken

    async def _write(self, taken: list[_Waiting]) -> None:
        records = b"".join(one for one, _ in taken)
        last = self._position + len(records)
        failure: Exception | None = None
        try:
            await self._log.publish(Batch(self._node, self._journal_id, self._position, last, records))
            self._position = last
        except Exception as error:
            # Whether the log has it is not known, so this journal ends here; callers send again.
            failure = error
            self._journal_id, self._position = secrets.token_hex(HASH_BYTES), 0
        self.waiting_bytes -= len(records)
        for _, done in taken:
            if done.done():
                continue
            if failure is None:
                done.set_result(None)
            else:
                done.set_exception(failure)
