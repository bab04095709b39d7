"""What every process of an edge does first: die with its supervisor, leave signals to it, log one JSON line
a fact.
"""

import ctypes
import logging
import os
import signal
from collections.abc import Callable
from types import FrameType

from edge.logs import Libraries, log

_PR_SET_PDEATHSIG = 1


def become_child(supervisor_pid: int) -> None:
    """Bind this process to its supervisor: even kill -9 of that one ends this one at once.

    The terminal's Ctrl-C and hang-up reach every process of the group; only the supervisor acts on them,
    and asks its children to stop in their order.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != supervisor_pid:  # it died before the call above
        os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def configure_logging(level: str, process: str) -> None:
    """JSON lines on standard error, this process's name on each."""
    log.configure(process, level)
    # uvicorn's own words: faults only, for it knows requests and their addresses.
    logging.basicConfig(level=logging.ERROR, handlers=[Libraries()], force=True)


def on_terminate(act: Callable[[], None]) -> None:
    """Call `act` when the supervisor asks to stop."""

    def handle(_: int, __: FrameType | None) -> None:
        act()

    signal.signal(signal.SIGTERM, handle)
