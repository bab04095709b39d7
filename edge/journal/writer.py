"""Appending to a journal: whole batches, durable before anybody is answered, undone if the disk refuses."""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from core.journal import HEAD, SEGMENT_BYTES_MAX, pack_record
from edge.errors import JournalFailedError
from edge.journal.segments import Recovered, make_segment, recover

#: A segment is closed after this time, so that contained events do not stay on disk for long.
SEGMENT_SECONDS_MAX: Final = 3600.0


class JournalWriter:
    """The one writer of one journal. Not thread-safe: the commit thread owns it."""

    def __init__(self, folder: Path, *, bytes_max: int, segment_bytes_max: int = SEGMENT_BYTES_MAX) -> None:
        self._folder = folder
        self._bytes_max = bytes_max
        self._segment_bytes_max = segment_bytes_max
        self._descriptor = -1
        self._failed = False
        self.cut_bytes = 0
        self.journal_id = b""
        self.end = 0
        self._open(recover(folder))

    def _open(self, recovered: Recovered) -> None:
        last = recovered.segments[-1]
        self._descriptor = os.open(last.path, os.O_WRONLY | os.O_APPEND)
        self._base = last.base
        self._opened_at = time.monotonic()
        self.journal_id, self.end, self.cut_bytes = recovered.journal_id, recovered.end, recovered.cut_bytes

    def append(self, bodies: Sequence[bytes]) -> list[int]:
        """Write the bodies, one record each, and make them durable.

        Returns
        -------
        The position after each record.

        Raises
        ------
        JournalFailedError
            The disk refused; nothing of the batch is in the journal.
        """
        self._check_room()
        records = [pack_record(body) for body in bodies]
        try:
            if self._failed:
                self._reopen()
            self._rotate(sum(map(len, records)))
            self._write(b"".join(records))
        except OSError as error:
            self._undo()
            raise JournalFailedError(
                expected="a disk that takes events", got=error.strerror or "an error", path="journal"
            ) from error
        positions = []
        for record in records:
            self.end += len(record)
            positions.append(self.end)
        return positions

    def rotate_old(self) -> None:
        """Close a segment that has grown old without a new event; only a closed one can be deleted."""
        try:
            self._rotate(0)
        except OSError:  # a full disk: the next append will say so
            return

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]
        os.fdatasync(self._descriptor)

    def _undo(self) -> None:
        """Cut what a refused batch has left behind; while that fails too, nothing more is taken."""
        try:
            os.ftruncate(self._descriptor, HEAD.size + self.end - self._base)
            os.fdatasync(self._descriptor)
        except OSError:
            self._failed = True

    def _reopen(self) -> None:
        """After a failed undo the file may hold anything behind `end`: cut it again before going on."""
        os.ftruncate(self._descriptor, HEAD.size + self.end - self._base)
        os.fdatasync(self._descriptor)
        self._failed = False

    def _rotate(self, coming_bytes: int) -> None:
        size = self.end - self._base
        old = time.monotonic() - self._opened_at > SEGMENT_SECONDS_MAX
        if size == 0 or (size + coming_bytes <= self._segment_bytes_max and not old):
            return
        segment = make_segment(self._folder, self.journal_id, self.end)
        os.close(self._descriptor)
        self._descriptor = os.open(segment.path, os.O_WRONLY | os.O_APPEND)
        self._base = segment.base
        self._opened_at = time.monotonic()

    def _check_room(self) -> None:
        if self.end - self._base < self._segment_bytes_max // 2 and self.end < self._bytes_max:
            return
        # Only now and then, since it looks at the folder: segments that the hub has folded are gone from
        # there.
        names = sorted(path.stem for path in self._folder.glob("*.journal"))
        held = self.end - int(names[0]) if names else 0
        if held > self._bytes_max:
            raise JournalFailedError(
                expected=f"at most {self._bytes_max} bytes waiting for the hub",
                got=f"{held} bytes",
                path="journal",
            )
