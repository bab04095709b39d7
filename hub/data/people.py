"""The profiles that ingestion has at hand: read once, folded in memory, written by each micro-batch."""

import os
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from core.fold import State
from core.frame import PUT_IDENTIFIER, PUT_RECORD
from core.identifiers import KNOWN_TYPES
from core.record import project
from hub.data.changes import ChangeSet, entry_digest
from hub.data.links import Links
from hub.data.resolution import Group
from hub.data.view import BundleView
from hub.store import profiles, sources
from hub.store.engine import Connection
from hub.store.statements import Row

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
    joined_at_ms: int
    first_ms: int
    linked_ms: int
    own_profile_id: bytes
    held_under: bytes = b""  # the profile that store and edges have it in

    @property
    def is_known(self) -> bool:
        """Whether it says who a person is, not only which device."""
        return self.kind in KNOWN_TYPES


@dataclass(slots=True)
class Person:
    """One profile: its sources, and their fold."""

    profile_id: bytes
    unit_key: bytes
    created_at_ms: int
    edge_digest: int = 0  # of the entry that edges hold; 0: none
    size: int = 0  # of the record
    rekeyed: bool = False  # unit key or creation differ from what is stored
    sources: dict[bytes, SourceState] = field(default_factory=dict)
    merged: State = field(default_factory=State)

    @property
    def known(self) -> bool:
        return any(source.is_known for source in self.sources.values())

    @property
    def linked_ms(self) -> int:
        """Newest receipt of an event that linked one of the identifiers with another."""
        return max(source.linked_ms for source in self.sources.values())

    def group(self) -> Group:
        """The identifiers, as `resolution` sees them."""
        known = {one.source_id: one.kind for one in self.sources.values() if one.is_known}
        first_ms = min(source.first_ms for source in self.sources.values())
        return Group(self.unit_key, self.created_at_ms, first_ms, set(self.sources), known)

    def add(self, source: SourceState) -> None:
        """Make a source one of this profile's; a single source's state is the profile's own."""
        if not self.sources:
            self.merged = source.state
        else:
            if len(self.sources) == 1:
                self.merged = self.merged.copy()
            self.merged.merge(source.state)
        self.sources[source.source_id] = source
        source.person = self

    def clear(self) -> None:
        """Give up every source."""
        self.sources = {}
        self.merged = State()


class People:
    """A bounded cache of profiles for the writer's thread, right as long as nobody else wrote meanwhile."""

    def __init__(self, limit: int = PEOPLE_MAX) -> None:
        self._limit = limit
        self._people: OrderedDict[bytes, Person] = OrderedDict()
        self._sources: dict[bytes, SourceState] = {}
        self._changed: dict[bytes, Person] = {}
        self._folded: dict[bytes, SourceState] = {}
        self._changed_sources: dict[bytes, SourceState] = {}
        self.links = Links()
        self._bytes = 0
        self._sequence = -1

    def begin(self, sequence: int) -> None:
        """Start a transaction on a store at `sequence`; what was cached of another one is forgotten."""
        if sequence != self._sequence:
            self.clear()
        self.links.begin()
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
        self.links.trim()

    def clear(self) -> None:
        self._people.clear()
        self._sources.clear()
        self._changed.clear()
        self._folded.clear()
        self._changed_sources.clear()
        self.links.clear()
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
                source.source_id,
                source.kind,
                state,
                source.value is not None,
                person,
                source.joined_at_ms,
                source.first_ms,
                source.linked_ms,
                source.own_profile_id,
                source.profile_id,
            )
            person.add(held)
            self._sources[source.source_id] = held

    def source(self, source_id: bytes) -> SourceState | None:
        """The source, if it was loaded and exists."""
        return self._sources.get(source_id)

    def create(self, source_id: bytes, kind: str, first_ms: int, now_ms: int) -> SourceState:
        """A new source with a profile of its own."""
        person = Person(new_profile_id(), source_id, first_ms)
        source = SourceState(source_id, kind, State(), False, person, now_ms, first_ms, 0, person.profile_id)
        person.add(source)
        self._people[person.profile_id] = person
        self._sources[source_id] = source
        self.touch(person)
        self.change(source)
        return source

    def unite(self, winner: Person, loser: Person, now_ms: int) -> None:
        """Make one profile of two; the loser is removed when they are saved."""
        moved = list(loser.sources.values())
        loser.clear()
        for source in moved:
            self._move(source, winner, now_ms)
        self.touch(winner)
        self.touch(loser)

    def is_grouped(self, group: Group) -> bool:
        """Whether the group is a profile already, as it stands."""
        person = self._sources[group.leader].person
        named = (person.unit_key, person.created_at_ms) == (group.leader, group.created_ms)
        return named and person.sources.keys() == group.sources

    def regroup(self, groups: Sequence[Group], now_ms: int) -> None:
        """Make profiles exactly of these groups, whose sources are all loaded."""
        before = {key: self._sources[key].person for group in groups for key in group.sources}
        for person in {id(person): person for person in before.values()}.values():
            person.clear()
            self.touch(person)
        for group in groups:
            leader = self._sources[group.leader]
            person = self._of_id(leader.own_profile_id)
            self.name(person, group.leader, group.created_ms)
            for key in sorted(group.sources):
                if before[key] is person:
                    person.add(self._sources[key])
                else:
                    self._move(self._sources[key], person, now_ms)
            self.touch(person)

    def _of_id(self, profile_id: bytes) -> Person:
        person = self._people.get(profile_id)
        if person is None:
            person = self._people[profile_id] = Person(profile_id, b"", 0)
        return person

    def _move(self, source: SourceState, person: Person, now_ms: int) -> None:
        person.add(source)
        source.joined_at_ms = now_ms
        self.change(source)

    def name(self, person: Person, unit_key: bytes, created_at_ms: int) -> None:
        """Set a profile's unit key and creation."""
        person.rekeyed = True
        person.unit_key, person.created_at_ms = unit_key, created_at_ms
        self.touch(person)

    def fold(self, source: SourceState) -> None:
        """The source's state has to be written, and its profile's record."""
        self._folded[source.source_id] = source
        self.touch(source.person)

    def touch(self, person: Person) -> None:
        """The profile has to be written."""
        self._changed[person.profile_id] = person
        self._people.move_to_end(person.profile_id)

    def change(self, source: SourceState) -> None:
        """The source has to be written, with more than its state."""
        self._changed_sources[source.source_id] = source

    def save(self, connection: Connection, changes: ChangeSet, view: BundleView) -> None:
        """Pack and write every profile that was touched and every source that changed; remove empty ones."""
        self._save_profiles(connection, changes, view)
        made = self._changed_sources
        rows = [_packed_source(source, changes, view) for source in made.values()]
        sources.save(connection, rows)
        folded = [source for key, source in self._folded.items() if key not in made]
        sources.set_states(connection, [(source.source_id, _packed_state(source, view)) for source in folded])
        self._folded.clear()
        self._changed_sources.clear()
        self._remove_empty(connection, changes)
        self._changed.clear()
        self.links.save(connection)

    def _save_profiles(self, connection: Connection, changes: ChangeSet, view: BundleView) -> None:
        whole: list[Row] = []
        records: list[Row] = []
        for person in self._changed.values():
            self._bytes -= person.size
            if person.sources:
                # Most profiles are there already and only their records change: that is less to write.
                rows = whole if person.rekeyed or not person.edge_digest else records
                rows.append(_packed(person, changes, view))
                person.rekeyed = False
                self._bytes += person.size
        profiles.save(connection, whole)
        profiles.set_records(connection, records)

    def _remove_empty(self, connection: Connection, changes: ChangeSet) -> None:
        gone = [person for person in self._changed.values() if not person.sources]
        for person in gone:
            del self._people[person.profile_id]
            if person.edge_digest:
                changes.drop(PUT_RECORD, person.profile_id, person.edge_digest)
        profiles.remove(connection, *(person.profile_id for person in gone if person.edge_digest))


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
    if source.held_under != profile_id:
        before = entry_digest(source.source_id, source.held_under) if source.held_under else 0
        changes.number(PUT_IDENTIFIER, source.source_id)
        changes.put(PUT_IDENTIFIER, source.source_id, profile_id, before)
        source.held_under = profile_id
    return {
        "source_id": source.source_id,
        "kind": source.kind,
        "profile_id": profile_id,
        "state": _packed_state(source, view),
        "joined_at_ms": source.joined_at_ms,
        "first_ms": source.first_ms,
        "linked_ms": source.linked_ms,
        "own_profile_id": source.own_profile_id,
    }


def _packed_state(source: SourceState, view: BundleView) -> bytes:
    if source.state.is_empty:
        return b""
    # Sources carry no time and no sequence of their own: equal events give equal bytes.
    return source.state.pack(
        layout_id=view.document.layout_id,
        sequence=0,
        packed_at_ms=0,
        unit_key=source.source_id,
        known=source.is_known,
    )


def new_profile_id() -> bytes:
    """16 bytes, time first: profiles made together lie together, in SQL and in the edges' snapshots."""
    return (time.time_ns() // 1_000_000).to_bytes(6, "big") + os.urandom(_ID_RANDOM_BYTES)
