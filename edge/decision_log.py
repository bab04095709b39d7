"""The decision log of a worker: rows buffered in memory, put into a file each second, uploaded by the sync
process.

Bounded everywhere, newest dropped first, drops counted. kill -9 may lose the last second of rows, never an
event.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from edge.folder import PRIVATE_FILE_MODE

ROWS_MAX: Final = 20_000
ROWS_PER_FILE_MAX: Final = 1_000
FILES_BYTES_MAX: Final = 256 * 1024 * 1024
SUFFIX: Final = ".rows"
NUMBER_DIGITS: Final = 20

_encode = msgspec.msgpack.Encoder().encode


class DecisionLog:
    """Rows of one worker; `add` on the event loop, `flush` in a thread."""

    def __init__(self, folder: Path, seat_index: int) -> None:
        self._folder = folder
        self._seat_index = seat_index
        self._rows: list[bytes] = []
        self._last_number = 0
        self.dropped = 0

    def add(self, person: bytes, row: tuple[Any, ...]) -> bool:
        """Keep one row: who (profile id or identifier hash) and what `Decision.log_row` says; False if it
        was dropped.
        """
        if len(self._rows) >= ROWS_MAX:
            self.dropped += 1
            return False
        # Bytes at once: thousands of tuples kept for a second would be work for the garbage collector.
        self._rows.append(_encode((person, row)))
        return True

    def flush(self, now_ns: int) -> int:
        """Put the rows into files; how many rows had to be dropped."""
        rows, self._rows = self._rows, []
        dropped = 0
        for start in range(0, len(rows), ROWS_PER_FILE_MAX):
            dropped += self._write(rows[start : start + ROWS_PER_FILE_MAX], now_ns)
        return dropped

    def _write(self, rows: Sequence[bytes], now_ns: int) -> int:
        # Unique over workers and restarts, and growing: the batch number that the hub knows a resend by.
        self._last_number = max(self._last_number + 1, now_ns // 1_000_000)
        path = self._folder / f"{self._last_number * 64 + self._seat_index:0{NUMBER_DIGITS}d}{SUFFIX}"
        draft = path.with_suffix(".draft")
        try:
            if waiting_bytes(self._folder) > FILES_BYTES_MAX:
                return len(rows)
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_FILE_MODE)
            with os.fdopen(descriptor, "wb") as file:
                # MessagePack: an array of so many, then the elements as they are.
                file.write(b"\xdd" + len(rows).to_bytes(4, "big") + b"".join(rows))
            draft.replace(path)
        except OSError:
            draft.unlink(missing_ok=True)
            return len(rows)
        return 0


def waiting_files(folder: Path) -> list[Path]:
    """Files that wait for upload, oldest first; the name is the batch number."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def waiting_bytes(folder: Path) -> int:
    """Their size."""
    total = 0
    for path in waiting_files(folder):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total
