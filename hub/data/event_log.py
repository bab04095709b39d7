"""The event log: batches of events in NATS JetStream, in one order for everybody.

A batch is acknowledged to its sender when JetStream has it on disk. The reader keeps its own place in SQL, in
the transaction that applies a batch; so the log redelivers nothing and nothing comes out of order, which
journal positions rely on. The log forgets only what the reader says is contained.
"""

import asyncio
import contextlib
import json
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import nats
import nats.errors
import nats.js.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import api
from nats.js.client import JetStreamContext

from core.journal import BODY_BYTES_MAX, RECORD_OVERHEAD
from hub.data.log_server import LogServer
from hub.data.tasks import STEADY_SECONDS, end, pause
from hub.errors import UnavailableError

STREAM: Final = "ONEVOICE_EVENTS"
SUBJECT: Final = "onevoice.events"
#: A batch holds at least one record, however large that one may be.
BATCH_BYTES_MAX: Final = BODY_BYTES_MAX + RECORD_OVERHEAD
BYTES_MAX: Final = 16 * 1024**3
#: A batch that the hub itself sends again (its first answer was lost) is recognised for this long.
DUPLICATE_WINDOW_SECONDS: Final = 600
ANSWER_SECONDS: Final = 2.0
#: How long a caller waits for a log that is being started again.
PATIENCE_SECONDS: Final = 10.0
CONNECT_SECONDS_MAX: Final = 15.0
PULL_MESSAGES: Final = 32
PULL_SECONDS: Final = 5.0
PULL_GRACE_SECONDS: Final = 2.0
CONSUMER_IDLE_SECONDS: Final = 60.0
#: One micro-batch: large enough to share a commit, small enough that a live event behind it waits little.
READ_BYTES_MAX: Final = 256 * 1024

_EDGE, _FIRST, _LAST = "Onevoice-Edge", "Onevoice-First", "Onevoice-Last"
_LOST: Final = (nats.errors.Error, nats.js.errors.Error, TimeoutError, OSError)

T = TypeVar("T")

log = structlog.get_logger(__name__)


class Batch(NamedTuple):
    """Journal records as they stand in the file: what an edge sends, and one message of the log."""

    edge_id: str
    journal_id: str
    first: int
    last: int
    records: bytes

    @property
    def id(self) -> str:
        """Two batches of one id are one batch."""
        return f"{self.journal_id}:{self.first}-{self.last}"


class LogMessage(NamedTuple):
    """A batch, with its number in the log and the time it was stored."""

    sequence: int
    stored_ms: int
    batch: Batch


class StreamReplacedError(UnavailableError):
    """The log is another one than the reader's place belongs to."""


class EventLog:
    """Publishes and reads batches; starts its server again when that dies."""

    def __init__(self, folder: Path, url: str = "", *, bytes_max: int = BYTES_MAX) -> None:
        """`url`: a NATS system to use; without one the log runs its own server in `folder`."""
        self._server = None if url else LogServer(folder)
        self._url = url
        self._bytes_max = bytes_max
        self._client: Client | None = None
        self._connected = asyncio.Event()
        self._watcher: asyncio.Task[None] | None = None
        self._consumer: _Consumer | None = None
        self.stream_id = ""
        #: Number of the newest message that this process has published.
        self.last_sequence = 0
        self.restarts = 0

    async def start(self) -> None:
        """Start the server if it is our own, connect, and make the stream."""
        await self._open()
        if self._server is not None:
            self._watcher = asyncio.create_task(self._keep_alive(), name="event-log-watcher")

    async def stop(self) -> None:
        if self._watcher is not None:
            await end(self._watcher)
        await self._disconnect()
        if self._server is not None:
            await self._server.stop()

    @property
    def server_pid(self) -> int:
        """Process id of our own server."""
        assert self._server is not None
        return self._server.pid

    async def publish(self, batch: Batch, stream_id: str = "") -> None:
        """Append a batch; returns once it is on the log's disk.

        Who sends for one journal waits for each batch before the next, so a journal is in order in the log.
        `stream_id`: the stream that holds what came before this batch.

        Raises
        ------
        StreamReplacedError
            There is another stream now, which lacks what came before.
        UnavailableError
            The log could not be reached for some seconds; whether the batch is in is not known.
        """
        assert len(batch.records) <= BATCH_BYTES_MAX
        headers = {
            api.Header.MSG_ID.value: batch.id,
            _EDGE: batch.edge_id,
            _FIRST: str(batch.first),
            _LAST: str(batch.last),
        }

        async def send(client: Client) -> int:
            self._expect(stream_id)
            subject = f"{SUBJECT}.{batch.journal_id}"
            answer = await client.jetstream().publish(
                subject, batch.records, timeout=ANSWER_SECONDS, stream=STREAM, headers=headers
            )
            return answer.seq

        self.last_sequence = max(self.last_sequence, await self._ask(send))

    async def acknowledged(self, journal_id: str) -> int:
        """Position up to which the log holds a journal; 0 if it holds nothing of it."""

        async def last(client: Client) -> int:
            try:
                message = await client.jetstream().get_last_msg(STREAM, f"{SUBJECT}.{journal_id}")
            except nats.js.errors.NotFoundError:
                return 0
            return int((message.headers or {}).get(_LAST, 0))

        return await self._ask(last)

    async def read(self, stream_id: str, after: int) -> AsyncIterator[list[LogMessage]]:
        """Messages behind number `after` of the stream called `stream_id`, for ever, some at a time.

        Raises
        ------
        StreamReplacedError
            There is another stream now: the reader has to begin at its start.
        """
        attempt = 0
        while True:
            await self._connected.wait()
            self._expect(stream_id)
            try:
                async with contextlib.aclosing(self._pull(after)) as messages:
                    async for some in messages:
                        yield some
                        after, attempt = some[-1].sequence, 0
            except _LOST as error:
                log.warning("event log reading interrupted", error=type(error).__name__)
                attempt += 1
                await pause(attempt)

    async def forget(self, up_to: int, before_ms: int) -> int:
        """Delete messages numbered up to `up_to` and stored before a time; returns the first one kept."""

        async def purge(client: Client) -> int:
            keep = min(up_to + 1, await _first_since(client, before_ms))
            if keep > 1:
                # `seq` purges everything below it.
                await client.jetstream().purge_stream(STREAM, seq=keep)
            return keep

        return await self._ask(purge)

    async def size(self) -> tuple[int, int]:
        """(last number, bytes) of the stream."""
        return await self._ask(_size)

    async def _ask(self, work: Callable[[Client], Awaitable[T]]) -> T:
        """Do something on the connection; as it may be lost at any moment, again until there is an answer."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                    await self._connected.wait()
                assert self._client is not None
                return await work(self._client)
            except _LOST as error:
                if time.monotonic() > deadline:
                    expected = "the event log's answer"
                    raise UnavailableError(expected=expected, got=type(error).__name__) from error
                await pause(1)

    def _expect(self, stream_id: str) -> None:
        if stream_id and self.stream_id != stream_id:
            raise StreamReplacedError(expected=f"event stream {stream_id}", got=self.stream_id)

    async def _open(self) -> None:
        url, token = self._url, None
        if self._server is not None:
            url, token = await self._server.start()
        self._client = await nats.connect(
            url,
            token=token,
            name="onevoice-hub",
            connect_timeout=int(CONNECT_SECONDS_MAX),
            # Our own server comes back on another port: `_keep_alive` then opens a new connection.
            allow_reconnect=self._server is None,
            max_reconnect_attempts=-1,
            error_cb=_log_error,
            disconnected_cb=self._pause,
            reconnected_cb=self._come_back,
        )
        await self._settle()

    async def _settle(self) -> None:
        """Know which stream this is, and forget the numbers of another."""
        assert self._client is not None
        former = self.stream_id
        self.stream_id = await _prepare_stream(self._client.jetstream(), self._bytes_max)
        if former not in ("", self.stream_id):
            self.last_sequence = 0
        self._connected.set()

    async def _come_back(self) -> None:
        """A log elsewhere is there again: it may be another one, and may take a while to answer."""
        attempt = 0
        while True:
            try:
                await self._settle()
                return
            except _LOST as error:
                log.warning("event log not ready", error=type(error).__name__)
                attempt += 1
                await pause(attempt)

    async def _pause(self) -> None:
        self._connected.clear()

    async def _disconnect(self) -> None:
        self._connected.clear()
        client, self._client = self._client, None
        if self._consumer is not None:
            self._consumer.abandon()
        if client is not None:
            with contextlib.suppress(*_LOST):
                await client.close()

    async def _keep_alive(self) -> None:
        assert self._server is not None
        attempt = 0
        while True:
            began = time.monotonic()
            status = await self._server.wait()
            attempt = 0 if time.monotonic() - began > STEADY_SECONDS else attempt + 1
            self.restarts += 1
            log.error("event log server ended; starting it again", status=status)
            await self._disconnect()
            if attempt:
                await pause(attempt)
            try:
                await self._open()
            except (UnavailableError, *_LOST) as error:
                log.error("event log server did not start", error=str(error))
                # One that runs and does not answer is no better: `wait` must come back.
                await self._disconnect()
                self._server.kill()

    async def _pull(self, after: int) -> AsyncGenerator[list[LogMessage], None]:
        client = self._client
        assert client is not None
        consumer = self._consumer = _Consumer(client)
        await consumer.open(after)
        try:
            while True:
                yield await consumer.next()
        finally:
            with contextlib.suppress(*_LOST):
                await consumer.close()


class _Consumer:
    """A reader's place in the server, new for each connection: deliveries are numbered, none may lack."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._jetstream = client.jetstream()
        self._name = ""
        self._inbox = client.new_inbox()
        self._arrived: deque[Msg] = deque()
        self._wake = asyncio.Event()
        self._wanted = 0
        self._delivered = 0
        self._abandoned = False

    async def open(self, after: int) -> None:
        config = api.ConsumerConfig(
            deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=after + 1,
            ack_policy=api.AckPolicy.NONE,
            inactive_threshold=CONSUMER_IDLE_SECONDS,
            mem_storage=True,
            num_replicas=1,
        )
        self._subscription = await self._client.subscribe(self._inbox, cb=self._take)
        self._name = (await self._jetstream.add_consumer(STREAM, config)).name

    def abandon(self) -> None:
        """The connection is gone: whoever waits in `next` hears it at once."""
        self._abandoned = True
        self._wake.set()

    async def close(self) -> None:
        await self._subscription.unsubscribe()
        await self._jetstream.delete_consumer(STREAM, self._name)

    async def next(self) -> list[LogMessage]:
        """What has arrived, at least one message and at most a micro-batch."""
        while not self._arrived:
            if self._wanted <= PULL_MESSAGES // 2:
                await self._ask()
            self._wake.clear()
            async with asyncio.timeout(PULL_SECONDS + PULL_GRACE_SECONDS):
                await self._wake.wait()
            if self._abandoned:
                raise nats.errors.ConnectionClosedError
        taken, size = [], 0
        while self._arrived and size < READ_BYTES_MAX:
            message = self._arrived.popleft()
            size += len(message.data)
            taken.append(self._decode(message))
        if self._wanted <= PULL_MESSAGES // 2:
            await self._ask()
        return taken

    async def _ask(self) -> None:
        request = {"batch": PULL_MESSAGES, "expires": int(PULL_SECONDS * 1e9)}
        self._wanted += PULL_MESSAGES
        await self._client.publish(
            f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{self._name}",
            json.dumps(request).encode(),
            reply=self._inbox,
        )

    async def _take(self, message: Msg) -> None:
        status = (message.headers or {}).get(api.Header.STATUS.value)
        if status is None:
            self._wanted -= 1
            self._arrived.append(message)
        else:
            # The end of one request, with how much of it was not used; anything else ends all requests.
            left = (message.headers or {}).get("Nats-Pending-Messages")
            self._wanted = max(0, self._wanted - int(left)) if left is not None else 0
        self._wake.set()

    def _decode(self, message: Msg) -> LogMessage:
        metadata = message.metadata
        self._delivered += 1
        if metadata.sequence.consumer != self._delivered:
            raise nats.errors.Error(f"delivery {self._delivered} lost")
        headers = message.headers or {}
        batch = Batch(
            headers.get(_EDGE, ""),
            message.subject.rpartition(".")[2],
            int(headers.get(_FIRST, 0)),
            int(headers.get(_LAST, 0)),
            message.data,
        )
        return LogMessage(metadata.sequence.stream, round(metadata.timestamp.timestamp() * 1000), batch)


async def _prepare_stream(jetstream: JetStreamContext, bytes_max: int) -> str:
    """Make the stream, or bring its limits up to date; its time of creation tells one log from another."""
    config = api.StreamConfig(
        name=STREAM,
        subjects=[f"{SUBJECT}.*"],
        storage=api.StorageType.FILE,
        retention=api.RetentionPolicy.LIMITS,
        # Full: new batches are refused and wait in the journals. The server never drops what was not read.
        discard=api.DiscardPolicy.NEW,
        max_bytes=bytes_max,
        duplicate_window=DUPLICATE_WINDOW_SECONDS,
    )
    try:
        info = await jetstream.update_stream(config)
    except nats.js.errors.NotFoundError:
        info = await jetstream.add_stream(config)
    created: Any = info.created
    return created.isoformat() if isinstance(created, datetime) else str(created)


async def _size(client: Client) -> tuple[int, int]:
    state = (await client.jetstream().stream_info(STREAM)).state
    return state.last_seq, state.bytes


async def _first_since(client: Client, at_ms: int) -> int:
    moment = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat()
    request = json.dumps({"start_time": moment}).encode()
    answer = json.loads((await client.request(f"$JS.API.STREAM.MSG.GET.{STREAM}", request)).data)
    if "message" in answer:
        return int(answer["message"]["seq"])
    return (await _size(client))[0] + 1


async def _log_error(error: Exception) -> None:
    log.warning("event log connection", error=type(error).__name__)
