"""Reading the snapshot in a worker: one environment, one read transaction per decision, nothing copied."""

from pathlib import Path
from typing import TypeAlias

import lmdb

from edge.snapshot.environment import (
    META_SEQUENCE,
    META_WATERMARK,
    U64,
    open_databases,
    open_environment,
    read_pointer,
)

ReadTxn: TypeAlias = "lmdb.Transaction[memoryview]"


class SnapshotReader:
    """The current snapshot, read-only. What a transaction gives is valid only until it ends."""

    def __init__(self, path: Path, bytes_max: int) -> None:
        self._env = open_environment(path, bytes_max, readonly=True)
        self._records, self._identifiers, self._meta = open_databases(self._env, create=False)
        self.name = path.name

    def begin(self) -> ReadTxn:
        """A read transaction; end it before anything is awaited."""
        return self._env.begin(buffers=True)

    def profile_id(self, txn: ReadTxn, identifier: bytes) -> bytes | None:
        """The profile that an identifier hash points to."""
        found = txn.get(identifier, db=self._identifiers)
        return None if found is None else bytes(found)

    def record(self, txn: ReadTxn, profile_id: bytes) -> memoryview | None:
        """The profile's record, in LMDB's own pages."""
        return txn.get(profile_id, db=self._records)

    def watermark(self, txn: ReadTxn, journal_id: bytes) -> int:
        """P of one journal: its events up to here are in the records."""
        found = txn.get(META_WATERMARK + journal_id, db=self._meta)
        return 0 if found is None else int(U64.unpack(found)[0])

    def sequence(self) -> int:
        """The change-log sequence that the snapshot has reached."""
        with self.begin() as txn:
            found = txn.get(META_SEQUENCE, db=self._meta)
            return 0 if found is None else int(U64.unpack(found)[0])

    def close(self) -> None:
        self._env.close()


def open_current(snapshots: Path, bytes_max: int) -> SnapshotReader | None:
    """The current snapshot; None before the first. Raises SnapshotDamagedError."""
    path = read_pointer(snapshots)
    return None if path is None else SnapshotReader(path, bytes_max)
