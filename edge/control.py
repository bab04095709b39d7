"""The control page: one shared file of 64-bit cells that every process of an edge maps.

The sync process writes what all may know (generations, sequence), each worker writes its own seat (what it
has active, how far its journal is durable, its figures), the supervisor clears the seat of a worker that
has died. A cell has one writer at a time and is read and written whole, so nobody needs a lock; a bell
(edge/bell.py) says that something has changed. The page is made anew at each start of the edge: what must
survive is in files.
"""

import mmap
import os
from pathlib import Path
from typing import Final

from edge.folder import PRIVATE_FILE_MODE

MAGIC: Final = 0x3143_4544_4745_564F
CELL_BYTES: Final = 8

# Cells of the whole edge; written by the sync process unless said otherwise.
CELL_MAGIC = 0
CELL_SEATS = 1
CELL_STARTED_MS = 2  # supervisor
CELL_BUNDLE = 3  # generation: grows when bundle.active was replaced
CELL_SNAPSHOT = 4  # generation: grows when the snapshot pointer was switched or set aside
CELL_HUB_KEYS = 5  # generation of hub.keys
CELL_SEQUENCE = 6  # change-log sequence of the snapshot
CELL_HUB_HEARD_MS = 7  # when the hub was last heard
CELL_CONNECTED = 8  # 1 while the stream is up
CELL_SET_ASIDE = 9  # 1: the snapshot was damaged and is being fetched anew
CELL_CRASHES = 10  # supervisor: times that workers died in a way that points at the snapshot
CELL_FRAMES = 11
CELL_FRAMES_REFUSED = 12
CELL_BUNDLES_REFUSED = 13
CELL_UPLOADED_BYTES = 14
CELL_JOURNAL_BEHIND_BYTES = 15
CELL_DEATHS = 16  # supervisor: children that died unasked
CELL_SNAPSHOTS = 17  # snapshots taken
CELL_RECONNECTS = 18
CELL_ROWS_UPLOADED = 19
CELL_ROWS_DROPPED = 20  # decision-log rows dropped by the sync process
SHARED_CELLS: Final = 64

# Cells of one seat.
SEAT_PID = 0
SEAT_BUNDLE = 1  # generation of the bundle that the worker has tried last
SEAT_BUNDLE_REVISION = 2  # revision that it has active
SEAT_BUNDLE_REFUSED = 3  # 1: it could not load that generation
SEAT_SNAPSHOT = 4  # generation of the snapshot that it has open
SEAT_COMMITTED = 5  # end of the durable part of its journal; +1, so that 0 says not known yet
SEAT_RECORD_ERRORS = 6  # damaged records it has met
SEAT_READY = 7
SEAT_FIGURES: Final = 16  # from here on edge/figures.py
SEAT_CELLS: Final = 256


class Control:
    """The mapped page."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDWR)
        try:
            self._map = mmap.mmap(descriptor, 0)
        finally:
            os.close(descriptor)
        self.cells: memoryview = memoryview(self._map).cast("Q")
        if self.cells[CELL_MAGIC] != MAGIC:
            raise ValueError(f"{path}: expected a control page, got another file")
        self.seat_count = self.cells[CELL_SEATS]

    def seat(self, index: int) -> memoryview:
        """The cells of one worker."""
        start = SHARED_CELLS + index * SEAT_CELLS
        return self.cells[start : start + SEAT_CELLS]

    def seats(self) -> list[memoryview]:
        """The cells of every worker."""
        return [self.seat(index) for index in range(self.seat_count)]

    def close(self) -> None:
        """Views that others still hold keep the page mapped."""
        self.cells.release()
        try:
            self._map.close()
        except BufferError:
            return


def make_control(path: Path, seat_count: int, started_ms: int) -> Control:
    """Make the page, all zero but for its head."""
    draft = path.with_name(f".{path.name}")
    size = (SHARED_CELLS + seat_count * SEAT_CELLS) * CELL_BYTES
    descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC, PRIVATE_FILE_MODE)
    try:
        os.ftruncate(descriptor, size)
        for cell, value in ((CELL_MAGIC, MAGIC), (CELL_SEATS, seat_count), (CELL_STARTED_MS, started_ms)):
            os.pwrite(descriptor, value.to_bytes(CELL_BYTES, "little"), cell * CELL_BYTES)
    finally:
        os.close(descriptor)
    draft.replace(path)
    return Control(path)
