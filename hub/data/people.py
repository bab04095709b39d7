"""The profiles that ingestion has at hand: read once, folded in memory, written by each micro-batch."""

import os
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from core.fold import State
from core.frame import PUT_IDENTIFIER, PUT_RECORD
from core.identifiers import KNOWN_TYPES
from core.record import project
from hub.data.changes import ChangeSet, entry_digest
from hub.data.view import BundleView
from hub.store import profiles, sources
from hub.store.engine import Connection

PEOPLE_MAX: Final = 16_384
#: Of packed records; open for folding they take a few times that.
PEOPLE_BYTES_MAX: Final = 32 * 1024 * 1024
_ID_RANDOM_BYTES: Final = 10


@dataclass(slots=True)
class SourceState:
    """What was seen under one identifier, open for folding."""

    source_id: bytes
    kind: str
    state: State
    has_value: bool
    person: "Person"
    joined_at_ms: int = 0
    changed: bool = False
    joined: bool = False  # to this profile, in this transaction


@dataclass(slots=True)
class Person:
    """One profile: its sources, and their fold."""

    profile_id: bytes
    unit_key: bytes
    created_at_ms: int
    edge_digest: int = 0  # of the entry that edges hold; 0: none
    size: int = 0  # of the record
    sources: dict[bytes, SourceState] = field(default_factory=dict)
    merged: State = field(default_factory=State)
    changed: bool = False

    @property
    def known(self) -> bool:
        return any(source.kind in KNOWN_TYPES for source in self.sources.values())

    def known_sources(self) -> list[SourceState]:
        return [source for source in self.sources.values() if source.kind in KNOWN_TYPES]

    def add(self, source: SourceState) -> None:
        """Make a source one of this profile's; a single source's state is the profile's own."""
        if not self.sources:
            self.merged = source.state
        else:
            if len(self.sources) == 1:
                self.merged = self.merged.copy()
            self.merged.merge(source.state)
        self.sources[source.source_id] = source


class People:
    """A bounded cache of profiles for the writer's thread, right as long as nobody else wrote meanwhile."""

    def __init__(self, limit: int = PEOPLE_MAX) -> None:
        self._limit = limit
        self._people: OrderedDict[bytes, Person] = OrderedDict()
        self._sources: dict[bytes, SourceState] = {}
        self._changed: dict[bytes, Person] = {}
        self._bytes = 0
        self._sequence = -1

    def begin(self, sequence: int) -> None:
        """Start a transaction on a store at `sequence`; what was cached of another one is forgotten."""
        if sequence != self._sequence:
            self.clear()
        # Until `saved`: a transaction that fails leaves states that no store holds.
        self._sequence = -1

    def saved(self, sequence: int) -> None:
        """The transaction came to its end with this sequence."""
        self._sequence = sequence
        while len(self._people) > self._limit or self._bytes > PEOPLE_BYTES_MAX:
            _, person = self._people.popitem(last=False)
            self._bytes -= person.size
            for source_id in person.sources:
                del self._sources[source_id]

    def clear(self) -> None:
        self._people.clear()
        self._sources.clear()
        self._changed.clear()
        self._bytes = 0

    def load(self, connection: Connection, source_ids: Iterable[bytes]) -> None:
        """Bring in the profiles to which these identifiers belong, with all their sources."""
        missing = [key for key in source_ids if key not in self._sources]
        if not missing:
            return
        wanted = set(sources.profile_ids(connection, missing).values())
        for row in profiles.by_id(connection, wanted):
            person = Person(row.profile_id, row.unit_key, row.created_at_ms)
            person.edge_digest = entry_digest(row.profile_id, row.edge_record)
            person.size = len(row.record)
            self._bytes += person.size
            self._people[row.profile_id] = person
        for source in sources.of_profiles(connection, wanted):
            person = self._people[source.profile_id]
            state = State.unpack(source.state) if source.state else State()
            held = SourceState(
                source.source_id, source.kind, state, source.value is not None, person, source.joined_at_ms
            )
            person.add(held)
            self._sources[source.source_id] = held

    def source(self, source_id: bytes) -> SourceState | None:
        """The source, if it was loaded and exists."""
        return self._sources.get(source_id)

    def create(self, unit_key: bytes, now_ms: int) -> Person:
        person = Person(new_profile_id(), unit_key, now_ms)
        self._people[person.profile_id] = person
        self.touch(person)
        return person

    def join(self, person: Person, source_id: bytes, kind: str, now_ms: int) -> SourceState:
        """Make a new source of a profile."""
        source = SourceState(source_id, kind, State(), False, person, now_ms, changed=True, joined=True)
        person.add(source)
        self._sources[source_id] = source
        self.touch(person)
        return source

    def touch(self, person: Person) -> None:
        """The profile has to be written."""
        person.changed = True
        self._changed[person.profile_id] = person
        self._people.move_to_end(person.profile_id)

    def save(self, connection: Connection, changes: ChangeSet, view: BundleView) -> None:
        """Pack and write every profile that was touched, with its changed sources."""
        profile_rows, source_rows = [], []
        for person in self._changed.values():
            self._bytes -= person.size
            profile_rows.append(_packed(person, changes, view))
            self._bytes += person.size
            changed = [source for source in person.sources.values() if source.changed]
            source_rows += [_packed_source(source, changes, view) for source in changed]
            person.changed = False
        self._changed.clear()
        profiles.save(connection, profile_rows)
        sources.save(connection, source_rows)


def _packed(person: Person, changes: ChangeSet, view: BundleView) -> dict[str, object]:
    sequence = changes.number(PUT_RECORD, person.profile_id)
    known = person.known
    record = person.merged.pack(
        layout_id=view.document.layout_id,
        sequence=sequence,
        packed_at_ms=changes.now_ms,
        unit_key=person.unit_key,
        known=known,
    )
    person.size = len(record)
    edge_record = project(record, view.edge_slots)
    person.edge_digest = changes.put(PUT_RECORD, person.profile_id, edge_record, person.edge_digest)
    return {
        "profile_id": person.profile_id,
        "unit_key": person.unit_key,
        "created_at_ms": person.created_at_ms,
        "known": known,
        "record": record,
        "edge_record": edge_record,
        "sequence": sequence,
        "packed_at_ms": changes.now_ms,
    }


def _packed_source(source: SourceState, changes: ChangeSet, view: BundleView) -> dict[str, object]:
    profile_id = source.person.profile_id
    if source.joined:
        changes.number(PUT_IDENTIFIER, source.source_id)
        changes.put(PUT_IDENTIFIER, source.source_id, profile_id, 0)
    source.changed = source.joined = False
    state = b""
    if not source.state.is_empty:
        # Sources carry no time and no sequence of their own: equal events give equal bytes.
        state = source.state.pack(
            layout_id=view.document.layout_id,
            sequence=0,
            packed_at_ms=0,
            unit_key=source.source_id,
            known=source.kind in KNOWN_TYPES,
        )
    return {
        "source_id": source.source_id,
        "kind": source.kind,
        "profile_id": profile_id,
        "state": state,
        "joined_at_ms": source.joined_at_ms,
    }


def new_profile_id() -> bytes:
    """16 bytes, time first: profiles made together lie together, in SQL and in the edges' snapshots."""
    return (time.time_ns() // 1_000_000).to_bytes(6, "big") + os.urandom(_ID_RANDOM_BYTES)
