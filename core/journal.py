"""The edge journal's format (docs/decisions/0003-journal-and-frames.md): written by edge workers, read
back by them and by hub ingestion.

A segment file is a 32-byte head (`OV1J`, u16 format, u16 zero, 16-byte journal id, u64 base position) and
records `u32 length, u32 crc32 of
the body, body`. A position is the journal's byte count since its first record, heads of segments not
counted: it only grows.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Final

from core.errors import JournalError

MAGIC: Final = b"OV1J"
FORMAT: Final = 1
BODY_BYTES_MAX: Final = 64 * 1024
SEGMENT_BYTES_MAX: Final = 64 * 1024 * 1024

HEAD: Final = struct.Struct("<4sHH16sQ")
_RECORD = struct.Struct("<II")
RECORD_OVERHEAD: Final = _RECORD.size


def pack_head(journal_id: bytes, base: int) -> bytes:
    """The head of a segment whose first record stands at position `base`."""
    return HEAD.pack(MAGIC, FORMAT, 0, journal_id, base)


def parse_head(data: bytes) -> tuple[bytes, int]:
    """(journal id, base position) of a segment's head."""
    if len(data) < HEAD.size:
        raise JournalError(expected=f"{HEAD.size} bytes of head", got=f"{len(data)} bytes", path="$")
    magic, form, _, journal_id, base = HEAD.unpack_from(data)
    if magic != MAGIC or form != FORMAT:
        raise JournalError(expected="OV1J format 1", got=f"{magic!r} format {form}", path="$")
    return journal_id, base


def pack_record(body: bytes) -> bytes:
    """One record around an event's body."""
    if len(body) > BODY_BYTES_MAX:
        raise JournalError(expected=f"at most {BODY_BYTES_MAX} bytes", got=f"{len(body)} bytes", path="$")
    return _RECORD.pack(len(body), zlib.crc32(body)) + body


def iter_records(data: bytes, position: int = 0) -> Iterator[tuple[int, bytes]]:
    """(position after the record, body) for each whole, undamaged record; stops at the first that is not
    (a torn tail).
    """
    offset, size = 0, len(data)
    while size - offset >= _RECORD.size:
        length, crc = _RECORD.unpack_from(data, offset)
        end = offset + _RECORD.size + length
        body = data[offset + _RECORD.size : end]
        if length > BODY_BYTES_MAX or end > size or zlib.crc32(body) != crc:
            return
        yield position + end, body
        offset = end
