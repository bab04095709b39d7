"""The gRPC service of the edges: one stream an edge, the newest wins (protos/onevoice/v1/sync.proto)."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, cast

import grpc
import structlog

from hub.data.changes import Changes
from hub.data.event_log import EventLog
from hub.decisioning.bundles import BundleSource
from hub.errors import InvalidError, LimitError, PreconditionError
from hub.store import journal_positions
from hub.store.engine import Store
from hub.sync.fleet import Fleet
from hub.sync.frames import Frames
from hub.sync.journals import JournalIntake
from hub.sync.stream import SCRUB_SECONDS, EdgeGoneError, EdgeStream, ReplacedError
from onevoice.v1 import sync_pb2, sync_pb2_grpc

PROTOCOL: Final = 1
HELLO_SECONDS: Final = 10.0
EDGE_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

Requests = AsyncIterator[sync_pb2.EdgeMessage]
log = structlog.get_logger(__name__)


class SyncService(sync_pb2_grpc.SyncServicer):
    """Serves `Sync.Stream`. Callers are checked before: only an edge's key reaches it."""

    def __init__(
        self,
        *,
        store: Store,
        event_log: EventLog,
        changes: Changes,
        frames: Frames,
        bundles: BundleSource,
        fleet: Fleet,
        signing_public: bytes,
        sealing_public: bytes,
        clock: Callable[[], int],
        scrub_seconds: float = SCRUB_SECONDS,
    ) -> None:
        self._store = store
        self._log = event_log
        self._changes = changes
        self._frames = frames
        self._bundles = bundles
        self._fleet = fleet
        self._signing_public = signing_public
        self._sealing_public = sealing_public
        self._clock = clock
        self._scrub_seconds = scrub_seconds
        self._streams: dict[str, EdgeStream] = {}
        self._closing: dict[str, asyncio.Task[None]] = {}

    async def Stream(  # noqa: N802
        self, request_iterator: Requests, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[sync_pb2.HubMessage]:
        hello = await _hello(request_iterator)
        if not self._fleet.knows(hello.edge_id):
            raise LimitError(expected="one of the known edges", got="one more than the fleet may have")
        await self._end_former(hello.edge_id)
        journals = JournalIntake(self._log, hello.edge_id)
        status = self._fleet.edge(hello.edge_id)
        stream = EdgeStream(
            store=self._store,
            changes=self._changes,
            frames=self._frames,
            bundles=self._bundles,
            journals=journals,
            status=status,
            clock=self._clock,
            scrub_seconds=self._scrub_seconds,
        )
        self._streams[hello.edge_id] = stream
        status.connected = True
        # An edge that dies leaves this generator where it is, at a `yield`: only the call itself knows.
        # (The stubs take the callback's type for a class.)
        context.add_done_callback(cast(Any, lambda _: self._gone(hello.edge_id, stream)))
        log.info("edge connected", edge=hello.edge_id, sequence=hello.sequence)
        try:
            await self._changes.refresh()
            positions = await self._store.read(journal_positions.read)
            acknowledged = await journals.begin(hello.journals, positions.get(hello.edge_id, {}))
            stream.begin(hello)
            yield self._welcome(acknowledged)
            async with contextlib.aclosing(stream.run(request_iterator)) as messages:
                async for message in messages:
                    yield message
        finally:
            self._gone(hello.edge_id, stream)

    def end_all(self, error: Exception) -> None:
        """End every stream: the hub stops, or each edge must say anew where its journals are."""
        for stream in tuple(self._streams.values()):
            stream.end(error)

    def _gone(self, edge_id: str, stream: EdgeStream) -> None:
        """Note that a stream has ended, once."""
        if self._streams.get(edge_id) is not stream:
            return
        del self._streams[edge_id]
        status = self._fleet.edge(edge_id)
        status.connected = False
        status.last_seen_ms = self._clock()
        log.info("edge disconnected", edge=edge_id, sequence=status.sequence)
        stream.end(EdgeGoneError())
        self._closing[edge_id] = asyncio.create_task(stream.close())

    async def _end_former(self, edge_id: str) -> None:
        """End the edge's other stream and wait until its last batch is in the log or is not."""
        former = self._streams.pop(edge_id, None)
        if former is not None:
            former.end(ReplacedError(expected="one stream of an edge", got="a newer one of the same edge"))
            await former.close()
        if edge_id in self._closing:
            await self._closing.pop(edge_id)

    def _welcome(self, acknowledged: dict[str, int]) -> sync_pb2.HubMessage:
        return sync_pb2.HubMessage(
            welcome=sync_pb2.Welcome(
                epoch=self._changes.epoch,
                hub_time_ms=self._clock(),
                signing_key=self._signing_public,
                sealing_key=self._sealing_public,
                acknowledged=acknowledged,
            )
        )


async def _hello(requests: Requests) -> sync_pb2.Hello:
    try:
        async with asyncio.timeout(HELLO_SECONDS):
            request = await anext(requests, None)
    except TimeoutError as error:
        raise InvalidError(expected=f"Hello within {HELLO_SECONDS:.0f} s", got="nothing") from error
    kind = None if request is None else request.WhichOneof("message")
    if request is None or kind != "hello":
        raise InvalidError(expected="Hello first", got=str(kind), path="message")
    hello = request.hello
    if hello.protocol != PROTOCOL:
        raise PreconditionError(
            expected=f"protocol {PROTOCOL}", got=str(hello.protocol), path="hello.protocol"
        )
    if not EDGE_ID.fullmatch(hello.edge_id):
        raise InvalidError(expected=EDGE_ID.pattern, got="another form", path="hello.edge_id")
    return hello
