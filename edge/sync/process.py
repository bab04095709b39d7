"""The composition root of the sync process, and the loop that keeps a stream to the hub."""

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import Sequence
from typing import Final

import grpc

from edge.bell import Bell
from edge.control import CELL_CONNECTED, CELL_HUB_KEYS, CELL_RECONNECTS, Control
from edge.errors import EdgeError
from edge.folder import Folder, hold_lock
from edge.logs import log
from edge.overlay import Overlay
from edge.process import become_child, configure_logging
from edge.settings import MIB, Settings
from edge.status import Status
from edge.sync.bundles import BundleKeeper
from edge.sync.channel import open_channel
from edge.sync.frames import SnapshotKeeper
from edge.sync.housekeeping import Housekeeping
from edge.sync.journals import JournalUploads
from edge.sync.parts import Parts
from edge.sync.rows import RowUploads
from edge.sync.stream import Stream

LOCK_SECONDS: Final = 5.0
BACKOFF_SECONDS_MIN: Final = 0.1
BACKOFF_SECONDS_MAX: Final = 3.0

#: A whole snapshot is written beside decisions: they come first where cores are few.
NICENESS: Final = 5


def run_sync(
    settings: Settings, folder: Folder, bell: Bell, bells: Sequence[Bell], supervisor_pid: int
) -> None:
    """The process's main function."""
    become_child(supervisor_pid)
    os.nice(NICENESS)
    configure_logging(settings.log_level, "sync")
    lock = hold_lock(folder.root / "sync.lock", LOCK_SECONDS)
    asyncio.run(SyncProcess(settings, folder, bell, bells).run())
    os.close(lock)
    # A thread of gRPC may still sleep; what must be on disk is.
    os._exit(0)


class SyncProcess:
    """Follows the hub and keeps house until it is asked to stop."""

    def __init__(self, settings: Settings, folder: Folder, bell: Bell, bells: Sequence[Bell]) -> None:
        control = Control(folder.control)
        self._bell = bell
        self._seats_changed = asyncio.Event()
        signing_key = settings.signing_key_bytes
        self._parts = Parts(
            settings=settings,
            folder=folder,
            control=control,
            bells=bells,
            overlay=Overlay(folder.overlay, settings.overlay_megabytes_max * MIB),
            snapshot=SnapshotKeeper(
                folder,
                settings.snapshot_megabytes_max * MIB,
                settings.edge_id,
                signing_key,
                control,
                bells,
            ),
            bundles=BundleKeeper(folder, signing_key, control, bells, self._seats_changed),
            journals=JournalUploads(folder, control),
            rows=RowUploads(folder, control),
            status=Status(),
        )
        self._stream: Stream | None = None
        self._said = ""
        self._housekeeping = Housekeeping(self._parts, self._ask_for_snapshot)

    async def run(self) -> None:
        """Until SIGTERM."""
        loop, stopped = asyncio.get_running_loop(), asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, stopped.set)
        loop.add_reader(self._bell.fileno(), self._hear)
        self._parts.control.cells[CELL_CONNECTED] = 0
        self._parts.control.cells[CELL_HUB_KEYS] += 1
        await asyncio.to_thread(self._parts.bundles.load)
        tasks = [
            asyncio.create_task(work)
            for work in (stopped.wait(), self._follow_hub(), self._housekeeping.run())
        ]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._parts.snapshot.writer.close()
        self._parts.overlay.close()
        for task in done:
            task.result()

    def _hear(self) -> None:
        """A worker has committed events or activated something, or the supervisor has buried one."""
        self._bell.hear()
        self._seats_changed.set()
        self._parts.uploads_due.set()
        if self._housekeeping.look_at_damage():
            self._parts.watermark_moved.set()

    def _ask_for_snapshot(self) -> None:
        if self._stream is not None:
            self._stream.ask_for_snapshot()

    async def _follow_hub(self) -> None:
        """Connect, follow, and after any failure connect again, later and later, never all edges at once."""
        pause = BACKOFF_SECONDS_MIN
        while True:
            self._parts.status.stream.begin()
            self._parts.control.cells[CELL_RECONNECTS] += 1
            if await self._follow_once():
                pause = BACKOFF_SECONDS_MIN
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(BACKOFF_SECONDS_MAX, pause * 2)

    async def _follow_once(self) -> bool:
        """One stream; whether the hub has welcomed this edge."""
        status = self._parts.status.stream
        before = status.last_success_ms
        channel = open_channel(self._parts.settings)
        try:
            self._stream = Stream(self._parts, channel)
            await self._stream.run()
        except grpc.aio.AioRpcError as error:
            status.fail(error.code().name.lower())
        except EdgeError as error:
            status.fail(error.code)
            log.warning("stream ended", code=error.code, reason=str(error))
        except TimeoutError:
            status.fail("silence")
        finally:
            self._stream = None
            with contextlib.suppress(asyncio.CancelledError, grpc.aio.AioRpcError):
                await channel.close()
        if status.error not in ("", self._said):
            log.info("not connected", code=status.error)
        self._said = status.error
        return status.last_success_ms != before
