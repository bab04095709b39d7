"""A worker's hold on the current snapshot: it follows each switch, and reports damage."""

from pathlib import Path

from edge.bell import Bell
from edge.control import CELL_SET_ASIDE, CELL_SNAPSHOT, SEAT_RECORD_ERRORS, SEAT_SNAPSHOT, Control
from edge.errors import SnapshotDamagedError
from edge.snapshot.environment import ASIDE_PREFIX
from edge.snapshot.reader import SnapshotReader, open_current


class CurrentSnapshot:
    """The snapshot that the control page names. One thread only: the event loop's."""

    def __init__(
        self, snapshots: Path, bytes_max: int, control: Control, seat: memoryview, sync_bell: Bell
    ) -> None:
        self._snapshots = snapshots
        self._bytes_max = bytes_max
        self._cells = control.cells
        self._seat = seat
        self._sync_bell = sync_bell
        self._generation = -1
        self._reader: SnapshotReader | None = None
        self.damaged = False
        self.follow()

    @property
    def reader(self) -> SnapshotReader | None:
        """The open snapshot after a look at the control page; None: none yet, or damaged."""
        if self._cells[CELL_SNAPSHOT] != self._generation:
            self.follow()
        return self._reader

    def follow(self) -> None:
        """Open what is current now. No transaction may be open."""
        generation = self._cells[CELL_SNAPSHOT]
        if generation == self._generation:
            return
        self.close()
        try:
            self._reader = open_current(self._snapshots, self._bytes_max)
            self.damaged = self._reader is None and self._was_set_aside()
        except SnapshotDamagedError:
            self.damaged = True
            self.report_damage()
        self._generation = generation
        self._seat[SEAT_SNAPSHOT] = generation
        self._sync_bell.ring()

    def _was_set_aside(self) -> bool:
        """Whether there was a snapshot, which nobody could trust; a restart of the edge does not change
        that.
        """
        return bool(self._cells[CELL_SET_ASIDE]) or any(self._snapshots.glob(f"{ASIDE_PREFIX}*"))

    def report_damage(self) -> None:
        """Tell the sync process of a record, a page or an environment that cannot be trusted."""
        self._seat[SEAT_RECORD_ERRORS] += 1
        self._sync_bell.ring()

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None
