"""Tasks that must not end by themselves: what fails is told without personal data, and begun again."""

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog

from hub.errors import UnavailableError

PAUSE_SECONDS: Final = (0.05, 0.2, 1.0, 5.0)
#: Work that went on for this long starts the pauses anew.
STEADY_SECONDS: Final = 30.0
FRAMES_TOLD_MAX: Final = 8
CANCEL_AGAIN_SECONDS: Final = 0.5

log = structlog.get_logger(__name__)


class SteadyTask:
    """Runs `work` for ever, again after each failure."""

    def __init__(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        self._name = name
        self._work = work
        self._task: asyncio.Task[None] | None = None
        self.failures = 0

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=self._name)

    async def stop(self) -> None:
        """Cancel, and wait for the end."""
        if self._task is not None:
            await end(self._task)

    async def _run(self) -> None:
        attempt = 0
        while True:
            began = time.monotonic()
            try:
                await self._work()
                return
            except Exception as error:
                self.failures += 1
                attempt = 0 if time.monotonic() - began > STEADY_SECONDS else attempt + 1
                log.error(f"{self._name} failed", **told(error))
                await pause(attempt)


async def end(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel tasks and wait until each has ended, however it ends.

    `asyncio.wait_for` of Python 3.11, which libraries use too, swallows a cancellation that comes together
    with its result; the task then goes on. So it is told again until it has ended.
    """
    running: set[asyncio.Task[Any]] = {task for task in tasks if not task.done()}
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=CANCEL_AGAIN_SECONDS)


async def pause(attempt: int) -> None:
    """Wait before attempt number `attempt`, longer each time up to a limit."""
    await asyncio.sleep(PAUSE_SECONDS[max(0, min(attempt, len(PAUSE_SECONDS)) - 1)])


def told(error: BaseException) -> dict[str, object]:
    """A failure for the log. A fault of ours by type and place only, as its text may name a person."""
    if isinstance(error, UnavailableError):
        return {"error": str(error)}
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES_TOLD_MAX:]
    places = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    return {"error": type(error).__name__, "at": places}
