"""A hundred thousand people due at once: advanced in time, with progress shown; a hub that died goes on."""

import asyncio
import contextlib
import time
from pathlib import Path

import structlog

from benchmarks.outbound import crowd
from hub.delivery.plane import Delivery
from hub.delivery.runner import AT_ONCE
from hub.store import outbox
from tests.hub.asyncs import run_async, until

PEOPLE = 100_000
#: Of the processor: what the clock on the wall would show too, were the machine not shared with other work.
SECONDS_MAX = 20.0
WAIT_SECONDS = 120.0


@run_async
async def test_a_hundred_thousand_due_people_are_advanced_by_a_hub_and_its_successor(tmp_path: Path) -> None:
    with crowd(tmp_path, PEOPLE) as people, structlog.testing.capture_logs() as logs:
        first = people.delivery({}, {})
        people.all_due()
        spent = await advance(first, PEOPLE // 3, dies=True)
        second = people.delivery({}, {})
        spent += await advance(second, PEOPLE - PEOPLE // 3 - AT_ONCE, dies=False)
        await until(lambda: second.counts().get("journeys.due", 1) == 0, "nobody due", WAIT_SECONDS)
        await second.stop()
        assert spent < SECONDS_MAX, f"{spent:.1f} s"
        counts = await people.store.read(outbox.counts)
        assert counts == {"queued": PEOPLE}
        told = [one for one in logs if one["event"] == "journeys advance"]
        assert len(told) >= 3
        assert all(one["people_per_second"] > 0 for one in told)
        assert [one["due"] for one in told] == sorted((one["due"] for one in told), reverse=True)


async def advance(delivery: Delivery, count: int, *, dies: bool) -> float:
    """Let a hub run until it has advanced so many; one that dies does so in the middle of the next ones."""
    began = time.process_time()
    if not dies:
        await delivery.start()
        await until(lambda: delivery.runner.advanced >= count, f"{count} people", WAIT_SECONDS)
        return time.process_time() - began
    running = asyncio.create_task(delivery.runner.run())
    await until(lambda: delivery.runner.advanced >= count, f"{count} people", WAIT_SECONDS)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    return time.process_time() - began
