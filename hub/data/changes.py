"""Changes that the edges must hear of: numbered in commit order, written with what they are about.

Whoever changes a record or an identifier does it through `Changes.write`, which hands the work a `ChangeSet`.
After the commit the change is kept in memory for a while, so that frames need no second reading.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from core.frame import PUT_IDENTIFIER, PUT_RECORD
from core.hashing import xxh64
from hub.store import change_log, journal_positions, log_state
from hub.store.engine import Connection, Store
from hub.store.journal_positions import Positions

T = TypeVar("T")
P = ParamSpec("P")
Clock = Callable[[], int]
#: (PUT_RECORD or PUT_IDENTIFIER, key) -> value; None: it is gone.
Entries = dict[tuple[int, bytes], bytes | None]

RECENT_COMMITS_MAX: Final = 1024
RECENT_BYTES_MAX: Final = 32 * 1024 * 1024
_ENTRY_BYTES: Final = 100
_KINDS: Final = {PUT_RECORD: change_log.RECORD, PUT_IDENTIFIER: change_log.IDENTIFIER}


@dataclass(frozen=True)
class Commit:
    """One committed transaction, as the edges' streams see it."""

    epoch: str
    first: int
    last: int
    entries: Entries
    positions: Positions  # of every edge, as of `last`
    digest: int
    digest_entries: int
    logged_ms: int  # when the log had the newest event inside; 0 if no event caused it
    began_ms: int
    committed_ms: int

    @property
    def size(self) -> int:
        """About how much memory it holds."""
        return sum(len(value or b"") + _ENTRY_BYTES for value in self.entries.values())


@dataclass
class ChangeSet:
    """The changes of one transaction while it runs."""

    state: log_state.LogState
    positions: Positions
    now_ms: int
    entries: Entries = field(default_factory=dict)
    logged_ms: int = 0
    stream_sequence: int | None = None
    _numbered: list[tuple[int, int, bytes]] = field(default_factory=list)
    _moved: dict[str, dict[str, int]] = field(default_factory=dict)
    _digest: int = 0
    _digest_entries: int = 0

    def number(self, kind: int, key: bytes) -> int:
        """The change-log number of a change of (kind, key); one for each thing in a transaction."""
        sequence = self.state.sequence + len(self._numbered) + 1
        self._numbered.append((sequence, _KINDS[kind], key))
        return sequence

    def put(self, kind: int, key: bytes, value: bytes, before: int) -> int:
        """Say what stands under (kind, key) now; `before`: digest of what stood there, 0 for nothing."""
        after = entry_digest(key, value)
        self.entries[kind, key] = value
        self._digest ^= before ^ after
        self._digest_entries += before == 0
        return after

    def drop(self, kind: int, key: bytes, before: int) -> int:
        """Say that (kind, key) is gone; returns the number of the change."""
        self.entries[kind, key] = None
        self._digest ^= before
        self._digest_entries -= 1
        return self.number(kind, key)

    def move(self, edge_id: str, journal_id: str, position: int) -> None:
        """Say that a journal is contained up to `position`."""
        self._moved.setdefault(edge_id, {})[journal_id] = position

    def position(self, edge_id: str, journal_id: str) -> int:
        """Up to where a journal is contained, this transaction included."""
        moved = self._moved.get(edge_id, {}).get(journal_id)
        return moved if moved is not None else self.positions.get(edge_id, {}).get(journal_id, 0)

    @property
    def last(self) -> int:
        """The newest number, as it will be after the commit."""
        # A moved position alone takes a number too: it is a change that its edge must hear of.
        return self.state.sequence + max(len(self._numbered), 1 if self._moved else 0)

    def finish(self, connection: Connection) -> log_state.LogState:
        """Write log, positions and state; returns the new state."""
        change_log.append(connection, self._numbered)
        for edge_id, positions in self._moved.items():
            journal_positions.save(connection, edge_id, positions, self.now_ms)
        sequence = self.last
        values: dict[str, Any] = {}
        if sequence != self.state.sequence:
            values["sequence"] = sequence
            values["digest"] = signed(unsigned(self.state.digest) ^ self._digest)
            values["digest_entries"] = self.state.digest_entries + self._digest_entries
        if self.stream_sequence is not None:
            values["stream_sequence"] = self.stream_sequence
        if values:
            log_state.write(connection, **values)
        return self.state._replace(**values)

    def moved_positions(self) -> Positions:
        """Positions of every edge with this transaction's moves."""
        if not self._moved:
            return self.positions
        edges = self.positions.keys() | self._moved.keys()
        return {edge: {**self.positions.get(edge, {}), **self._moved.get(edge, {})} for edge in edges}


class Changes:
    """The one way to change what edges hold; keeps the recent commits and wakes who waits for them."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._positions: tuple[int, Positions] = (-1, {})  # writer's thread only
        self._recent: deque[Commit] = deque()
        self._recent_bytes = 0
        self._listeners: list[Callable[[], None]] = []
        self.epoch = ""
        self.latest = 0
        self.digests: dict[int, tuple[int, int]] = {}

    async def start(self) -> None:
        """Read where the store stands; commits are told on the running event loop."""
        self._loop = asyncio.get_running_loop()
        await self.refresh()

    async def watch(self, every_seconds: float) -> None:
        """Hear of what other replicas commit, for as long as the task runs."""
        while True:
            await asyncio.sleep(every_seconds)
            await self.refresh()

    async def refresh(self) -> None:
        """Look whether another replica has committed something."""
        state = await self._store.read(log_state.read)
        self.epoch = state.epoch
        if state.sequence > self.latest:
            self._advance(state.sequence, state.digest, state.digest_entries)

    async def write(
        self, work: Callable[Concatenate[Connection, ChangeSet, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `work` in a transaction of the writer's thread and tell what it changed after the commit."""
        began_ms = self._clock()

        def run(connection: Connection) -> tuple[T, ChangeSet, log_state.LogState]:
            changes = self._begin(connection)
            # Only a transaction that came to its end may leave its positions behind for the next one.
            self._positions = (-1, {})
            result = work(connection, changes, *args, **kwargs)
            state = changes.finish(connection)
            self._positions = (state.sequence, changes.moved_positions())
            return result, changes, state

        result, changes, state = await self._store.write(run)
        self._committed(changes, state, began_ms)
        return result

    def subscribe(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` on the event loop after each commit; the returned function ends it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def since(self, sequence: int) -> list[Commit] | None:
        """Commits after `sequence`, oldest first; None where memory does not reach back that far."""
        if sequence == self.latest:
            return []
        if not self._recent or self._recent[0].first > sequence + 1 or self._recent[-1].last != self.latest:
            return None
        found = []
        for commit in reversed(self._recent):
            if commit.last <= sequence:
                break
            found.append(commit)
        return found[::-1]

    def _begin(self, connection: Connection) -> ChangeSet:
        state = log_state.read(connection)
        if self._positions[0] != state.sequence:
            self._positions = (state.sequence, journal_positions.read(connection))
        return ChangeSet(state, self._positions[1], self._clock())

    def _committed(self, changes: ChangeSet, state: log_state.LogState, began_ms: int) -> None:
        first = changes.state.sequence + 1
        if state.sequence < first:
            return
        commit = Commit(
            state.epoch,
            first,
            state.sequence,
            changes.entries,
            changes.moved_positions(),
            unsigned(state.digest),
            state.digest_entries,
            changes.logged_ms,
            began_ms,
            self._clock(),
        )
        if self._recent and self._recent[-1].last != first - 1:
            self._recent.clear()
            self._recent_bytes = 0
        self._recent.append(commit)
        self._recent_bytes += commit.size
        while len(self._recent) > RECENT_COMMITS_MAX or self._recent_bytes > RECENT_BYTES_MAX:
            self._recent_bytes -= self._recent.popleft().size
        self._advance(commit.last, commit.digest, commit.digest_entries)

    def _advance(self, sequence: int, digest: int, entries: int) -> None:
        self.latest = sequence
        self.digests[sequence] = (unsigned(digest), entries)
        if len(self.digests) > RECENT_COMMITS_MAX:
            del self.digests[next(iter(self.digests))]
        for listener in tuple(self._listeners):
            listener()


def compacted(commits: list[Commit]) -> Entries:
    """What stands after all of them, each thing once."""
    entries: Entries = {}
    for commit in commits:
        entries.update(commit.entries)
    return entries


def entry_digest(key: bytes, value: bytes) -> int:
    """XXH64 of key and value, never 0: what a scrubber adds up by XOR."""
    return xxh64(key + value)


def signed(value: int) -> int:
    """A 64-bit number as SQL holds it."""
    return value - (1 << 64) if value >= 1 << 63 else value


def unsigned(value: int) -> int:
    return value & 0xFFFFFFFFFFFFFFFF
