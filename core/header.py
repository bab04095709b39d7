"""The head of a profile record as a Python value, for the parts of the system that pass records on."""

from typing import Final

import msgspec
from typing_extensions import Buffer


class Header(msgspec.Struct, frozen=True):
    """What a record says of itself (docs/decisions/0001-record.md); none of it needs a bundle to be read."""

    slot_count: int
    layout_id: int  # XXH64 of the layout the packer knew; information only
    sequence: int  # change-log number of this record; 0 in a source state
    packed_at_ms: int  # ms since 1970 UTC
    unit_key: bytes  # 16 bytes: what experiments and holdouts hash
    size: int  # bytes of the whole record
    known: bool  # holds a verified identifier


#: Where a record keeps its slot count and, in each slot of 16 bytes, the kind.
_SLOT_COUNT_AT: Final = 6
_SLOTS_AT: Final = 64
_SLOT_BYTES: Final = 16
_KIND_AT: Final = 12
_FLAGS_AT: Final = 52
_FLAG_KNOWN: Final = 1
_KIND_CONSENT: Final = 9


def is_known(record: Buffer) -> bool:
    """Whether the profile holds a verified identifier that says who the person is."""
    return bool(memoryview(record)[_FLAGS_AT] & _FLAG_KNOWN)


def has_consent(record: Buffer) -> bool:
    """Whether the person ever said anything about consent; read off the slots' kinds, without unpacking."""
    view = memoryview(record)
    if view[_SLOT_COUNT_AT] and view[_SLOTS_AT + _KIND_AT] == _KIND_CONSENT:
        return True  # most who said anything said something about personalization, slot 0
    count = view[_SLOT_COUNT_AT] | view[_SLOT_COUNT_AT + 1] << 8
    kinds = view[_SLOTS_AT + _KIND_AT : _SLOTS_AT + count * _SLOT_BYTES : _SLOT_BYTES]
    return _KIND_CONSENT in bytes(kinds)
