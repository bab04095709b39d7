"""Uploading the decision log: one file at a time, deleted when the hub has it."""

from typing import Final

from edge.control import CELL_ROWS_DROPPED, CELL_ROWS_UPLOADED, Control
from edge.decision_log import ROWS_PER_FILE_MAX, waiting_files
from edge.figures import ROWS_DROPPED, Figures
from edge.folder import Folder
from onevoice.v1 import sync_pb2

FILE_BYTES_MAX: Final = 1900 * 1024


class RowUploads:
    """Files of the decision log on their way."""

    def __init__(self, folder: Folder, control: Control) -> None:
        self._folder = folder
        self._control = control
        self._in_flight = 0

    def resume(self) -> None:
        """A new stream: what was not acknowledged is sent again, under the same number."""
        self._in_flight = 0

    def due(self) -> sync_pb2.DecisionRows | None:
        """The next file, unless one is on its way."""
        if self._in_flight:
            return None
        for path in waiting_files(self._folder.decisions):
            data = path.read_bytes() if path.stat().st_size <= FILE_BYTES_MAX else b""
            if not data:  # too large for one message, or torn by a crash of the machine
                path.unlink(missing_ok=True)
                self._control.cells[CELL_ROWS_DROPPED] += ROWS_PER_FILE_MAX
                continue
            self._in_flight = int(path.stem)
            return sync_pb2.DecisionRows(batch=self._in_flight, rows=data, dropped=self._dropped())
        return None

    def acknowledge(self, batch: int) -> None:
        """The hub has it."""
        if batch == self._in_flight:
            self._in_flight = 0
        for path in waiting_files(self._folder.decisions):
            if int(path.stem) == batch:
                path.unlink(missing_ok=True)
                self._control.cells[CELL_ROWS_UPLOADED] += 1

    def _dropped(self) -> int:
        seats = sum(Figures(seat).cells[ROWS_DROPPED] for seat in self._control.seats())
        return int(seats + self._control.cells[CELL_ROWS_DROPPED])
