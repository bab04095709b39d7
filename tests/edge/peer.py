"""The other end of an edge's stream: a gRPC server that speaks the hub's side by the test's orders.

The real hub is in tests/hub and tests/story; here a test must be able to say the wrong thing at the right
moment.
"""

import asyncio
import queue
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

import grpc

from core.bundle import content_hash
from core.events import Event, decode_event
from core.frame import Entry, frame_signing_bytes, pack_entries
from core.journal import iter_records
from edge.bundles import SignedBundle
from onevoice.v1 import sync_pb2, sync_pb2_grpc
from tests.edge.fleet import EDGE, SEALING_KEY, SIGNING_KEY

T = TypeVar("T")
WAIT_SECONDS = 20.0


class HubPeer(sync_pb2_grpc.SyncServicer):
    """Collects what an edge says; says what the test wants."""

    def __init__(self) -> None:
        self.hellos: list[sync_pb2.Hello] = []
        self.journals: dict[str, bytes] = {}
        self.frame_acks: queue.Queue[sync_pb2.FrameAck] = queue.Queue()
        self.bundle_acks: queue.Queue[sync_pb2.BundleAck] = queue.Queue()
        self.reports: queue.Queue[sync_pb2.EdgeReport] = queue.Queue()
        self.rows: list[tuple[int, bytes]] = []
        self.epoch = "e1"
        self.signing_key = SIGNING_KEY.public_key().public_bytes_raw()
        self.sealing_key = SEALING_KEY.public_key().public_bytes_raw()
        self.acknowledges = True
        self.port = 0
        self._outbox: asyncio.Queue[sync_pb2.HubMessage | None] | None = None
        self._loop = asyncio.new_event_loop()
        self._server: Any = None
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    # ---- The test's side

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> "HubPeer":
        self._do(self._start())
        return self

    def stop(self) -> None:
        """Go away, as a stopped hub does; `start` comes back on the same port."""
        self._do(self._stop())

    def close(self) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def send(self, **message: Any) -> None:
        """Say something on the current stream."""
        self.until(lambda: self._outbox is not None)
        assert self._outbox is not None
        self._loop.call_soon_threadsafe(self._outbox.put_nowait, sync_pb2.HubMessage(**message))

    def hang_up(self) -> None:
        """End the current stream."""
        assert self._outbox is not None
        self._loop.call_soon_threadsafe(self._outbox.put_nowait, None)

    def send_frame(
        self,
        first: int,
        last: int,
        *entries: Entry,
        flags: int = 0,
        p: dict[str, int] | None = None,
        **wrong: Any,
    ) -> None:
        """A signed frame; `wrong` replaces fields after signing."""
        fields: dict[str, Any] = {
            "epoch": self.epoch,
            "edge_id": "eu",
            "first": first,
            "last": last,
            "flags": flags,
            "watermark": p or {},
            "payload": pack_entries(entries),
        }
        signed = {**fields, **{name: value for name, value in wrong.items() if name in ("epoch", "edge_id")}}
        signature = SIGNING_KEY.sign(frame_signing_bytes(**signed))
        self.send(frame=sync_pb2.Frame(**{**fields, "signature": signature, "hub_time_ms": 1, **wrong}))

    def send_bundle(self, bundle: SignedBundle, **wrong: Any) -> None:
        approvals = [
            sync_pb2.BundleApproval(user=user, role=role, at_ms=at_ms)
            for user, role, at_ms in bundle.approvals
        ]
        fields = {
            "revision": bundle.revision,
            "content_hash": content_hash(bundle.content),
            "approvals": approvals,
            "signature": bundle.signature,
            "content": bundle.content,
            **wrong,
        }
        self.send(bundle=sync_pb2.Bundle(**fields))

    def frame_ack(self) -> sync_pb2.FrameAck:
        return self.frame_acks.get(timeout=WAIT_SECONDS)

    def bundle_ack(self) -> sync_pb2.BundleAck:
        return self.bundle_acks.get(timeout=WAIT_SECONDS)

    def events(self) -> list[Event]:
        """Every event that was uploaded, journal by journal."""
        return [decode_event(body) for data in self.journals.values() for _, body in iter_records(data)]

    def positions(self) -> dict[str, int]:
        """How much of each journal is here."""
        return {journal_id: len(data) for journal_id, data in self.journals.items()}

    @staticmethod
    def until(condition: Callable[[], T]) -> T:
        deadline = time.monotonic() + WAIT_SECONDS
        while not (found := condition()):
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.005)
        return found

    # ---- The server's side

    async def _start(self) -> None:
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        sync_pb2_grpc.add_SyncServicer_to_server(self, self._server)
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
                break
            except RuntimeError:
                assert time.monotonic() < deadline, "port stays in use"
                await asyncio.sleep(0.05)
        await self._server.start()

    async def _stop(self) -> None:
        self._outbox = None
        await self._server.stop(None)

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT_SECONDS + 5)

    async def Stream(
        self, request_iterator: AsyncIterator[sync_pb2.EdgeMessage], context: Any
    ) -> AsyncIterator[sync_pb2.HubMessage]:
        metadata = dict(context.invocation_metadata())
        if metadata.get("authorization") != f"Bearer {EDGE}":
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "who is this?")
        hello = (await anext(aiter(request_iterator))).hello
        self.hellos.append(hello)
        outbox: asyncio.Queue[sync_pb2.HubMessage | None] = asyncio.Queue()
        acknowledged = {name: len(self.journals.get(name, b"")) for name in hello.journals}
        yield sync_pb2.HubMessage(
            welcome=sync_pb2.Welcome(
                epoch=self.epoch,
                hub_time_ms=1,
                signing_key=self.signing_key,
                sealing_key=self.sealing_key,
                acknowledged=acknowledged,
            )
        )
        self._outbox = outbox
        reading = asyncio.create_task(self._read(request_iterator, outbox))
        beating = asyncio.create_task(self._beat(outbox))
        try:
            while (message := await outbox.get()) is not None:
                yield message
        finally:
            reading.cancel()
            beating.cancel()

    async def _beat(self, outbox: "asyncio.Queue[sync_pb2.HubMessage | None]") -> None:
        while True:
            await asyncio.sleep(0.5)
            await outbox.put(sync_pb2.HubMessage(heartbeat=sync_pb2.Heartbeat(hub_time_ms=1)))

    async def _read(
        self,
        requests: AsyncIterator[sync_pb2.EdgeMessage],
        outbox: "asyncio.Queue[sync_pb2.HubMessage | None]",
    ) -> None:
        async for request in requests:
            match request.WhichOneof("message"):
                case "journal" if self.acknowledges:
                    await outbox.put(sync_pb2.HubMessage(journal_ack=self._log(request.journal)))
                case "frame_ack":
                    self.frame_acks.put(request.frame_ack)
                case "bundle_ack":
                    self.bundle_acks.put(request.bundle_ack)
                case "decisions":
                    self.rows.append((request.decisions.batch, request.decisions.rows))
                    ack = sync_pb2.DecisionAck(batch=request.decisions.batch)
                    await outbox.put(sync_pb2.HubMessage(decision_ack=ack))
                case "report":
                    self.reports.put(request.report)
        await outbox.put(None)

    def _log(self, batch: sync_pb2.JournalBatch) -> sync_pb2.JournalAck:
        """The hub's own rule: what is known already is acknowledged, a gap is refused."""
        held = self.journals.setdefault(batch.journal_id, b"")
        if batch.first == len(held):
            assert [end for end, _ in iter_records(batch.records, batch.first)][-1] == batch.last
            self.journals[batch.journal_id] = held + batch.records
        error = "gap" if batch.first > len(held) else ""
        position = len(self.journals[batch.journal_id])
        return sync_pb2.JournalAck(journal_id=batch.journal_id, position=position, error=error)
