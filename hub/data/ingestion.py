"""Ingestion: from the event log into profiles, micro-batch by micro-batch, for as long as the hub runs.

What arrived while one batch was applied is the next batch, so that a lone event waits for nothing and many
share a commit. Nothing is skipped: a store that fails is tried again, an event that fails is kept aside.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

import structlog

from hub.data.changes import Changes, ChangeSet
from hub.data.event_log import EventLog, LogMessage, StreamReplacedError
from hub.data.ingestor import Incoming, Ingestor, open_message
from hub.data.release import release
from hub.data.tasks import SteadyTask, pause, told
from hub.data.view import BundleView
from hub.errors import PreconditionError
from hub.store import log_state
from hub.store.engine import Connection, Store, StoreError

#: Messages that ingestion may be behind before a bulk sender has to wait.
BEHIND_MAX: Final = 24
#: How often a failing batch is tried whole before its events are tried one by one.
WHOLE_ATTEMPTS: Final = 2

log = structlog.get_logger(__name__)


class Ingestion:
    """The loop between log and store. It begins with the first bundle; until then events wait in the log."""

    def __init__(self, store: Store, event_log: EventLog, changes: Changes, ingestor: Ingestor) -> None:
        self._store = store
        self._log = event_log
        self._changes = changes
        self._ingestor = ingestor
        self._view: BundleView | None = None
        self._listeners: list[Callable[[BundleView], None]] = []
        self._has_view = asyncio.Event()
        self._task = SteadyTask("ingestion", self._run)
        self._applied = asyncio.Condition()
        self.stream_sequence = 0

    def use(self, view: BundleView) -> None:
        """Apply the next batches by this bundle."""
        self._view = view
        self._has_view.set()
        for listener in self._listeners:
            listener(view)

    def on_use(self, listener: Callable[[BundleView], None]) -> None:
        """Call `listener` with each bundle that comes into use."""
        self._listeners.append(listener)

    async def release(self, reason: str) -> int:
        """Take in again what was kept aside for a reason; returns how many no longer are."""
        await self._has_view.wait()
        assert self._view is not None
        return await release(self._changes, self._ingestor, self._view, reason)

    def start(self) -> None:
        self._task.start()

    async def stop(self) -> None:
        """Stop; a batch in hand is whole in the store or not there."""
        await self._task.stop()

    @property
    def view(self) -> BundleView:
        """The bundle in use. Raises PreconditionError before the first one."""
        if self._view is None:
            raise PreconditionError(expected="a published catalogue", got="none yet")
        return self._view

    @property
    def running(self) -> bool:
        """Whether there is a bundle to apply events by."""
        return self._has_view.is_set()

    async def wait_for_room(self) -> None:
        """Let ingestion catch up: who sends in bulk asks before each batch, as live events wait behind it."""
        if self.running:
            await self.applied(self._log.last_sequence - BEHIND_MAX)

    async def applied(self, stream_sequence: int) -> None:
        """Wait until the log is contained up to a number."""
        async with self._applied:
            await self._applied.wait_for(lambda: self.stream_sequence >= stream_sequence)

    async def _run(self) -> None:
        await self._has_view.wait()
        while True:
            stream_id = self._log.stream_id
            self.stream_sequence = await self._store.write(partial(_place_in, stream_id))
            try:
                async for messages in self._log.read(stream_id, self.stream_sequence):
                    await self._apply(messages)
                    async with self._applied:
                        self.stream_sequence = messages[-1].sequence
                        self._applied.notify_all()
            except StreamReplacedError:
                log.error("the event log is another one; reading it from its start")

    async def _apply(self, messages: list[LogMessage]) -> None:
        failures = attempt = 0
        while True:
            view = self._view
            assert view is not None
            try:
                if failures < WHOLE_ATTEMPTS:
                    await self._changes.write(self._ingestor.apply, view, messages)
                else:
                    await self._apply_singly(view, messages)
                return
            except StoreError as error:
                # The store will come back, and events wait for it.
                log.error("batch not applied", messages=len(messages), **told(error))
                attempt += 1
            except Exception as error:
                log.error("batch failed", messages=len(messages), **told(error))
                failures += 1
                attempt = max(0, failures - WHOLE_ATTEMPTS)
            if attempt:
                await pause(attempt)

    async def _apply_singly(self, view: BundleView, messages: list[LogMessage]) -> None:
        """One event a transaction, so that only the one that fails is kept aside."""
        for message in messages:
            for incoming in await self._changes.write(_opened, message):
                await self._apply_one(view, incoming)
            await self._changes.write(self._ingestor.pass_over, message)

    async def _apply_one(self, view: BundleView, incoming: Incoming) -> None:
        try:
            await self._changes.write(self._ingestor.take, view, [incoming])
        except StoreError:
            raise
        except Exception as error:
            log.error("event failed", **told(error))
            detail = f"{type(error).__name__} when applied"
            await self._changes.write(self._ingestor.refuse, incoming, detail)


def _place_in(stream_id: str, connection: Connection) -> int:
    """Where to go on reading: the start, if this is another stream than the one read so far."""
    state = log_state.read(connection)
    if state.stream == stream_id:
        return state.stream_sequence
    log_state.write(connection, stream=stream_id, stream_sequence=0)
    return 0


def _opened(_: Connection, changes: ChangeSet, message: LogMessage) -> list[Incoming]:
    return open_message(message, changes)
