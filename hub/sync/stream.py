"""One edge's stream: a reader takes in what the edge says, a writer sends what is due.

The writer sends in this order: answers, the bundle, frames, a heartbeat. gRPC's own flow control slows it,
and so does the number of frames that the edge has not acknowledged.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Final

import structlog

from hub.data.changes import Changes
from hub.data.tasks import end
from hub.decisioning.bundles import BundleSource, SignedBundle
from hub.errors import ConflictError, InvalidError, UnavailableError
from hub.store.engine import Store
from hub.sync import decision_rows
from hub.sync.fleet import COUNTS_MAX, DECISIONS_DROPPED, ERROR_LENGTH_MAX, EdgeStatus
from hub.sync.frames import Frames, SnapshotNeededError
from hub.sync.journals import JournalIntake
from hub.sync.window import FrameWindow
from onevoice.v1 import sync_pb2

INBOX_MAX: Final = 8
HEARTBEAT_SECONDS: Final = 1.0
SCRUB_SECONDS: Final = 300.0

log = structlog.get_logger(__name__)


class EdgeStream:
    """State of one stream, on the event loop only."""

    def __init__(
        self,
        *,
        store: Store,
        changes: Changes,
        frames: Frames,
        bundles: BundleSource,
        journals: JournalIntake,
        status: EdgeStatus,
        clock: Callable[[], int],
        scrub_seconds: float = SCRUB_SECONDS,
    ) -> None:
        self._store = store
        self._changes = changes
        self._frames = frames
        self._bundles = bundles
        self._journals = journals
        self._status = status
        self._clock = clock
        self._scrub_seconds = scrub_seconds
        self._wake = asyncio.Event()
        self._answers: deque[sync_pb2.HubMessage] = deque()
        self._journal_inbox: asyncio.Queue[sync_pb2.JournalBatch] = asyncio.Queue(INBOX_MAX)
        self._decision_inbox: asyncio.Queue[sync_pb2.DecisionRows] = asyncio.Queue(INBOX_MAX)
        self._tasks: list[asyncio.Task[None]] = []
        self._ended: BaseException | None = None
        self._window = FrameWindow(0, snapshot_due=True)
        self._watermark: dict[str, int] = {}
        self._bundle_sent = (0, "")
        self._scrubbing = False

    def begin(self, hello: sync_pb2.Hello) -> None:
        """Take up where the edge stands."""
        self._bundle_sent = (hello.bundle_revision, hello.bundle_hash)
        known = hello.epoch == self._changes.epoch and hello.sequence <= self._changes.latest
        self._window = FrameWindow(hello.sequence, snapshot_due=not known)
        self._status.sequence = hello.sequence if known else 0
        self._status.bundle_revision = hello.bundle_revision
        self._status.bundle_hash = hello.bundle_hash

    def end(self, error: BaseException) -> None:
        """Make the writer raise `error` at its next step."""
        if self._ended is None:
            self._ended = error
        self._wake.set()

    async def run(
        self, requests: AsyncIterator[sync_pb2.EdgeMessage]
    ) -> AsyncGenerator[sync_pb2.HubMessage, None]:
        """Yield what is to be sent until either side ends the stream."""
        stop_bundles = self._bundles.subscribe(lambda _: self._wake.set())
        stop_changes = self._changes.subscribe(self._wake.set)
        self._tasks = [
            asyncio.create_task(self._guarded(self._read(requests))),
            asyncio.create_task(self._guarded(self._log_journals())),
            asyncio.create_task(self._guarded(self._log_decisions())),
        ]
        try:
            async with contextlib.aclosing(self._due()) as messages:
                async for message in messages:
                    yield message
        except EdgeGoneError:
            return
        finally:
            stop_bundles()
            stop_changes()
            await self.close()

    async def close(self) -> None:
        """Take nothing more in; returns when the last batch is in the log or is not.

        gRPC may drop `run` in the middle of a message, and then nothing in there goes on: so this can be
        called from outside, and more than once.
        """
        await end(*self._tasks)

    async def _guarded(self, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception as error:
            self.end(error)

    # Up: what the edge says.

    async def _read(self, requests: AsyncIterator[sync_pb2.EdgeMessage]) -> None:
        async for request in requests:
            self._status.last_seen_ms = self._clock()
            match request.WhichOneof("message"):
                case "journal":
                    await self._journal_inbox.put(request.journal)
                case "frame_ack":
                    self._frame_ack(request.frame_ack)
                case "bundle_ack":
                    self._bundle_ack(request.bundle_ack)
                case "decisions":
                    await self._decision_inbox.put(request.decisions)
                case "report":
                    self._report(request.report)
                case other:
                    raise InvalidError(expected="a message behind Hello", got=str(other), path="message")
        self.end(EdgeGoneError())

    async def _log_journals(self) -> None:
        while True:
            batch = await self._journal_inbox.get()
            ack = await self._journals.take(batch)
            if ack.error:
                log.warning("journal batch refused", edge=self._status.edge_id, error=ack.error)
            self._answer(sync_pb2.HubMessage(journal_ack=ack))

    async def _log_decisions(self) -> None:
        while True:
            batch = await self._decision_inbox.get()
            rows = decision_rows.read_rows(batch.rows, self._status.edge_id)
            await self._store.write(partial(decision_rows.save, rows))
            if batch.dropped:
                self._status.counts[DECISIONS_DROPPED] = batch.dropped
            self._answer(sync_pb2.HubMessage(decision_ack=sync_pb2.DecisionAck(batch=batch.batch)))

    def _frame_ack(self, ack: sync_pb2.FrameAck) -> None:
        now = time.monotonic()
        self._status.sequence = ack.sequence
        if not ack.error:
            self._window.applied(ack.sequence, now)
        elif self._window.refused(ack.sequence, ack.error, now):
            log.warning("frame refused", edge=self._status.edge_id, error=ack.error, at=ack.sequence)
        self._wake.set()

    def _bundle_ack(self, ack: sync_pb2.BundleAck) -> None:
        if ack.error:
            self._status.bundle_error = f"{ack.error}: {ack.detail}"[:ERROR_LENGTH_MAX]
            log.warning("bundle refused", edge=self._status.edge_id, revision=ack.revision, error=ack.error)
        else:
            self._status.bundle_revision = ack.revision
            self._status.bundle_hash = ack.content_hash
            self._status.bundle_error = ""

    def _report(self, report: sync_pb2.EdgeReport) -> None:
        self._status.journal_behind_bytes = report.journal_behind_bytes
        dropped = self._status.counts.get(DECISIONS_DROPPED)
        self._status.counts = dict(sorted(report.counts.items())[:COUNTS_MAX])
        if dropped is not None:
            self._status.counts.setdefault(DECISIONS_DROPPED, dropped)
        if self._scrubbing and report.digest_entries:
            self._compare(report)

    def _compare(self, report: sync_pb2.EdgeReport) -> None:
        """Hold the edge's digest against ours at the same number; where it differs the edge starts anew."""
        expected = self._changes.digests.get(report.sequence)
        if expected is None:
            return
        self._scrubbing = False
        if expected != (report.digest, report.digest_entries):
            log.error("snapshot differs", edge=self._status.edge_id, sequence=report.sequence)
            self._answer(sync_pb2.HubMessage(digest=sync_pb2.Digest(differs=True)))
            self._window.start_over()

    def _answer(self, message: sync_pb2.HubMessage) -> None:
        self._answers.append(message)
        self._wake.set()

    # Down: what the edge must hear.

    async def _due(self) -> AsyncGenerator[sync_pb2.HubMessage, None]:
        beat = time.monotonic()
        scrub = beat + self._scrub_seconds
        while True:
            self._wake.clear()
            if self._ended is not None:
                raise self._ended
            while self._answers:
                yield self._answers.popleft()
            bundle = self._bundle_due()
            if bundle is not None:
                yield sync_pb2.HubMessage(bundle=bundle)
            now = time.monotonic()
            due = now >= beat
            if self._window.is_silent(now):
                log.warning("frames not answered", edge=self._status.edge_id)
            async with contextlib.aclosing(self._frames_due(now, even_empty=due)) as messages:
                async for message in messages:
                    yield message
            if due:
                yield sync_pb2.HubMessage(
                    heartbeat=sync_pb2.Heartbeat(hub_time_ms=self._clock(), sequence=self._changes.latest)
                )
                beat = now + HEARTBEAT_SECONDS
            if now >= scrub:
                self._scrubbing = True
                yield sync_pb2.HubMessage(digest=sync_pb2.Digest())
                scrub = now + self._scrub_seconds
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, beat - time.monotonic())):
                    await self._wake.wait()

    def _bundle_due(self) -> sync_pb2.Bundle | None:
        bundle = self._bundles.active()
        if bundle is None or (bundle.revision, bundle.content_hash) == self._bundle_sent:
            return None
        self._bundle_sent = (bundle.revision, bundle.content_hash)
        return _bundle_message(bundle)

    async def _frames_due(self, now: float, *, even_empty: bool) -> AsyncGenerator[sync_pb2.HubMessage, None]:
        if not self._window.may_send(now):
            return
        if self._window.snapshot_due:
            self._window.snapshot_due = False
            turn = self._window.turn
            async with contextlib.aclosing(self._frames.snapshot(self._status.edge_id)) as snapshot:
                async for frame in snapshot:
                    self._remember(frame)
                    yield sync_pb2.HubMessage(frame=frame)
                    while self._answers:
                        yield self._answers.popleft()
                    if self._window.turn != turn:
                        return
        while self._window.may_send(now) and not self._answers:
            try:
                delta = await self._frames.delta(self._window.sent)
            except SnapshotNeededError:
                self._window.start_over()
                self._wake.set()
                return
            if delta is None or delta.epoch != self._changes.epoch:
                return
            watermark = dict(delta.positions.get(self._status.edge_id, {}))
            # What does not concern this edge waits for what does, or for the next heartbeat.
            if not delta.entries and watermark == self._watermark and not even_empty:
                return
            frames = await self._frames.delta_frames(self._status.edge_id, delta)
            turn = self._window.turn
            for frame in frames:
                self._remember(frame)
                yield sync_pb2.HubMessage(frame=frame)
                if self._window.turn != turn:
                    break

    def _remember(self, frame: sync_pb2.Frame) -> None:
        self._window.add(frame.last, frame.flags, time.monotonic())
        self._watermark = dict(frame.watermark)


class EdgeGoneError(UnavailableError):
    """The edge has ended its side of the stream."""


class ReplacedError(ConflictError):
    """Another stream of the same edge has taken over."""


def _bundle_message(bundle: SignedBundle) -> sync_pb2.Bundle:
    return sync_pb2.Bundle(
        revision=bundle.revision,
        content_hash=bundle.content_hash,
        approvals=[
            sync_pb2.BundleApproval(user=approval.user, role=approval.role, at_ms=approval.at_ms)
            for approval in bundle.approvals
        ],
        signature=bundle.signature,
        content=bundle.content,
    )
