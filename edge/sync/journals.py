"""Uploading journals: tail what is durable, send it in whole records, go on where the hub says."""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.journal import BODY_BYTES_MAX, RECORD_OVERHEAD
from edge.control import SEAT_COMMITTED, Control
from edge.folder import Folder
from edge.journal.segments import delete_contained, list_segments, read_records
from edge.logs import log
from onevoice.v1 import sync_pb2

BATCH_BYTES_MAX: Final = BODY_BYTES_MAX + RECORD_OVERHEAD
#: Bytes of one journal that may be on their way; beyond them the hub's acknowledgement is awaited.
WINDOW_BYTES: Final = 16 * BATCH_BYTES_MAX
_LENGTH = struct.Struct("<I")


@dataclass
class Tail:
    """One journal: what of it was sent, what the hub has."""

    journal_id: str
    folder: Path
    seat_index: int
    sent: int = 0
    acknowledged: int = 0
    end: int = 0


class JournalUploads:
    """The journals of this edge. One stream at a time."""

    def __init__(self, folder: Folder, control: Control) -> None:
        self._folder = folder
        self._control = control
        self._tails: dict[str, Tail] = {}
        self.uploaded_bytes = 0

    def look(self) -> None:
        """Find journals and see how far each is durable."""
        for path in self._folder.journals.iterdir():
            if not path.is_dir():
                continue
            tail = next((tail for tail in self._tails.values() if tail.folder == path), None)
            if tail is None:
                tail = self._begin(path)
            if tail is not None:
                tail.end = self._durable_end(tail)

    def _begin(self, path: Path) -> Tail | None:
        segments = list_segments(path)
        if not segments:
            return None
        tail = Tail(segments[0].journal_id.hex(), path, int(path.name))
        tail.sent = tail.acknowledged = segments[0].base
        self._tails[tail.journal_id] = tail
        return tail

    def _durable_end(self, tail: Tail) -> int:
        """A worker tells how far its journal is durable; what is behind that may still be lost, and must
        not travel.
        """
        if tail.seat_index < self._control.seat_count:
            committed = self._control.seat(tail.seat_index)[SEAT_COMMITTED]
            return committed - 1 if committed else tail.end
        # Of a worker that this edge no longer has: recovered at the start, and nobody writes it.
        segments = list_segments(tail.folder)
        return segments[-1].end if segments else tail.end

    def positions(self) -> dict[str, int]:
        """Journals and their durable ends, for Hello."""
        return {tail.journal_id: tail.end for tail in self._tails.values()}

    def resume(self, acknowledged: Mapping[str, int]) -> None:
        """A new stream: go on where the hub is."""
        for tail in self._tails.values():
            position = acknowledged.get(tail.journal_id, 0)
            if position > tail.end:
                log.error("hub holds more of a journal than there is", held=position, here=tail.end)
            tail.acknowledged = max(position, self._first_held(tail))
            tail.sent = tail.acknowledged

    def _first_held(self, tail: Tail) -> int:
        segments = list_segments(tail.folder)
        return segments[0].base if segments else 0

    def due(self) -> Iterator[sync_pb2.JournalBatch]:
        """Batches that may be sent now."""
        for tail in list(self._tails.values()):
            while tail.sent < tail.end and tail.sent - tail.acknowledged < WINDOW_BYTES:
                data = whole_records(read_records(tail.folder, tail.sent, tail.end, BATCH_BYTES_MAX))
                if not data:
                    break
                first, tail.sent = tail.sent, tail.sent + len(data)
                yield sync_pb2.JournalBatch(
                    journal_id=tail.journal_id, first=first, last=tail.sent, records=data
                )

    def acknowledge(self, journal_id: str, position: int, error: str) -> bool:
        """Note an acknowledgement; False if the hub refused and uploading should pause a little."""
        tail = self._tails.get(journal_id)
        if tail is None:
            return True
        if error:
            log.warning("journal batch refused", error=error, position=position)
            tail.sent = tail.acknowledged = max(position, self._first_held(tail))
            return False
        if position > tail.acknowledged:
            self.uploaded_bytes += position - tail.acknowledged
            tail.acknowledged = position
            tail.sent = max(tail.sent, position)
        return True

    def behind_bytes(self) -> int:
        """Durable bytes that the hub has not acknowledged."""
        return sum(max(0, tail.end - tail.acknowledged) for tail in self._tails.values())

    def delete_contained(self, watermark: Mapping[bytes, int]) -> int:
        """Delete segments that are wholly in the records; how many."""
        return sum(
            delete_contained(tail.folder, watermark.get(bytes.fromhex(tail.journal_id), 0))
            for tail in self._tails.values()
        )


def whole_records(data: bytes) -> bytes:
    """The part of the bytes that is whole records, by their lengths; the disk holds no torn one below the
    durable end.
    """
    offset, size = 0, len(data)
    while size - offset >= RECORD_OVERHEAD:
        end = offset + RECORD_OVERHEAD + _LENGTH.unpack_from(data, offset)[0]
        if end > size:
            break
        offset = end
    return data[:offset]
