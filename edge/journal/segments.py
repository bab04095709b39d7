"""Segment files of a journal: listing them, cutting a torn tail, deleting what the hub has folded."""

import os
import secrets
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from core.errors import JournalError
from core.journal import HEAD, iter_records, pack_head, parse_head
from edge.errors import JournalFailedError
from edge.folder import PRIVATE_FILE_MODE, PRIVATE_FOLDER_MODE, sync_folder

SUFFIX: Final = ".journal"
JOURNAL_ID_BYTES: Final = 16
BASE_DIGITS: Final = 20


@dataclass(frozen=True)
class Segment:
    """One file: its journal, the position of its first record, and the position behind its last byte."""

    path: Path
    journal_id: bytes
    base: int
    end: int


@dataclass(frozen=True)
class Recovered:
    """A journal ready to be written on: its segments (never empty) and what was cut off."""

    journal_id: bytes
    segments: list[Segment]
    cut_bytes: int

    @property
    def end(self) -> int:
        return self.segments[-1].end


def list_segments(folder: Path) -> list[Segment]:
    """The segments in order; a file too short for its head (a crash while it was made) is left out."""
    segments = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            with path.open("rb") as file:
                journal_id, base = parse_head(file.read(HEAD.size))
                size = os.fstat(file.fileno()).st_size
        except FileNotFoundError:  # deleted meanwhile: its records are contained
            continue
        except JournalError:
            if path.stat().st_size < HEAD.size:
                continue
            raise
        segments.append(Segment(path, journal_id, base, base + size - HEAD.size))
    return segments


def make_segment(folder: Path, journal_id: bytes, base: int) -> Segment:
    """Create an empty segment, durably."""
    path = folder / f"{base:0{BASE_DIGITS}d}{SUFFIX}"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_FILE_MODE)
    try:
        os.write(descriptor, pack_head(journal_id, base))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    sync_folder(folder)
    return Segment(path, journal_id, base, base)


def recover(folder: Path) -> Recovered:
    """Make a journal whole after any stop.

    The torn tail of the last segment, whose writer had not answered yet, is cut; what stays is made
    durable, because the sync process may upload only what cannot be lost again. An empty folder gets a new
    journal.
    """
    folder.mkdir(mode=PRIVATE_FOLDER_MODE, parents=True, exist_ok=True)
    segments = list_segments(folder)
    for path in set(folder.glob(f"*{SUFFIX}")) - {segment.path for segment in segments}:
        path.unlink()
    if not segments:
        journal_id = secrets.token_bytes(JOURNAL_ID_BYTES)
        return Recovered(journal_id, [make_segment(folder, journal_id, 0)], 0)
    _check_chain(segments)
    segments[-1], cut_bytes = _cut_tail(segments[-1])
    return Recovered(segments[-1].journal_id, segments, cut_bytes)


def _check_chain(segments: list[Segment]) -> None:
    for before, after in pairwise(segments):
        if after.journal_id != before.journal_id or after.base != before.end:
            raise JournalFailedError(
                expected=f"a segment of the same journal at {before.end}",
                got=f"one at {after.base}",
                path=after.path.name,
            )


def _cut_tail(segment: Segment) -> tuple[Segment, int]:
    data = segment.path.read_bytes()[HEAD.size :]
    end = segment.base
    for position, _ in iter_records(data, segment.base):
        end = position
    descriptor = os.open(segment.path, os.O_RDWR)
    try:
        os.ftruncate(descriptor, HEAD.size + end - segment.base)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return Segment(segment.path, segment.journal_id, segment.base, end), segment.end - end


def read_records(folder: Path, position: int, end: int, bytes_max: int) -> bytes:
    """Bytes of the journal from a position on, within one segment.

    At most `bytes_max` and none at or behind `end`; the last record may be a part only. Empty where nothing
    is left there.
    """
    for segment in reversed(list_segments(folder)):
        if segment.base > position:
            continue
        count = min(bytes_max, end - position, segment.end - position)
        if count <= 0:
            return b""
        with segment.path.open("rb") as file:
            file.seek(HEAD.size + position - segment.base)
            return file.read(count)
    return b""


def delete_contained(folder: Path, position: int) -> int:
    """Delete segments of which all records are at or below a position, never the last one; how many."""
    deleted = 0
    for segment in list_segments(folder)[:-1]:
        if segment.end <= position:
            segment.path.unlink(missing_ok=True)
            deleted += 1
    return deleted
