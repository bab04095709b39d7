"""Writing the snapshot: frames in one transaction each with their watermark, snapshots into a fresh
environment.

Only the sync process does this. A frame is taken whole or not at all; the pointer moves only to an
environment that is complete and on disk.
"""

import secrets
import shutil
import struct
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import lmdb

from core.errors import FrameError
from core.frame import (
    DELETE_IDENTIFIER,
    DELETE_RECORD,
    FLAG_MORE,
    FLAG_SNAPSHOT,
    FLAG_SNAPSHOT_END,
    PUT_IDENTIFIER,
    PUT_RECORD,
    Entry,
    iter_entries,
)
from core.hashing import xxh64
from edge.errors import FrameRefusedError
from edge.snapshot.environment import (
    ASIDE_PREFIX,
    ENVIRONMENT_PREFIX,
    META_EPOCH,
    META_HUB_TIME,
    META_SEQUENCE,
    META_WATERMARK,
    U64,
    open_databases,
    open_environment,
    read_pointer,
    remove_pointer,
    write_pointer,
)

KEY_BYTES: Final = 16
#: A switch to a fresh environment when more than half of at least so many pages are free.
FREE_PAGES_MIN: Final = 4096
ASIDE_KEPT_MAX: Final = 1
#: Payload bytes of frames that belong together, held until the last of them has come.
GROUP_BYTES_MAX: Final = 256 * 1024 * 1024
_I64 = struct.Struct("<q")


@dataclass(frozen=True)
class Change:
    """A frame's content, its signature checked already."""

    epoch: str
    first: int
    last: int
    flags: int
    watermark: Mapping[bytes, int]  # journal id -> position
    payload: bytes
    hub_time_ms: int

    @property
    def is_snapshot(self) -> bool:
        return bool(self.flags & FLAG_SNAPSHOT)


class _Target:
    """One environment open for writing."""

    def __init__(self, path: Path, bytes_max: int, *, new: bool = False) -> None:
        self.path = path
        # A new one is synced once, when it is complete.
        self.env = open_environment(path, bytes_max, readonly=False, new=new, sync=not new)
        try:
            self.records, self.identifiers, self.meta = open_databases(self.env, create=new)
        except BaseException:
            self.env.close()
            raise

    def put(self, txn: "lmdb.Transaction[bytes]", entries: Iterable[Entry]) -> None:
        for op, key, value in entries:
            if len(key) != KEY_BYTES or (op == PUT_IDENTIFIER and len(value) != KEY_BYTES):
                got = f"{len(key)} and {len(value)} bytes"
                raise FrameError(expected=f"keys of {KEY_BYTES} bytes", got=got, path="payload")
            if op == PUT_RECORD:
                txn.put(key, value, db=self.records)
            elif op == PUT_IDENTIFIER:
                txn.put(key, value, db=self.identifiers)
            elif op == DELETE_RECORD:
                txn.delete(key, db=self.records)
            elif op == DELETE_IDENTIFIER:
                txn.delete(key, db=self.identifiers)

    def stamp(self, txn: "lmdb.Transaction[bytes]", change: Change) -> None:
        txn.put(META_EPOCH, change.epoch.encode(), db=self.meta)
        txn.put(META_SEQUENCE, U64.pack(change.last), db=self.meta)
        txn.put(META_HUB_TIME, _I64.pack(change.hub_time_ms), db=self.meta)
        for journal_id, position in change.watermark.items():
            txn.put(META_WATERMARK + journal_id, U64.pack(position), db=self.meta)

    def head(self) -> tuple[str, int]:
        with self.env.begin() as txn:
            epoch, sequence = txn.get(META_EPOCH, db=self.meta), txn.get(META_SEQUENCE, db=self.meta)
        return (epoch or b"").decode(), 0 if sequence is None else int(U64.unpack(sequence)[0])

    def watermark(self) -> dict[bytes, int]:
        marks = {}
        with self.env.begin() as txn:
            cursor = txn.cursor(self.meta)
            more = cursor.set_range(META_WATERMARK)
            while more and cursor.key()[:1] == META_WATERMARK:
                marks[cursor.key()[1:]] = int(U64.unpack(cursor.value())[0])
                more = cursor.next()
        return marks


class SnapshotWriter:
    """The current snapshot and, while one is coming, the next. Not thread-safe."""

    def __init__(self, snapshots: Path, bytes_max: int) -> None:
        self._snapshots = snapshots
        self._bytes_max = bytes_max
        self._next: _Target | None = None
        self._next_sequence = 0
        self._group: list[Change] = []
        self.epoch = ""
        self.sequence = 0
        self.watermark: dict[bytes, int] = {}
        self._current = self._open_current()
        self._remove_unfinished()

    def _open_current(self) -> _Target | None:
        path = read_pointer(self._snapshots)
        if path is None:
            return None
        target = _Target(path, self._bytes_max)
        self.epoch, self.sequence = target.head()
        self.watermark = target.watermark()
        return target

    @property
    def is_open(self) -> bool:
        return self._current is not None

    @property
    def name(self) -> str:
        """The folder of the current environment."""
        return "" if self._current is None else self._current.path.name

    def apply(self, change: Change) -> bool:
        """Take one frame in; whether the pointer was switched.

        Raises
        ------
        FrameRefusedError
            `code` says why, in the words of `FrameAck`: gap, overlap, epoch, payload, full.
        """
        try:
            if change.is_snapshot:
                self._group.clear()
                return self._apply_snapshot(change)
            return self._apply_frame(change)
        except FrameError as error:
            self._group.clear()
            raise _refused("payload", error.expected, error.got) from error
        except FrameRefusedError:
            self._group.clear()
            raise

    @property
    def is_inside_group(self) -> bool:
        """Whether frames are held that wait for the last one of their group."""
        return bool(self._group)

    def forget_group(self) -> None:
        """The stream has ended: a group begun on it comes anew on the next."""
        self._group.clear()

    def _check_range(self, change: Change) -> None:
        if self._current is None or change.epoch != self.epoch:
            raise _refused("epoch", f"epoch {self.epoch or 'of a snapshot'}", f"epoch {change.epoch}")
        reached = self._group[-1].last if self._group else self.sequence
        if change.first > reached + 1:
            raise _refused("gap", f"a frame from {reached + 1}", f"one from {change.first}")
        if change.first <= reached or change.last < change.first:
            got = f"one from {change.first} to {change.last}"
            raise _refused("overlap", f"a frame from {reached + 1}", got)

    def _apply_frame(self, change: Change) -> bool:
        self._check_range(change)
        assert self._current is not None
        if change.flags & FLAG_MORE:
            self._hold(change)
            return False
        group, self._group = [*self._group, change], []
        switched = False
        try:
            self._write(self._current, group)
        except lmdb.MapFullError:
            # Deleted pages may have eaten the room: a compacted copy has it back.
            self.compact()
            switched = True
            try:
                self._write(self._current, group)
            except lmdb.MapFullError as error:
                raise _refused("full", f"a snapshot of at most {self._bytes_max} bytes", "more") from error
        self.sequence = change.last
        self.watermark.update(change.watermark)
        return switched

    def _hold(self, change: Change) -> None:
        """Keep a frame until the group's last: records and P of a group are of one moment, and go in
        together.
        """
        size = sum(len(held.payload) for held in self._group) + len(change.payload)
        if size > GROUP_BYTES_MAX:
            raise _refused("payload", f"groups of at most {GROUP_BYTES_MAX} bytes", f"{size} bytes")
        self._group.append(change)

    def _write(self, target: _Target, group: Sequence[Change]) -> None:
        with target.env.begin(write=True) as txn:
            for change in group:
                target.put(txn, iter_entries(change.payload))
            target.stamp(txn, group[-1])

    def _apply_snapshot(self, change: Change) -> bool:
        if change.first != 0:
            raise _refused("gap", "a snapshot from 0", f"one from {change.first}")
        if self._next is None or change.last != self._next_sequence:
            self.drop_unfinished()
            self._next = _Target(self._new_path(), self._bytes_max, new=True)
            self._next_sequence = change.last
        try:
            self._write(self._next, [change])
        except lmdb.MapFullError as error:
            self.drop_unfinished()
            raise _refused("full", f"a snapshot of at most {self._bytes_max} bytes", "more") from error
        if not change.flags & FLAG_SNAPSHOT_END:
            return False
        finished, self._next = self._next, None
        finished.env.sync(True)
        finished.env.close()
        self._switch(finished.path)
        return True

    def compact(self) -> None:
        """Copy the current environment without its free pages, and switch to the copy."""
        assert self._current is not None
        path = self._new_path()
        path.mkdir()
        self._current.env.copy(str(path), compact=True)
        self._switch(path)

    def _switch(self, path: Path) -> None:
        write_pointer(self._snapshots, path)
        self._close_current()
        self._current = self._open_current()

    def set_aside(self) -> None:
        """Nothing here can be trusted: no environment is current until a snapshot has come."""
        self._close_current()
        self.drop_unfinished()
        set_aside(self._snapshots)
        self.epoch, self.sequence, self.watermark = "", 0, {}

    def drop_unfinished(self) -> None:
        """Forget a snapshot of which not all parts have come."""
        if self._next is not None:
            self._next.env.close()
            shutil.rmtree(self._next.path, ignore_errors=True)
            self._next = None

    def wants_compaction(self) -> bool:
        """Whether more than half of the pages are free."""
        if self._current is None:
            return False
        env = self._current.env
        with env.begin() as txn:
            stats = [
                txn.stat(db) for db in (self._current.records, self._current.identifiers, self._current.meta)
            ]
        used = sum(stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"] for stat in stats)
        total = env.info()["last_pgno"] + 1
        return total >= FREE_PAGES_MIN and total - used > total // 2

    def delete_old(self) -> int:
        """Delete environments that are neither current nor coming; only after their last reader has gone."""
        keep = {self.name, self._next.path.name if self._next is not None else ""}
        old = [path for path in self._snapshots.glob(f"{ENVIRONMENT_PREFIX}*") if path.name not in keep]
        for path in old:
            shutil.rmtree(path, ignore_errors=True)
        return len(old)

    def digest(self) -> tuple[int, int]:
        """(XOR of XXH64 of key and value over all records and identifiers, their number), for the
        scrubber.
        """
        digest = count = 0
        if self._current is not None:
            with self._current.env.begin() as txn:
                for db in (self._current.records, self._current.identifiers):
                    for key, value in txn.cursor(db):
                        digest ^= xxh64(key + value)
                        count += 1
        return digest, count

    def reader_check(self) -> None:
        """Free the reader slots of workers that have died."""
        if self._current is not None:
            self._current.env.reader_check()

    def close(self) -> None:
        self.drop_unfinished()
        self._close_current()

    def _close_current(self) -> None:
        if self._current is not None:
            self._current.env.close()
            self._current = None

    def _new_path(self) -> Path:
        return self._snapshots / f"{ENVIRONMENT_PREFIX}{time.time_ns():020d}-{secrets.token_hex(4)}"

    def _remove_unfinished(self) -> None:
        """At the start nobody reads anything but the current environment."""
        self.delete_old()


def set_aside(snapshots: Path) -> None:
    """Rename the current environment, so that a person can look at it, and keep only the newest such."""
    path = None
    try:
        path = read_pointer(snapshots)
    finally:
        remove_pointer(snapshots)
    if path is not None and path.exists():
        path.rename(path.with_name(f"{ASIDE_PREFIX}{time.time_ns():020d}"))
    for old in sorted(snapshots.glob(f"{ASIDE_PREFIX}*"))[:-ASIDE_KEPT_MAX]:
        shutil.rmtree(old, ignore_errors=True)


def _refused(code: str, expected: str, got: str) -> FrameRefusedError:
    error = FrameRefusedError(expected=expected, got=got, path="frame")
    error.code = code
    return error
