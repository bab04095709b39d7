"""Bringing the overlay up to its journals after any stop."""

import time
from pathlib import Path
from typing import Final

import msgspec

from core.events import Event, decode_event
from core.journal import HEAD, iter_records
from edge.journal.segments import Recovered, recover
from edge.overlay import KEY_BYTES, Overlay, OverlayEntry, seen_key

CHUNK_EVENTS: Final = 2000


def recover_all(journals: Path, overlay: Overlay) -> dict[str, Recovered]:
    """Recover and replay every journal of the edge; only while no worker runs."""
    recovered = {}
    for folder in sorted(path for path in journals.iterdir() if path.is_dir()):
        recovered[folder.name] = recover(folder)
        replay(recovered[folder.name], overlay)
    return recovered


def replay(recovered: Recovered, overlay: Overlay) -> int:
    """Take into the overlay what it does not hold of one journal; how many events.

    A worker that died between its disk and the overlay has left such events; after an unclean stop of the
    machine it is all of them.
    """
    applied, count = overlay.applied(recovered.journal_id), 0
    positions: list[int] = []
    entries: list[OverlayEntry] = []
    for segment in recovered.segments:
        if segment.end <= applied:
            continue
        data = segment.path.read_bytes()[HEAD.size :]
        for position, body in iter_records(data, segment.base):
            if position <= applied:
                continue
            positions.append(position)
            entries.append(entry_of(body))
            if len(entries) >= CHUNK_EVENTS:
                count += _add(overlay, recovered.journal_id, positions, entries)
    return count + _add(overlay, recovered.journal_id, positions, entries)


def _add(overlay: Overlay, journal_id: bytes, positions: list[int], entries: list[OverlayEntry]) -> int:
    if not entries:
        return 0
    count = len(entries)
    overlay.add(journal_id, positions, entries, time.time_ns() // 1_000_000)
    positions.clear()
    entries.clear()
    return count


def entry_of(body: bytes) -> OverlayEntry:
    """The overlay's entry for a journal body; a body that is no event (another version's) stands under
    nobody.
    """
    try:
        event = decode_event(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return OverlayEntry(body, (), seen_key(repr(body[:64])))
    return OverlayEntry(body, keys_of(event), seen_key(event.message_id))


def keys_of(event: Event) -> list[bytes]:
    """The verified identifiers of an event: a claim reaches nobody's decisions."""
    return [one.hash for one in event.identifiers if one.verified and len(one.hash) == KEY_BYTES]
