"""Delivery's one thread: engines belong to one thread, and nothing of them runs on the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


class DeliveryThread:
    """Runs work in order, one piece at a time."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="delivery")

    async def run(self, work: Callable[..., T], *arguments: Any) -> T:
        """Run `work` and wait for it."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    def close(self) -> None:
        """Finish what is queued."""
        self._thread.shutdown()
