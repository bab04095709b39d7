"""Sync frames: what the hub sends an edge, and the bytes its signature covers
(docs/decisions/0003-journal-and-frames.md).

A payload is a run of entries, `u8 op, u8 key length, u16 zero, u32 value length, key, value` (little
endian), sorted by (op, key).
"""

import hashlib
import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from core.errors import FrameError

PUT_RECORD: Final = 1  # key: profile id (16 bytes), value: profile record
DELETE_RECORD: Final = 2  # key: profile id
PUT_IDENTIFIER: Final = 3  # key: identifier hash (16 bytes), value: profile id
DELETE_IDENTIFIER: Final = 4  # key: identifier hash

PAYLOAD_BYTES_TARGET: Final = 64 * 1024
PAYLOAD_BYTES_MAX: Final = 1024 * 1024
FLAG_SNAPSHOT: Final = 1  # part of a snapshot: first part has first_sequence 0
FLAG_SNAPSHOT_END: Final = 2  # the snapshot is complete with this frame
FLAG_MORE: Final = 4  # the next frame belongs with this one: both are applied in one transaction

Entry = tuple[int, bytes, bytes]
_HEAD = struct.Struct("<BBHI")
_RANGE = struct.Struct("<QQB")


def pack_entries(entries: Iterable[Entry]) -> bytes:
    """Entries (op, key, value) as one payload, sorted so that the edge appends rather than overwrites at
    random.
    """
    parts = []
    for op, key, value in sorted(entries, key=lambda entry: (entry[0], entry[1])):
        parts += [_HEAD.pack(op, len(key), 0, len(value)), key, value]
    return b"".join(parts)


def iter_entries(payload: bytes | memoryview) -> Iterator[Entry]:
    """Entries of a payload, in its order. Raises FrameError where the bytes do not add up."""
    data, offset, size = bytes(payload), 0, len(payload)
    while offset < size:
        if size - offset < _HEAD.size:
            raise FrameError(expected="an entry head", got=f"{size - offset} bytes", path=f"$[{offset}]")
        op, key_length, zero, value_length = _HEAD.unpack_from(data, offset)
        start = offset + _HEAD.size
        end = start + key_length + value_length
        if not PUT_RECORD <= op <= DELETE_IDENTIFIER or zero or end > size:
            raise FrameError(
                expected="an entry within the payload",
                got=f"op {op} ending at {end} of {size}",
                path=f"$[{offset}]",
            )
        yield op, data[start : start + key_length], data[start + key_length : end]
        offset = end


def frame_signing_bytes(
    epoch: str, edge_id: str, first: int, last: int, flags: int, watermark: Mapping[str, int], payload: bytes
) -> bytes:
    """What Ed25519 signs: every field of a frame, lengths first so that no two frames share the bytes."""
    marks = "\n".join(f"{journal}={position}" for journal, position in sorted(watermark.items())).encode()
    head = b"".join(len(text).to_bytes(2, "little") + text for text in (epoch.encode(), edge_id.encode()))
    return (
        b"OV1F"
        + head
        + _RANGE.pack(first, last, flags)
        + hashlib.sha256(marks).digest()
        + hashlib.sha256(payload).digest()
    )


def bundle_signing_bytes(
    revision: int, content_hash: str, approvals: Iterable[tuple[str, str, int]]
) -> bytes:
    """What the hub signs around a bundle: revision, content hash and approvals (user, role, at in ms), in
    their given order.
    """
    lines = [
        f"OV1B {revision} {content_hash}",
        *(f"{user}\x1f{role}\x1f{at_ms}" for user, role, at_ms in approvals),
    ]
    return "\n".join(lines).encode()
