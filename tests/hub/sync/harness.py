"""A hub's data plane and streams on a free port, and an edge as a test plays it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from core.events import Event
from core.frame import (
    DELETE_IDENTIFIER,
    DELETE_RECORD,
    FLAG_MORE,
    FLAG_SNAPSHOT,
    FLAG_SNAPSHOT_END,
    PUT_IDENTIFIER,
    PUT_RECORD,
    frame_signing_bytes,
    iter_entries,
)
from hub.data.changes import entry_digest
from hub.data.plane import DataPlane
from hub.decisioning.bundles import ActiveBundle
from hub.metrics import Metrics
from hub.rpc.auth import Keyring
from hub.rpc.interceptor import Gate
from hub.store.engine import Store
from hub.sync.fleet import Fleet
from hub.sync.frames import Frames
from hub.sync.service import SyncService
from onevoice.v1 import sync_pb2, sync_pb2_grpc
from tests.hub.asyncs import until
from tests.hub.bundles import signed, small_document
from tests.hub.data.harness import records_of
from tests.hub.events import person
from tests.hub.keys import IDENTIFIER_KEY, SEALING_KEY, SIGNING_KEY

REDIAL_SECONDS = 0.02
EDGE_KEY, SERVER_KEY = "edge_" + "k" * 20, "server_" + "k" * 20


@dataclass
class Hub:
    """The parts of a hub that the edges' streams need."""

    plane: DataPlane
    bundles: ActiveBundle
    fleet: Fleet
    service: SyncService
    metrics: Metrics
    address: str

    def ended_with(self, status: grpc.StatusCode) -> bool:
        """Whether a stream has ended so. A client that is just writing may see its own error instead."""
        line = f'onevoice_hub_rpc_total{{method="/onevoice.v1.Sync/Stream",status="{status.name}"}}'
        return line in self.metrics.render().decode()

    def publish(self) -> None:
        """Make the small bundle the active one, so that ingestion begins."""
        self.bundles.activate(signed(small_document()))


@asynccontextmanager
async def hub(
    store: Store, folder: Path, *, publish: bool = True, scrub_seconds: float = 300.0, nats_url: str = ""
) -> AsyncIterator[Hub]:
    plane = DataPlane(
        store,
        folder / "log",
        nats_url=nats_url,
        sealing_key=SEALING_KEY.private_bytes_raw(),
        identifier_key=IDENTIFIER_KEY,
    )
    await plane.start()
    bundles = ActiveBundle()
    bundles.subscribe(lambda bundle: plane.use(small_document()))
    fleet = Fleet(store, plane.clock)
    await fleet.start()
    service = SyncService(
        store=store,
        event_log=plane.event_log,
        changes=plane.changes,
        frames=Frames(store, plane.changes, SIGNING_KEY, plane.clock),
        bundles=bundles,
        fleet=fleet,
        signing_public=SIGNING_KEY.public_key().public_bytes_raw(),
        sealing_public=SEALING_KEY.public_key().public_bytes_raw(),
        clock=plane.clock,
        scrub_seconds=scrub_seconds,
    )
    metrics = Metrics()
    gate = Gate(Keyring({"edge": (EDGE_KEY,), "server": (SERVER_KEY,)}), metrics, concurrency=8)
    server = grpc.aio.server(interceptors=[gate])
    sync_pb2_grpc.add_SyncServicer_to_server(service, server)
    bound = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        made = Hub(plane, bundles, fleet, service, metrics, f"127.0.0.1:{bound}")
        if publish:
            made.publish()
        yield made
    finally:
        await server.stop(0)
        await plane.stop()


class Edge:
    """An edge in memory. What it holds outlives its streams, as an edge's disk does."""

    def __init__(self, edge_id: str = "eu", journal_id: str = "ab" * 16) -> None:
        self.edge_id = edge_id
        self.journal_id = journal_id
        self.journal = b""
        self.acknowledged = 0
        self.epoch = ""
        self.sequence = 0
        self.records: dict[bytes, bytes] = {}
        self.identifiers: dict[bytes, bytes] = {}
        self.watermark: dict[str, int] = {}
        self.bundle: sync_pb2.Bundle | None = None
        self.welcome: sync_pb2.Welcome | None = None
        self.frames: list[sync_pb2.Frame] = []
        self.journal_acks: list[sync_pb2.JournalAck] = []
        self.decision_acks: list[int] = []
        self.heartbeats = 0
        self.digests: list[bool] = []
        self.error: grpc.aio.AioRpcError | None = None
        self.silent = False
        self.answer: Callable[[sync_pb2.Frame], str] = lambda frame: ""
        self._outgoing: asyncio.Queue[sync_pb2.EdgeMessage | None] = asyncio.Queue()
        self._fresh: tuple[dict[bytes, bytes], dict[bytes, bytes]] | None = None

    @asynccontextmanager
    async def connected(
        self,
        address: str,
        *,
        upload: bool = True,
        key: str = EDGE_KEY,
        first: dict[str, Any] | None = None,
    ) -> AsyncIterator["Edge"]:
        """Keep a stream while the block runs."""
        self._outgoing = asyncio.Queue()
        self.error = None
        self.welcome = None
        metadata = (("authorization", f"Bearer {key}"),)
        task = asyncio.create_task(self._dial(address, metadata, first, upload))
        try:
            yield self
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def hello(self) -> sync_pb2.Hello:
        return sync_pb2.Hello(
            edge_id=self.edge_id,
            protocol=1,
            epoch=self.epoch,
            sequence=self.sequence,
            bundle_revision=self.bundle.revision if self.bundle else 0,
            bundle_hash=self.bundle.content_hash if self.bundle else "",
            journals={self.journal_id: len(self.journal)},
        )

    async def say(self, **message: object) -> None:
        await self._outgoing.put(sync_pb2.EdgeMessage(**message))  # type: ignore[arg-type]

    async def acknowledge(self, error: str = "") -> None:
        """Answer a frame."""
        await self.say(frame_ack=sync_pb2.FrameAck(sequence=self.sequence, error=error))

    async def append(self, *events: Event) -> int:
        """Journal events, and upload them unless Welcome will do so; returns the end position."""
        first = len(self.journal)
        self.journal += records_of(events)
        if self.welcome is not None:
            await self.upload(first)
        return len(self.journal)

    async def upload(self, first: int, last: int | None = None) -> None:
        """Send a piece of the journal."""
        last = len(self.journal) if last is None else last
        batch = sync_pb2.JournalBatch(
            journal_id=self.journal_id, first=first, last=last, records=self.journal[first:last]
        )
        await self.say(journal=batch)

    async def contained(self, position: int, seconds: float = 15.0) -> None:
        """Wait until a frame says that the journal is contained up to a position."""
        await until(
            lambda: self.watermark.get(self.journal_id, 0) >= position, f"watermark {position}", seconds
        )

    def record(self, who: str) -> bytes | None:
        profile_id = self.identifiers.get(person(who).hash)
        return None if profile_id is None else self.records.get(profile_id)

    def digest(self) -> tuple[int, int]:
        """(XOR of all entries' digests, their number)."""
        entries = [*self.records.items(), *self.identifiers.items()]
        total = 0
        for key, value in entries:
            total ^= entry_digest(key, value)
        return total, len(entries)

    async def _requests(self, first: dict[str, Any]) -> AsyncIterator[sync_pb2.EdgeMessage]:
        # Bound here: a call that has ended may still ask, and must not take what is said on the next one.
        outgoing = self._outgoing
        yield sync_pb2.EdgeMessage(**first)
        while (message := await outgoing.get()) is not None:
            yield message

    async def _dial(
        self,
        address: str,
        metadata: tuple[tuple[str, str]],
        first: dict[str, Any] | None,
        upload: bool,
    ) -> None:
        """Keep a stream; after the hub said it is not available, another one."""
        while True:
            async with grpc.aio.insecure_channel(address) as channel:
                self._fresh = None
                call = sync_pb2_grpc.SyncStub(channel).Stream(
                    self._requests(first or {"hello": self.hello()}), metadata=metadata
                )
                try:
                    async for message in call:
                        assert isinstance(message, sync_pb2.HubMessage)
                        await self._take(message, upload)
                except grpc.aio.AioRpcError as error:
                    self.error, self.welcome = error, None
                    if error.code() != grpc.StatusCode.UNAVAILABLE:
                        return
                    self._outgoing = asyncio.Queue()
                    await asyncio.sleep(REDIAL_SECONDS)
                finally:
                    call.cancel()

    async def _take(self, message: sync_pb2.HubMessage, upload: bool) -> None:
        match message.WhichOneof("message"):
            case "welcome":
                self.welcome = message.welcome
                self.acknowledged = message.welcome.acknowledged.get(self.journal_id, 0)
                if upload and self.acknowledged < len(self.journal):
                    await self.upload_rest()
            case "frame":
                await self._take_frame(message.frame)
            case "bundle":
                self.bundle = message.bundle
                ack = sync_pb2.BundleAck(revision=self.bundle.revision, content_hash=self.bundle.content_hash)
                await self.say(bundle_ack=ack)
            case "journal_ack":
                self.journal_acks.append(message.journal_ack)
                self.acknowledged = message.journal_ack.position
            case "decision_ack":
                self.decision_acks.append(message.decision_ack.batch)
            case "heartbeat":
                self.heartbeats += 1
            case "digest":
                self.digests.append(message.digest.differs)
                if not message.digest.differs:
                    digest, entries = self.digest()
                    report = sync_pb2.EdgeReport(
                        sequence=self.sequence, digest=digest, digest_entries=entries, counts={"workers": 2}
                    )
                    await self.say(report=report)

    async def upload_rest(self) -> None:
        """Send what the hub does not have, in pieces that end with a record."""
        from core.journal import iter_records

        first = last = self.acknowledged
        for end, _ in iter_records(self.journal[first:], first):
            if end - first > 60_000:
                await self.upload(first, last)
                first = last
            last = end
        if last > first:
            await self.upload(first, last)

    async def _take_frame(self, frame: sync_pb2.Frame) -> None:
        self.frames.append(frame)
        error = self.answer(frame) or self._fault(frame)
        if not error:
            self._apply(frame)
        # As an edge does: the end of a group or of a snapshot is answered, not its parts.
        part = frame.flags & FLAG_MORE or frame.flags & (FLAG_SNAPSHOT | FLAG_SNAPSHOT_END) == FLAG_SNAPSHOT
        if not self.silent and (error or not part):
            await self.acknowledge(error)

    def _fault(self, frame: sync_pb2.Frame) -> str:
        assert frame.edge_id == self.edge_id
        signed_bytes = frame_signing_bytes(
            frame.epoch, frame.edge_id, frame.first, frame.last, frame.flags, frame.watermark, frame.payload
        )
        SIGNING_KEY.public_key().verify(frame.signature, signed_bytes)
        if frame.flags & FLAG_SNAPSHOT:
            return ""
        if frame.epoch != self.epoch:
            return "epoch"
        if frame.first > self.sequence + 1:
            return "gap"
        return "overlap" if frame.first <= self.sequence or frame.last < frame.first else ""

    def _apply(self, frame: sync_pb2.Frame) -> None:
        records, identifiers = self.records, self.identifiers
        if frame.flags & FLAG_SNAPSHOT:
            self._fresh = self._fresh or ({}, {})
            records, identifiers = self._fresh
        for op, key, value in iter_entries(frame.payload):
            match op:
                case _ if op == PUT_RECORD:
                    records[key] = value
                case _ if op == DELETE_RECORD:
                    records.pop(key, None)
                case _ if op == PUT_IDENTIFIER:
                    identifiers[key] = value
                case _ if op == DELETE_IDENTIFIER:
                    identifiers.pop(key, None)
        if frame.flags & FLAG_SNAPSHOT and not frame.flags & FLAG_SNAPSHOT_END:
            return
        if frame.flags & FLAG_SNAPSHOT_END:
            self.records, self.identifiers = records, identifiers
            self._fresh = None
            self.watermark = {}
        self.epoch = frame.epoch
        self.sequence = frame.last
        if not frame.flags & FLAG_MORE:
            self.watermark.update(frame.watermark)
