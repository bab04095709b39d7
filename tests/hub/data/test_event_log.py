"""The event log on a real JetStream: order, duplicates, limits, and servers that come and go."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hub.data import event_log
from hub.data.event_log import Batch, EventLog, LogMessage, StreamReplacedError
from hub.data.log_server import LogServer
from hub.errors import UnavailableError
from tests.hub.asyncs import run_async, until

JOURNAL = "ab" * 16


@asynccontextmanager
async def log_in(folder: Path, *, bytes_max: int = event_log.BYTES_MAX) -> AsyncIterator[EventLog]:
    log = EventLog(folder, bytes_max=bytes_max)
    await log.start()
    try:
        yield log
    finally:
        await log.stop()


def batch(first: int, size: int = 10, journal: str = JOURNAL) -> Batch:
    return Batch("eu", journal, first, first + size, bytes([first % 251]) * size)


async def take(log: EventLog, count: int, after: int = 0) -> list[LogMessage]:
    taken: list[LogMessage] = []
    async with asyncio.timeout(15):
        async for messages in log.read(log.stream_id, after):
            taken += messages
            if len(taken) >= count:
                break
    return taken


@run_async
async def test_what_was_published_is_read_in_order_with_its_place(tmp_path: Path) -> None:
    async with log_in(tmp_path) as log:
        sent = [batch(n * 10) for n in range(100)]
        for one in sent:
            await log.publish(one)
        read = await take(log, 100)
        assert [message.batch for message in read] == sent
        assert [message.sequence for message in read] == list(range(1, 101))
        assert all(message.stored_ms > 1_700_000_000_000 for message in read)
        assert [message.sequence for message in await take(log, 3, after=97)] == [98, 99, 100]


@run_async
async def test_the_same_batch_again_is_one_batch(tmp_path: Path) -> None:
    async with log_in(tmp_path) as log:
        for _ in range(3):
            await log.publish(batch(0))
        assert await log.size() == (1, (await log.size())[1])


@run_async
async def test_the_log_knows_how_far_it_holds_each_journal(tmp_path: Path) -> None:
    async with log_in(tmp_path) as log:
        await log.publish(batch(0))
        await log.publish(batch(10))
        await log.publish(batch(0, journal="cd" * 16))
        assert await log.acknowledged(JOURNAL) == 20
        assert await log.acknowledged("cd" * 16) == 10
        assert await log.acknowledged("ef" * 16) == 0


@run_async
async def test_a_restart_keeps_log_and_numbers(tmp_path: Path) -> None:
    async with log_in(tmp_path) as log:
        await log.publish(batch(0))
        stream_id = log.stream_id
    async with log_in(tmp_path) as log:
        assert log.stream_id == stream_id
        await log.publish(batch(10))
        assert [message.sequence for message in await take(log, 2)] == [1, 2]


@run_async
async def test_reading_goes_on_behind_a_server_that_was_killed(tmp_path: Path) -> None:
    async with log_in(tmp_path) as log:
        taken: list[int] = []

        async def read() -> None:
            async for messages in log.read(log.stream_id, 0):
                taken.extend(message.sequence for message in messages)

        reader = asyncio.create_task(read())
        for n in range(30):
            if n in (10, 20):
                os.kill(log.server_pid, signal.SIGKILL)
            await log.publish(batch(n * 10))
        await until(lambda: len(taken) >= 30, "every message")
        reader.cancel()
        assert taken == list(range(1, 31))
        assert log.restarts == 2


@run_async
async def test_a_wiped_log_is_another_stream(tmp_path: Path) -> None:
    async with log_in(tmp_path) as log:
        await log.publish(batch(0))
        former = log.stream_id
        shutil.rmtree(tmp_path / "store")
        os.kill(log.server_pid, signal.SIGKILL)
        await until(lambda: log.stream_id != former, "the new stream")
        with pytest.raises(StreamReplacedError):
            await log.publish(batch(10), former)
        with pytest.raises(StreamReplacedError):
            await anext(aiter(log.read(former, 1)))
        assert await log.acknowledged(JOURNAL) == 0


async def fill(log: EventLog) -> int:
    """Publish until the log refuses; returns how many it took."""
    for n in range(10):
        try:
            await log.publish(batch(n * 20_000, 20_000))
        except UnavailableError:
            return n
    raise AssertionError("a log without a limit")


@run_async
async def test_a_full_log_refuses_and_keeps_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_log, "PATIENCE_SECONDS", 0.2)
    async with log_in(tmp_path, bytes_max=100_000) as log:
        sent = await fill(log)
        assert 2 <= sent <= 5
        with pytest.raises(UnavailableError, match="the event log's answer"):
            await log.publish(batch(sent * 20_000, 20_000))
        assert [message.batch.first for message in await take(log, sent)] == [n * 20_000 for n in range(sent)]
        await log.forget(sent, 1 << 42)
        await log.publish(batch(sent * 20_000, 20_000))


@run_async
async def test_one_folder_has_one_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.data.log_server.LOCK_SECONDS_MAX", 0.2)
    async with log_in(tmp_path):
        with pytest.raises(UnavailableError, match="another event log that runs there"):
            await LogServer(tmp_path).start()


@run_async
async def test_a_log_elsewhere_is_used_by_its_address(tmp_path: Path) -> None:
    server = LogServer(tmp_path)
    address, token = await server.start()
    log = EventLog(tmp_path / "unused", address.replace("nats://", f"nats://{token}@"))
    try:
        await log.start()
        await log.publish(batch(0))
        assert [message.batch for message in await take(log, 1)] == [batch(0)]
        assert not (tmp_path / "unused").exists()
    finally:
        await log.stop()
        await server.stop()


@run_async
async def test_nobody_without_the_token_gets_in(tmp_path: Path) -> None:
    server = LogServer(tmp_path)
    address, _ = await server.start()
    try:
        host, _, port = address.removeprefix("nats://").partition(":")
        assert host == "127.0.0.1"
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"CONNECT {}\r\nPING\r\n")
        said = await asyncio.wait_for(reader.read(-1), 10)
        writer.close()
        await writer.wait_closed()
        assert b"Authorization Violation" in said
        assert b"PONG" not in said
        assert (tmp_path / "nats.conf").stat().st_mode & 0o077 == 0
    finally:
        await server.stop()
