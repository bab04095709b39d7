"""Signed frames: what changed since a number, or everything, in pieces that an edge takes in whole.

A frame says "your journals up to P are contained", so its records and its P are of one moment. What does not
fit into one frame is a group: every frame but the last is flagged MORE, all carry the same P, and the edge
applies them in one transaction (docs/decisions/0003).
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from core.frame import (
    DELETE_IDENTIFIER,
    DELETE_RECORD,
    FLAG_MORE,
    FLAG_SNAPSHOT,
    FLAG_SNAPSHOT_END,
    PAYLOAD_BYTES_MAX,
    PAYLOAD_BYTES_TARGET,
    PUT_IDENTIFIER,
    PUT_RECORD,
    Entry,
    frame_signing_bytes,
    pack_entries,
)
from hub.data.changes import Changes, Commit, Entries, compacted
from hub.store import change_log, journal_positions, log_state, profiles, sources
from hub.store.engine import Connection, Store
from hub.store.journal_positions import Positions
from onevoice.v1 import sync_pb2

#: More changes than this are not sent one by one: the edge takes a snapshot.
DELTA_ROWS_MAX: Final = 50_000
#: Cut early enough that the largest possible entry does not pass the format's limit.
PAYLOAD_BYTES_CUT: Final = PAYLOAD_BYTES_MAX - 128 * 1024
SNAPSHOT_PAGE: Final = 256
#: Payloads up to this are packed and signed on the event loop: a thread would cost more.
INLINE_BYTES_MAX: Final = 64 * 1024
PAYLOADS_KEPT: Final = 4

_DELETES: Final = {PUT_RECORD: DELETE_RECORD, PUT_IDENTIFIER: DELETE_IDENTIFIER}
Watermark = Mapping[str, int]


@dataclass(frozen=True)
class Delta:
    """Everything that changed in (after, last], with the positions as of `last`."""

    epoch: str
    after: int
    last: int
    entries: Entries
    positions: Positions
    stages_ms: tuple[int, int, int] = (0, 0, 0)

    @property
    def size(self) -> int:
        return sum(len(value or b"") for value in self.entries.values())


class SnapshotNeededError(Exception):
    """The edge cannot be brought up to date by changes."""


class Frames:
    """Makes the frames of all edges; what is the same for several is packed once."""

    def __init__(
        self, store: Store, changes: Changes, key: Ed25519PrivateKey, clock: Callable[[], int]
    ) -> None:
        self._store = store
        self._changes = changes
        self._key = key
        self._clock = clock
        self._payloads: dict[tuple[str, int, int], list[bytes]] = {}

    async def delta(self, after: int) -> Delta | None:
        """What an edge at `after` lacks; None: nothing.

        Raises
        ------
        SnapshotNeededError
            The log does not reach back that far, or far too much has changed.
        """
        commits = self._changes.since(after)
        if commits is None:
            return await self._store.read(lambda connection: _read_delta(connection, after))
        return _delta_of(after, commits) if commits else None

    async def delta_frames(self, edge_id: str, delta: Delta) -> list[sync_pb2.Frame]:
        """The frames that carry a delta to one edge."""
        if delta.size <= INLINE_BYTES_MAX:
            return self._delta_frames(edge_id, delta)
        return await asyncio.to_thread(self._delta_frames, edge_id, delta)

    def _delta_frames(self, edge_id: str, delta: Delta) -> list[sync_pb2.Frame]:
        payloads = self._delta_payloads(delta)
        watermark = delta.positions.get(edge_id, {})
        frames = []
        for index, payload in enumerate(payloads):
            more = index < len(payloads) - 1
            first = delta.after + 1 + index
            # Ranges inside a group only number its frames; there are more numbers than frames.
            last = first if more else delta.last
            flags = FLAG_MORE if more else 0
            frames.append(self._signed(delta.epoch, edge_id, (first, last), flags, watermark, payload))
            if any(delta.stages_ms):
                frames[-1].stages_ms.extend([*delta.stages_ms, self._clock()])
        return frames

    def _delta_payloads(self, delta: Delta) -> list[bytes]:
        key = (delta.epoch, delta.after, delta.last)
        found = self._payloads.get(key)
        if found is None:
            found = list(pack_in_frames(delta.entries))
            self._payloads[key] = found
            for old in list(self._payloads)[:-PAYLOADS_KEPT]:
                self._payloads.pop(old, None)
        return found

    async def snapshot(self, edge_id: str) -> AsyncGenerator[sync_pb2.Frame, None]:
        """Everything an edge holds, of one moment, in key order."""
        with ExitStack() as stack:
            connection = await asyncio.to_thread(stack.enter_context, self._store.reading())
            state, positions = await asyncio.to_thread(_read_place, connection)
            watermark = positions.get(edge_id, {})
            payloads = _snapshot_payloads(connection)
            payload = await asyncio.to_thread(next, payloads, b"")
            while True:
                # One ahead, to know which one is the last.
                following = await asyncio.to_thread(next, payloads, None)
                flags = FLAG_SNAPSHOT | (FLAG_SNAPSHOT_END if following is None else 0)
                place = (0, state.sequence)
                yield await asyncio.to_thread(
                    self._signed, state.epoch, edge_id, place, flags, watermark, payload
                )
                if following is None:
                    return
                payload = following

    def _signed(
        self,
        epoch: str,
        edge_id: str,
        place: tuple[int, int],
        flags: int,
        watermark: Watermark,
        payload: bytes,
    ) -> sync_pb2.Frame:
        first, last = place
        signature = self._key.sign(
            frame_signing_bytes(epoch, edge_id, first, last, flags, watermark, payload)
        )
        return sync_pb2.Frame(
            epoch=epoch,
            edge_id=edge_id,
            first=first,
            last=last,
            flags=flags,
            watermark=watermark,
            payload=payload,
            signature=signature,
            hub_time_ms=self._clock(),
        )


def pack_in_frames(entries: Entries) -> Iterator[bytes]:
    """Entries as payloads: one wherever they fit, else several in key order."""
    ops = (
        (kind if value is not None else _DELETES[kind], key, value or b"")
        for (kind, key), value in entries.items()
    )
    yield from _cut(sorted(ops, key=lambda entry: (entry[0], entry[1])), PAYLOAD_BYTES_CUT)


def _cut(entries: Iterable[Entry], size_max: int) -> Iterator[bytes]:
    """Payloads of about `size_max` bytes at most; at least one, if only an empty one."""
    some: list[Entry] = []
    size = 0
    for entry in entries:
        some.append(entry)
        size += len(entry[1]) + len(entry[2]) + 8
        if size >= size_max:
            yield pack_entries(some)
            some, size = [], 0
    if some or not size:
        yield pack_entries(some)


def _delta_of(after: int, commits: list[Commit]) -> Delta:
    newest = commits[-1]
    stages = (newest.logged_ms, newest.began_ms, newest.committed_ms)
    entries = newest.entries if len(commits) == 1 else compacted(commits)
    return Delta(newest.epoch, after, newest.last, entries, newest.positions, stages)


def _read_place(connection: Connection) -> tuple[log_state.LogState, Positions]:
    return log_state.read(connection), journal_positions.read(connection)


def _read_delta(connection: Connection, after: int) -> Delta | None:
    state, positions = _read_place(connection)
    if state.sequence == after:
        return None
    if state.sequence < after or state.log_floor > after:
        raise SnapshotNeededError
    changed = change_log.newest_in(connection, after, state.sequence, DELTA_ROWS_MAX + 1)
    if len(changed) > DELTA_ROWS_MAX:
        raise SnapshotNeededError
    keys = {
        kind: [key for _, changed_kind, key in changed if changed_kind == kind]
        for kind in (change_log.RECORD, change_log.IDENTIFIER)
    }
    entries: Entries = {}
    for kind, wanted, found in (
        (PUT_RECORD, keys[change_log.RECORD], profiles.edge_records(connection, keys[change_log.RECORD])),
        (
            PUT_IDENTIFIER,
            keys[change_log.IDENTIFIER],
            sources.profile_ids(connection, keys[change_log.IDENTIFIER]),
        ),
    ):
        entries.update(((kind, key), found.get(key)) for key in wanted)
    return Delta(state.epoch, after, state.sequence, entries, positions)


def _snapshot_payloads(connection: Connection) -> Iterator[bytes]:
    return _cut(_snapshot_entries(connection), PAYLOAD_BYTES_TARGET)


def _snapshot_entries(connection: Connection) -> Iterator[Entry]:
    for kind, page in ((PUT_RECORD, profiles.edge_page), (PUT_IDENTIFIER, sources.page)):
        after = b""
        while rows := page(connection, after, SNAPSHOT_PAGE):
            for key, value in rows:
                yield kind, key, value
            after = rows[-1][0]
