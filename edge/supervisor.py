"""The supervisor of an edge: binds the port once, spawns workers and one sync process, and starts again
what dies.

It touches no snapshot and no request itself, so nothing that kills a child kills it.
"""

import contextlib
import multiprocessing
import os
import signal
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from types import FrameType
from typing import Any, Final

from edge.bell import Bell
from edge.control import (
    CELL_CRASHES,
    CELL_DEATHS,
    CELL_SET_ASIDE,
    CELL_SNAPSHOT,
    SEAT_PID,
    SEAT_READY,
    make_control,
)
from edge.errors import EdgeError, SnapshotDamagedError
from edge.folder import PRIVATE_FILE_MODE, Folder, hold_lock, replace_file
from edge.journal.replay import recover_all
from edge.launch import run_sync, run_worker
from edge.logs import log
from edge.overlay import Overlay, wipe_overlay
from edge.seat import Seat
from edge.settings import MIB, Settings
from edge.snapshot.writer import set_aside

LOCK_SECONDS: Final = 5.0
BIND_SECONDS: Final = 3.0
BIND_POLL_SECONDS: Final = 0.05
STOP_SECONDS: Final = 15.0
BACKOFF_SECONDS_MIN: Final = 0.05
BACKOFF_SECONDS_MAX: Final = 5.0
#: A child that lived this long begins with the shortest pause again.
STEADY_SECONDS: Final = 10.0
BACKLOG: Final = 2048
CRASHES_SECONDS: Final = 10.0
CRASHES_MAX: Final = 2
#: A snapshot whose file lies about itself kills like this.
CRASH_SIGNALS: Final = (-signal.SIGBUS, -signal.SIGSEGV)
#: Killed by the asking signal: it was still starting, and had nothing open that a stop could tear.
IN_ORDER: Final = (0, -signal.SIGTERM)
ADDRESS_FILE: Final = "address"


@dataclass
class Child:
    """A process that is to run, and how often it had to be started lately."""

    name: str
    make: Callable[[], SpawnProcess]
    seat_index: int | None = None
    process: SpawnProcess | None = None
    started_at: float = 0.0
    restart_at: float = 0.0
    pause: float = BACKOFF_SECONDS_MIN
    crashes: deque[float] = field(default_factory=lambda: deque(maxlen=CRASHES_MAX))

    def start(self) -> None:
        self.process = self.make()
        self.process.start()
        self.started_at = time.monotonic()

    def plan_restart(self) -> None:
        """When to start it again: soon after a long life, later and later after short ones."""
        now = time.monotonic()
        lived = now - self.started_at
        self.pause = (
            BACKOFF_SECONDS_MIN if lived > STEADY_SECONDS else min(BACKOFF_SECONDS_MAX, self.pause * 2)
        )
        self.process, self.restart_at = None, now + self.pause


class Supervisor:
    """Runs an edge until it is asked to stop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = Folder(settings.data_dir)
        self._stop_bell = Bell()
        self._stopping = False
        self._worker_crashes: deque[float] = deque(maxlen=CRASHES_MAX)

    def run(self) -> int:
        """Start, watch, stop; the process's exit code."""
        self._folder.make()
        lock = hold_lock(self._folder.lock, LOCK_SECONDS)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._ask_to_stop)
        listener = self._bind()
        try:
            self._prepare()
            self._children = self._define(listener)
            for child in self._children:
                child.start()
            self._announce(listener)
            self._watch()
        finally:
            clean = self._stop_children()
            listener.close()
            if clean:
                self._folder.running.unlink(missing_ok=True)
            os.close(lock)
        return 0

    def _ask_to_stop(self, _: int, __: FrameType | None) -> None:
        self._stopping = True
        self._stop_bell.ring()

    # ---- Start

    def _bind(self) -> socket.socket:
        """The one listening socket; an edge that was just killed may need a moment to let go of the port."""
        settings = self._settings
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        deadline = time.monotonic() + BIND_SECONDS
        while True:
            listener = socket.socket(family, socket.SOCK_STREAM)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((settings.host, settings.port))
                listener.listen(BACKLOG)
            except OSError as error:
                listener.close()
                if time.monotonic() > deadline or self._stopping:
                    raise EdgeError(
                        f"cannot listen on {settings.host}:{settings.port}: {error.strerror}; "
                        "free the port or set ONEVOICE_PORT"
                    ) from error
                time.sleep(BIND_POLL_SECONDS)
            else:
                listener.setblocking(False)
                return listener

    def _prepare(self) -> None:
        """After a stop that was not clean the overlay may hold anything: it is made anew from the
        journals.
        """
        if self._folder.running.exists():
            log.info("last stop was not clean: rebuilding the overlay")
            wipe_overlay(self._folder.overlay)
        descriptor = os.open(self._folder.running, os.O_WRONLY | os.O_CREAT, PRIVATE_FILE_MODE)
        os.fsync(descriptor)
        os.close(descriptor)
        overlay = Overlay(self._folder.overlay, self._settings.overlay_megabytes_max * MIB)
        try:
            recovered = recover_all(self._folder.journals, overlay)
        finally:
            overlay.close()
        cut_bytes = sum(journal.cut_bytes for journal in recovered.values())
        if cut_bytes:
            log.info("torn journal tails cut", cut_bytes=cut_bytes)
        self._control = make_control(
            self._folder.control, self._settings.workers, time.time_ns() // 1_000_000
        )

    def _define(self, listener: socket.socket) -> list[Child]:
        context = multiprocessing.get_context("spawn")
        settings, pid = self._settings, os.getpid()
        self._bells = [Bell() for _ in range(settings.workers)]
        self._sync_bell = Bell()

        def worker(index: int) -> Callable[[], SpawnProcess]:
            seat = Seat(index, self._folder, self._bells[index], self._sync_bell)
            arguments: tuple[Any, ...] = (settings, seat, listener, pid)
            return lambda: context.Process(target=run_worker, args=arguments, name=f"worker-{index}")

        def sync() -> SpawnProcess:
            arguments = (settings, self._folder, self._sync_bell, self._bells, pid)
            return context.Process(target=run_sync, args=arguments, name="sync")

        workers = [Child(f"worker-{index}", worker(index), index) for index in range(settings.workers)]
        return [Child("sync", sync), *workers]

    def _announce(self, listener: socket.socket) -> None:
        host, port = listener.getsockname()[:2]
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        replace_file(self._folder.root / ADDRESS_FILE, address.encode(), durable=False)
        log.info("edge started", edge=self._settings.edge_id, address=address, workers=self._settings.workers)

    # ---- Watch

    def _watch(self) -> None:
        while not self._stopping:
            running = {child.process.sentinel: child for child in self._children if child.process is not None}
            due = [child.restart_at for child in self._children if child.process is None]
            timeout = max(0.0, min(due) - time.monotonic()) if due else None
            for ready in wait([*running, self._stop_bell.fileno()], timeout):
                if ready in running:
                    self._bury(running[ready])
            for child in self._children:
                if child.process is None and time.monotonic() >= child.restart_at and not self._stopping:
                    child.start()

    def _bury(self, child: Child) -> None:
        """Clear what a dead child has left, and plan its restart."""
        assert child.process is not None
        child.process.join()
        code = child.process.exitcode or 0
        child.process.close()
        log.warning("process has died", name=child.name, code=code)
        self._control.cells[CELL_DEATHS] += 1
        if child.seat_index is not None:
            seat = self._control.seat(child.seat_index)
            seat[SEAT_PID] = seat[SEAT_READY] = 0
        if code in CRASH_SIGNALS:
            self._note_crash(child)
        child.plan_restart()
        self._sync_bell.ring()

    def _note_crash(self, child: Child) -> None:
        """Two deaths in ten seconds of the kind that a damaged map causes: do not trust the snapshot."""
        crashes = self._worker_crashes if child.seat_index is not None else child.crashes
        now = time.monotonic()
        crashes.append(now)
        if len(crashes) < CRASHES_MAX or now - crashes[0] > CRASHES_SECONDS:
            return
        crashes.clear()
        if child.seat_index is not None:
            self._control.cells[CELL_CRASHES] += 1  # the sync process sets it aside
            return
        log.error("sync process crashes on its snapshot: setting it aside")
        with contextlib.suppress(SnapshotDamagedError):
            set_aside(self._folder.snapshots)
        self._control.cells[CELL_SET_ASIDE] = 1
        self._control.cells[CELL_SNAPSHOT] += 1
        for bell in self._bells:
            bell.ring()

    # ---- Stop

    def _stop_children(self) -> bool:
        """Workers first, so that nothing comes in any more, then the sync process; whether all ended in
        good order.
        """
        children = getattr(self, "_children", [])
        clean = True
        for group in (
            [c for c in children if c.seat_index is not None],
            [c for c in children if c.seat_index is None],
        ):
            running = [child.process for child in group if child.process is not None]
            for process in running:
                process.terminate()
            deadline = time.monotonic() + STOP_SECONDS
            for process in running:
                process.join(max(0.0, deadline - time.monotonic()))
                if process.is_alive():
                    process.kill()
                    process.join()
                if process.exitcode not in IN_ORDER:
                    log.warning(
                        "process has not stopped in good order", name=process.name, code=process.exitcode
                    )
                    clean = False
        return clean
