"""The shared overlay: events of this edge that the snapshot may not hold yet
(docs/decisions/0003-journal-and-frames.md).

One LMDB environment, written by every worker's commit thread without syncing: after an unclean stop it is
emptied and rebuilt from the journals. LMDB's writer lock orders the workers; readers never wait.

    events   key 16 | journal id 16 | position u64 big endian -> the event's bytes; a key is an identifier
    hash or a profile id order    journal id 16 | position u64 big endian -> the keys under which the event
    stands, 16 bytes each seen     first 8 bytes of SHA-256 of the message id -> receipt, u64 ms
    applied  journal id 16 -> position up to which the journal is in here, u64
"""

import hashlib
import shutil
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import lmdb

from core.errors import CoreError

KEY_BYTES: Final = 16
KEYS_PER_EVENT_MAX: Final = 16
READERS_MAX: Final = 256
SEEN_BYTES: Final = 8
SEEN_KEPT_MS: Final = 24 * 3600 * 1000
#: More events of one person than this since the record, and a decision is not worth the wait.
EVENTS_READ_MAX: Final = 4096
TRIM_CHUNK: Final = 512
SWEEP_CHUNK: Final = 20_000
_PLACE = struct.Struct(">Q")
_U64 = struct.Struct("<Q")


class TooManyEventsError(CoreError):
    """More events of one person wait for the hub than a decision may read."""


@dataclass(frozen=True, slots=True)
class OverlayEntry:
    """What the overlay keeps of one event."""

    body: bytes
    keys: Sequence[bytes]  # verified identifier hashes, and the profile id if there is one
    seen: bytes  # seen_key of the message id


def seen_key(message_id: str) -> bytes:
    """The name under which a message id is remembered: no person can be told from it."""
    return hashlib.sha256(message_id.encode()).digest()[:SEEN_BYTES]


class Overlay:
    """The environment, open once in a process; one thread writes, any thread reads."""

    def __init__(self, folder: Path, bytes_max: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.env: lmdb.Environment = lmdb.open(
            str(folder),
            map_size=bytes_max,
            max_dbs=4,
            max_readers=READERS_MAX,
            max_spare_txns=4,
            sync=False,
            metasync=False,
            meminit=False,
        )
        self._events = self.env.open_db(b"events")
        self._order = self.env.open_db(b"order")
        self._seen = self.env.open_db(b"seen")
        self._applied = self.env.open_db(b"applied")

    def close(self) -> None:
        self.env.close()

    def begin(self) -> "lmdb.Transaction[bytes]":
        """A read transaction. Begin it before the snapshot's: then an event is in one of the two, whatever
        the hub folds meanwhile.
        """
        return self.env.begin(buffers=False)

    def events(
        self,
        txn: "lmdb.Transaction[bytes]",
        keys: Iterable[bytes],
        watermark: Callable[[bytes], int],
    ) -> list[tuple[bytes, int, bytes]]:
        """(journal id, position, event bytes) of everything under the keys behind the watermark, each once.

        Parameters
        ----------
        watermark : position up to which the snapshot holds a journal; asked once for each journal met

        Raises
        ------
        TooManyEventsError
            More than EVENTS_READ_MAX.
        """
        found: dict[tuple[bytes, int], bytes] = {}
        marks: dict[bytes, int] = {}
        cursor = txn.cursor(self._events)
        for key in keys:
            more = cursor.set_range(key)
            while more:
                place = cursor.key()
                if place[:KEY_BYTES] != key:
                    break
                journal_id = place[KEY_BYTES : 2 * KEY_BYTES]
                position = _PLACE.unpack_from(place, 2 * KEY_BYTES)[0]
                if journal_id not in marks:
                    marks[journal_id] = watermark(journal_id)
                if position > marks[journal_id]:
                    found[journal_id, position] = cursor.value()
                    if len(found) > EVENTS_READ_MAX:
                        raise TooManyEventsError
                more = cursor.next()
        return [(journal_id, position, body) for (journal_id, position), body in found.items()]

    def has_seen(self, keys: Sequence[bytes]) -> list[bool]:
        """Whether each message was taken within the last day."""
        with self.env.begin(buffers=True) as txn:
            return [txn.get(key, db=self._seen) is not None for key in keys]

    def add(
        self, journal_id: bytes, positions: Sequence[int], entries: Sequence[OverlayEntry], received_ms: int
    ) -> list[bool]:
        """Take in what a journal has just made durable; for each entry whether it was new.

        A message that another worker took at the same moment is found here, under the writer lock: its
        second copy stays in the journal, where the hub will find it a duplicate too, and never counts in a
        decision.
        """
        fresh = []
        stamp = _U64.pack(received_ms)
        with self.env.begin(write=True) as txn:
            for position, entry in zip(positions, entries, strict=True):
                new = txn.put(entry.seen, stamp, db=self._seen, overwrite=False)
                fresh.append(new)
                if new and entry.keys:
                    self._put(txn, journal_id + _PLACE.pack(position), entry)
            txn.put(journal_id, _U64.pack(positions[-1]), db=self._applied)
        return fresh

    def applied(self, journal_id: bytes) -> int:
        """The position up to which a journal was taken in here."""
        with self.env.begin() as txn:
            value = txn.get(journal_id, db=self._applied)
        return 0 if value is None else int(_U64.unpack(value)[0])

    def trim(self, journal_id: bytes, position: int) -> int:
        """Remove a journal's events up to a position, which every record now holds; how many."""
        removed = 0
        while True:
            with self.env.begin(write=True) as txn:
                chunk = self._trim_chunk(txn, journal_id, position)
            removed += chunk
            if chunk < TRIM_CHUNK:
                return removed

    def _trim_chunk(self, txn: "lmdb.Transaction[bytes]", journal_id: bytes, position: int) -> int:
        cursor = txn.cursor(self._order)
        more, removed = cursor.set_range(journal_id), 0
        while more and removed < TRIM_CHUNK:
            place = cursor.key()
            if place[:KEY_BYTES] != journal_id or _PLACE.unpack_from(place, KEY_BYTES)[0] > position:
                break
            keys = cursor.value()
            for start in range(0, len(keys), KEY_BYTES):
                txn.delete(keys[start : start + KEY_BYTES] + place, db=self._events)
            more, removed = cursor.delete(), removed + 1
        return removed

    def has_untrimmed(self, journal_id: bytes, position: int) -> bool:
        """Whether `trim` would find anything, asked without the writer lock."""
        with self.env.begin() as txn:
            cursor = txn.cursor(self._order)
            if not cursor.set_range(journal_id):
                return False
            place = cursor.key()
            return place[:KEY_BYTES] == journal_id and _PLACE.unpack_from(place, KEY_BYTES)[0] <= position

    def sweep_seen(self, now_ms: int, after: bytes = b"") -> bytes:
        """Forget message ids of more than a day ago, one chunk from a key on; where to go on, empty at the
        end.
        """
        old: list[bytes] = []
        last, count = b"", 0
        with self.env.begin() as txn:
            cursor = txn.cursor(self._seen)
            more = cursor.set_range(after) if after else cursor.first()
            while more and count < SWEEP_CHUNK:
                last, count = cursor.key(), count + 1
                if now_ms - _U64.unpack(cursor.value())[0] > SEEN_KEPT_MS:
                    old.append(last)
                more = cursor.next()
            following = cursor.key() if more else b""
        for start in range(0, len(old), TRIM_CHUNK):
            with self.env.begin(write=True) as txn:
                for key in old[start : start + TRIM_CHUNK]:
                    txn.delete(key, db=self._seen)
        return following

    def reader_check(self) -> None:
        """Free the reader slots of processes that have died."""
        self.env.reader_check()

    def _put(self, txn: "lmdb.Transaction[bytes]", place: bytes, entry: OverlayEntry) -> None:
        keys = list(dict.fromkeys(entry.keys))[:KEYS_PER_EVENT_MAX]
        for key in keys:
            txn.put(key + place, entry.body, db=self._events)
        txn.put(place, b"".join(keys), db=self._order)


def wipe_overlay(folder: Path) -> None:
    """Remove the environment; only while nothing of the edge runs."""
    shutil.rmtree(folder, ignore_errors=True)
