"""Deterministic identity: which profile an event belongs to, and what its identifiers say of each other.

An event belongs to the source of its strongest verified identifier. A log-in brings a known identifier and a
device together: a new one joins the profile of the other, unless that would make one profile of two known
people. Two profiles that exist already are left as they are; that they met is recorded.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from core.events import Event, Identifier
from core.identifiers import KNOWN_TYPES, STRENGTH
from hub.data.people import People, Person, SourceState
from hub.store import identity_history

#: Identifiers of one profile.
SOURCES_MAX: Final = 1_000


@dataclass
class IdentityNotes:
    """Lines for the identity history, gathered over a transaction."""

    now_ms: int
    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, operation: str, source_id: bytes, person: Person, other: bytes, message_id: str) -> None:
        self.rows.append(
            {
                "at_ms": self.now_ms,
                "operation": operation,
                "source_id": source_id,
                "profile_id": person.profile_id,
                "other": other,
                "message_id": message_id,
            }
        )


def verified_of(event: Event) -> list[Identifier]:
    """The event's verified identifiers, strongest first."""
    verified = [identifier for identifier in event.identifiers if identifier.verified]
    if len(verified) > 1:
        verified.sort(key=lambda identifier: (STRENGTH[identifier.kind], identifier.hash))
    return verified


def find(people: People, verified: Sequence[Identifier]) -> Person | None:
    """The profile that the event belongs to or whose it would become; None: it makes a new one."""
    strongest = verified[0]
    own = people.source(strongest.hash)
    if own is not None:
        return own.person
    for other in verified[1:]:
        source = people.source(other.hash)
        if source is not None and _may_join(strongest, source, verified):
            return source.person
    return None


def _may_join(newcomer: Identifier, through: SourceState, verified: Sequence[Identifier]) -> bool:
    """Whether an identifier without a source may join the profile of one that the event shows beside it."""
    if len(through.person.sources) >= SOURCES_MAX:
        return False
    if newcomer.kind not in KNOWN_TYPES:
        return True
    known = through.person.known_sources()
    if through.kind in KNOWN_TYPES:
        # One customer number, one card, a person: a second of the same kind is somebody else.
        return all(source.kind != newcomer.kind for source in known)
    # A device may be shared: it vouches only where the profile names nobody whom the event does not name.
    shown = {identifier.hash for identifier in verified}
    return all(source.source_id in shown for source in known)


def settle(
    people: People, person: Person | None, event: Event, verified: Sequence[Identifier], notes: IdentityNotes
) -> SourceState:
    """Make new identifiers sources, note what the event says of them; return the strongest's source."""
    if person is None:
        person = people.create(_unit_key(people, verified), notes.now_ms)
        notes.add(identity_history.CREATED, verified[0].hash, person, b"", event.message_id)
    for identifier in verified:
        source = people.source(identifier.hash)
        if source is None and len(person.sources) >= SOURCES_MAX and identifier is not verified[0]:
            # A person of a thousand devices is none: the device stays without a profile.
            continue
        if source is None:
            people.join(person, identifier.hash, identifier.kind, notes.now_ms)
            if len(person.sources) > 1:
                notes.add(identity_history.JOINED, identifier.hash, person, b"", event.message_id)
        elif source.person is not person:
            apart = bool(source.person.known_sources()) and person.known
            operation = identity_history.KEPT_APART if apart else identity_history.MERGE_PENDING
            notes.add(operation, verified[0].hash, person, source.person.profile_id, event.message_id)
    for identifier in event.identifiers:
        if not identifier.verified and identifier.hash not in person.sources:
            notes.add(identity_history.CLAIMED, verified[0].hash, person, identifier.hash, event.message_id)
    found = people.source(verified[0].hash)
    assert found is not None
    return found


def _unit_key(people: People, verified: Sequence[Identifier]) -> bytes:
    """The key of a new profile: the device's, under which the person was assigned before she was known."""
    devices = [identifier for identifier in verified if identifier.kind not in KNOWN_TYPES]
    for identifier in devices:
        if people.source(identifier.hash) is None:
            return identifier.hash
    return verified[0].hash
