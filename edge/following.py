"""A worker follows what the sync process has put on disk: bundles, the snapshot, the sealing key.

Rung by the bell, with a look at the control page each second in case a ring was lost. A bundle is loaded in
a thread and swapped in one assignment; a refused one leaves the old engine where it is.
"""

import asyncio
import gc
from typing import Final

from edge.bell import Bell
from edge.bundles import load_engine, read_signed
from edge.control import (
    CELL_BUNDLE,
    CELL_HUB_KEYS,
    SEAT_BUNDLE,
    SEAT_BUNDLE_REFUSED,
    SEAT_BUNDLE_REVISION,
    Control,
)
from edge.errors import BundleRefusedError
from edge.folder import Folder
from edge.hub_keys import read_hub_keys
from edge.logs import log
from edge.node import Node
from edge.taking import Taker

LOOK_SECONDS: Final = 1.0


class Follower:
    """Keeps one worker's engine, snapshot and sealing key current."""

    def __init__(
        self,
        folder: Folder,
        control: Control,
        seat: memoryview,
        bell: Bell,
        sync_bell: Bell,
        signing_key: bytes,
    ) -> None:
        self._folder = folder
        self._cells = control.cells
        self._seat = seat
        self._bell = bell
        self._sync_bell = sync_bell
        self._signing_key = signing_key
        self._keys_generation = -1
        self._bundle_generation = -1
        self._rung = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def load(self, node: Node, taker: Taker) -> None:
        """The last good state from disk, before the first request."""
        self._follow_keys(taker)
        generation = self._cells[CELL_BUNDLE]
        try:
            signed = read_signed(self._folder.bundle)
            if signed is not None:
                node.engine = load_engine(signed, self._signing_key)
        except BundleRefusedError as error:
            log.warning("bundle on disk refused", code=error.code, reason=str(error))
            self._seat[SEAT_BUNDLE_REFUSED] = 1
        gc.collect()
        self._tell(generation, node)

    def start(self, node: Node, taker: Taker) -> None:
        """Follow from now on."""
        asyncio.get_running_loop().add_reader(self._bell.fileno(), self._hear)
        self._rung.set()  # what came between loading and now
        self._task = asyncio.create_task(self._run(node, taker), name="following")

    async def stop(self) -> None:
        asyncio.get_running_loop().remove_reader(self._bell.fileno())
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _hear(self) -> None:
        self._bell.hear()
        self._rung.set()

    async def _run(self, node: Node, taker: Taker) -> None:
        while True:
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._rung.wait()
            except TimeoutError:
                pass
            self._rung.clear()
            try:
                await self._follow(node, taker)
            except Exception:
                log.exception("following failed")

    async def _follow(self, node: Node, taker: Taker) -> None:
        node.snapshot.follow()
        self._follow_keys(taker)
        generation = self._cells[CELL_BUNDLE]
        if generation == self._bundle_generation:
            return
        self._seat[SEAT_BUNDLE_REFUSED] = 0
        try:
            signed = await asyncio.to_thread(read_signed, self._folder.bundle)
            if signed is not None and not self._is_active(node, signed.revision, signed.content_hash):
                # Swapped by one assignment: a decision sees the old engine or the new one, whole.
                node.engine = await asyncio.to_thread(load_engine, signed, self._signing_key)
        except BundleRefusedError as error:
            log.warning("bundle refused", code=error.code, reason=str(error))
            self._seat[SEAT_BUNDLE_REFUSED] = 1
        self._tell(generation, node)

    @staticmethod
    def _is_active(node: Node, revision: int, content_hash: str) -> bool:
        engine = node.engine
        return engine is not None and (engine.revision, engine.content_hash) == (revision, content_hash)

    def _tell(self, generation: int, node: Node) -> None:
        # What lives as long as the process or its bundle leaves the garbage collector's rounds: each full
        # one would walk the bundle's document, for a third of a decision's cost and its longest pauses. It
        # is still freed by count; no collection here, because it would stop decisions for as long.
        gc.freeze()
        self._bundle_generation = generation
        self._seat[SEAT_BUNDLE_REVISION] = 0 if node.engine is None else node.engine.revision
        self._seat[SEAT_BUNDLE] = generation
        self._sync_bell.ring()

    def _follow_keys(self, taker: Taker) -> None:
        generation = self._cells[CELL_HUB_KEYS]
        if generation != self._keys_generation:
            taker.sealing_key = read_hub_keys(self._folder.hub_keys)
            self._keys_generation = generation
