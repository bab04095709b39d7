"""One stream to the hub, from Hello to its end: journals, rows and reports up; frames, bundles and
acknowledgements down.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any, Final

import grpc
import msgspec

from core.sealing import KEY_BYTES
from edge.control import (
    CELL_CONNECTED,
    CELL_HUB_HEARD_MS,
    CELL_HUB_KEYS,
    CELL_JOURNAL_BEHIND_BYTES,
    CELL_SEQUENCE,
    CELL_UPLOADED_BYTES,
)
from edge.errors import EdgeError
from edge.folder import replace_file
from edge.hub_keys import HubKeys, read_hub_keys
from edge.logs import log
from edge.status import now_ms
from edge.sync.parts import Parts
from edge.sync.report import counts
from onevoice.v1 import sync_pb2, sync_pb2_grpc

PROTOCOL: Final = 1
WELCOME_SECONDS: Final = 10.0
#: The hub speaks each second; an edge that hears nothing for this long looks for it anew.
SILENCE_SECONDS: Final = 6.0
REPORT_SECONDS: Final = 2.0
LOOK_SECONDS: Final = 1.0
REFUSED_PAUSE_SECONDS: Final = 2.0
OUTBOX_MAX: Final = 64
FRAMES_WAITING_MAX: Final = 128


class HubError(EdgeError):
    """The hub cannot be followed now."""

    code = "hub"


class Stream:
    """A connected stream; `run` ends by an exception."""

    def __init__(self, parts: Parts, channel: grpc.aio.Channel) -> None:
        self._parts = parts
        self._call: Any = sync_pb2_grpc.SyncStub(channel).Stream(
            metadata=(("authorization", f"Bearer {parts.settings.edge_key}"),)
        )
        self._outbox: asyncio.Queue[sync_pb2.EdgeMessage] = asyncio.Queue(OUTBOX_MAX)
        self._frames: asyncio.Queue[sync_pb2.Frame] = asyncio.Queue(FRAMES_WAITING_MAX)
        self._bundle: sync_pb2.Bundle | None = None
        self._bundle_came = asyncio.Event()
        self._digest_due = False

    async def run(self) -> None:
        """Speak with the hub until one side ends it."""
        await self._greet()
        tasks = [
            asyncio.create_task(work)
            for work in (
                self._read(),
                self._write(),
                self._take_frames(),
                self._take_bundles(),
                self._upload(),
                self._report(),
            )
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            raise HubError("the stream has ended")
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._call.cancel()
            self._parts.control.cells[CELL_CONNECTED] = 0

    async def _greet(self) -> None:
        parts, writer = self._parts, self._parts.snapshot.writer
        writer.forget_group()
        parts.journals.look()
        hello = sync_pb2.Hello(
            edge_id=parts.settings.edge_id,
            protocol=PROTOCOL,
            epoch=writer.epoch,
            sequence=writer.sequence,
            bundle_revision=parts.bundles.revision,
            bundle_hash=parts.bundles.content_hash,
            journals=parts.journals.positions(),
        )
        async with asyncio.timeout(WELCOME_SECONDS):
            await self._call.write(sync_pb2.EdgeMessage(hello=hello))
            message = await self._call.read()
        if message is grpc.aio.EOF or message.WhichOneof("message") != "welcome":
            await self._raise_status()
            raise HubError(expected="Welcome", got="another message", path="stream")
        await self._accept(message.welcome)

    async def _raise_status(self) -> None:
        """The reason for which the hub has ended the call, as an exception."""
        code = await self._call.code()
        if code is not grpc.StatusCode.OK:
            error = HubError(f"hub refused: {code.name}: {await self._call.details()}")
            error.code = code.name.lower()
            raise error

    async def _accept(self, welcome: sync_pb2.Welcome) -> None:
        parts = self._parts
        if welcome.signing_key != parts.settings.signing_key_bytes:
            error = HubError(expected="the configured signing key", got="another", path="welcome.signing_key")
            error.code = "signing_key"
            raise error
        await asyncio.to_thread(self._keep_sealing_key, bytes(welcome.sealing_key))
        parts.snapshot.hub_epoch = welcome.epoch
        parts.journals.resume(dict(welcome.acknowledged))
        parts.rows.resume()
        parts.control.cells[CELL_CONNECTED] = 1
        parts.control.cells[CELL_HUB_HEARD_MS] = now_ms()
        parts.status.stream.succeed()
        log.info("connected", epoch=welcome.epoch)

    def _keep_sealing_key(self, key: bytes) -> None:
        parts = self._parts
        if len(key) == KEY_BYTES and key != read_hub_keys(parts.folder.hub_keys):
            replace_file(parts.folder.hub_keys, msgspec.json.encode(HubKeys(key.hex())))
            parts.control.cells[CELL_HUB_KEYS] += 1
            parts.ring_workers()

    # ---- Down

    async def _read(self) -> None:
        while True:
            async with asyncio.timeout(SILENCE_SECONDS):
                message = await self._call.read()
            if message is grpc.aio.EOF:
                await self._raise_status()
                raise HubError("the hub has ended the stream")
            self._parts.control.cells[CELL_HUB_HEARD_MS] = now_ms()
            await self._handle(message)

    async def _handle(self, message: sync_pb2.HubMessage) -> None:
        parts = self._parts
        match message.WhichOneof("message"):
            case "frame":
                await self._frames.put(message.frame)
            case "journal_ack":
                self._journal_ack(message.journal_ack)
            case "bundle":
                self._bundle = message.bundle
                self._bundle_came.set()
            case "decision_ack":
                parts.rows.acknowledge(message.decision_ack.batch)
                parts.status.decisions.succeed()
                parts.uploads_due.set()
            case "digest":
                if message.digest.differs:
                    log.error("snapshot differs from the hub's: taking it anew")
                else:
                    self._digest_due = True
            case _:  # heartbeats, and what a newer hub may add
                return

    def _journal_ack(self, ack: sync_pb2.JournalAck) -> None:
        parts = self._parts
        if parts.journals.acknowledge(ack.journal_id, ack.position, ack.error):
            parts.status.journal.succeed()
            parts.uploads_due.set()
        else:
            parts.status.journal.fail(ack.error)
        parts.control.cells[CELL_UPLOADED_BYTES] = parts.journals.uploaded_bytes
        parts.control.cells[CELL_JOURNAL_BEHIND_BYTES] = parts.journals.behind_bytes()

    async def _take_frames(self) -> None:
        parts = self._parts
        while True:
            frame = await self._frames.get()
            parts.status.frames.begin()
            async with parts.disk:
                ack = await asyncio.to_thread(parts.snapshot.take, frame)
            if ack is None:
                continue
            if ack.error:
                parts.status.frames.fail(ack.error)
            else:
                parts.status.frames.succeed()
                parts.watermark_moved.set()
                if frame.stages_ms:
                    parts.status.frame_stages_ms = [*frame.stages_ms, now_ms()]
                if frame.flags:
                    parts.status.snapshot.succeed()
                    log.info("snapshot taken", sequence=ack.sequence)
            await self._outbox.put(sync_pb2.EdgeMessage(frame_ack=ack))

    async def _take_bundles(self) -> None:
        parts = self._parts
        while True:
            await self._bundle_came.wait()
            self._bundle_came.clear()
            message, self._bundle = self._bundle, None
            if message is None:
                continue
            parts.status.bundle.begin()
            ack = await parts.bundles.take(message)
            if ack.error:
                parts.status.bundle.fail(ack.error)
            else:
                parts.status.bundle.succeed()
            await self._outbox.put(sync_pb2.EdgeMessage(bundle_ack=ack))

    # ---- Up

    async def _write(self) -> None:
        while True:
            await self._call.write(await self._outbox.get())

    async def _upload(self) -> None:
        """Send what is due: at each ring of a worker, at each acknowledgement, and once a second."""
        parts = self._parts
        while True:
            parts.uploads_due.clear()
            parts.journals.look()
            for batch in parts.journals.due():
                parts.status.journal.begin()
                await self._outbox.put(sync_pb2.EdgeMessage(journal=batch))
            rows = parts.rows.due()
            if rows is not None:
                parts.status.decisions.begin()
                await self._outbox.put(sync_pb2.EdgeMessage(decisions=rows))
            parts.control.cells[CELL_JOURNAL_BEHIND_BYTES] = parts.journals.behind_bytes()
            if parts.status.journal.error:
                parts.status.journal.error = ""
                await asyncio.sleep(REFUSED_PAUSE_SECONDS)
            await wait_at_most(parts.uploads_due.wait(), LOOK_SECONDS)

    async def _report(self) -> None:
        parts = self._parts
        while True:
            report = sync_pb2.EdgeReport(
                journal_behind_bytes=parts.journals.behind_bytes(),
                sequence=parts.control.cells[CELL_SEQUENCE],
                counts=counts(parts.control),
            )
            if self._digest_due:
                self._digest_due = False
                async with parts.disk:
                    report.digest, report.digest_entries = await asyncio.to_thread(
                        parts.snapshot.writer.digest
                    )
                    report.sequence = parts.snapshot.writer.sequence
            await self._outbox.put(sync_pb2.EdgeMessage(report=report))
            await asyncio.sleep(REPORT_SECONDS)

    def ask_for_snapshot(self) -> None:
        """The snapshot here is gone: to the hub that is an edge of no epoch."""
        message = sync_pb2.EdgeMessage(
            frame_ack=sync_pb2.FrameAck(sequence=0, error="epoch", detail="the snapshot was set aside")
        )
        try:
            self._outbox.put_nowait(message)
        except asyncio.QueueFull:  # the stream is stuck; the next one says it at Hello
            self._call.cancel()


async def wait_at_most(work: Awaitable[Any], seconds: float) -> bool:
    """Wait for something, but not for long; whether it came."""
    try:
        async with asyncio.timeout(seconds):
            await work
    except TimeoutError:
        return False
    return True
