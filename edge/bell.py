"""Bells: how processes of one edge wake each other without waiting for a poll (Linux eventfd)."""

import os
import select
from collections.abc import Callable
from multiprocessing import reduction
from typing import Any, Final

_RING: Final = 1


class Bell:
    """Rung by any process, heard by one. Ringing never blocks; rings before a hearing are one ring."""

    def __init__(self, descriptor: int | None = None) -> None:
        self.descriptor = (
            os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) if descriptor is None else descriptor
        )

    def fileno(self) -> int:
        return self.descriptor

    def ring(self) -> None:
        """Wake the hearer."""
        try:
            os.eventfd_write(self.descriptor, _RING)
        except BlockingIOError:  # the counter is full: it rings already
            return

    def hear(self) -> bool:
        """Take the rings so far; whether there were any."""
        try:
            return os.eventfd_read(self.descriptor) > 0
        except BlockingIOError:
            return False

    def wait(self, seconds: float) -> bool:
        """Wait for a ring and take it; for threads."""
        select.select([self.descriptor], [], [], seconds)
        return self.hear()

    def close(self) -> None:
        os.close(self.descriptor)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Travel to a spawned child, and only there: the child gets its own descriptor."""
        return _arrive, (reduction.DupFd(self.descriptor),)


def _arrive(duplicate: Any) -> Bell:
    return Bell(duplicate.detach())
