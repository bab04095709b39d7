"""Tasks that must not end by themselves."""

import asyncio

import pytest
from structlog.testing import capture_logs

from hub.data.tasks import SteadyTask, end
from hub.errors import UnavailableError
from tests.hub.asyncs import run_async, until


@run_async
async def test_work_that_fails_is_begun_again_and_told_without_its_text() -> None:
    calls: list[int] = []

    async def work() -> None:
        calls.append(1)
        if len(calls) < 3:
            raise ValueError("ada@example.com")
        await asyncio.Event().wait()

    with capture_logs() as logs:
        task = SteadyTask("work", work)
        task.start()
        await until(lambda: len(calls) == 3, "the third attempt")
        await task.stop()
    assert task.failures == 2
    assert [entry["error"] for entry in logs] == ["ValueError", "ValueError"]
    assert "ada" not in str(logs)
    assert "test_tasks.py" in str(logs[0]["at"])


@run_async
async def test_pauses_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[int] = []

    async def pause(attempt: int) -> None:
        pauses.append(attempt)
        await asyncio.sleep(0)

    monkeypatch.setattr("hub.data.tasks.pause", pause)

    async def work() -> None:
        raise UnavailableError(expected="a store", got="none")

    task = SteadyTask("work", work)
    task.start()
    await until(lambda: len(pauses) >= 4, "four attempts")
    await task.stop()
    assert pauses[:4] == [1, 2, 3, 4]


@run_async
async def test_a_cancellation_that_comes_with_a_result_ends_the_task_all_the_same() -> None:
    wake, woken = asyncio.Event(), 0

    async def work() -> None:
        nonlocal woken
        while True:
            await asyncio.wait_for(wake.wait(), 60)  # as nats-py waits for its answers
            wake.clear()
            woken += 1

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    wake.set()
    await asyncio.sleep(0)  # the inner wait has its result, the outer one does not know yet
    async with asyncio.timeout(10):
        await end(task)
    assert task.cancelled()
    assert woken <= 1
