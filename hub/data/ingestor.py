"""One micro-batch: events in, profiles, history, positions and change-log numbers out, in one transaction."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import msgspec
import structlog

from core.events import Event, Identifier, decode_event
from core.fold import APPLIED, DROPPED, State
from core.identifiers import HASH_BYTES, STRENGTH
from core.journal import iter_records
from core.record import RECORD_BYTES_MAX
from hub.data import identity
from hub.data.changes import ChangeSet
from hub.data.event_log import LogMessage
from hub.data.identity_notes import IdentityNotes
from hub.data.people import People, SourceState
from hub.data.signals import Interest, InterestSource, no_interest, signal_of
from hub.data.values import Values
from hub.data.view import BundleView
from hub.store import consents, counters, event_ids, quarantine, signals, sources
from hub.store.engine import Connection
from hub.store.signals import NewSignal

#: Below this a single event cannot bring a record to its limit; above, each is tried on a copy first.
RECORD_BYTES_EASY: Final = RECORD_BYTES_MAX // 2
DETAIL_LENGTH_MAX: Final = 200
NAME_SHOWN_MAX: Final = 128

#: Reasons of quarantine.
DAMAGED: Final = "damaged"
UNDECODABLE: Final = "undecodable"
MALFORMED: Final = "malformed"
UNKNOWN_NAME: Final = "unknown_name"
UNKNOWN_PURPOSE: Final = "unknown_purpose"
NOBODY: Final = "nobody"
TOO_LARGE: Final = "too_large"
FAILED: Final = "failed"

#: Counters.
INGESTED: Final = "events.ingested"
DUPLICATES: Final = "events.duplicates"
DROPPED_NO_CONSENT: Final = "events.dropped_no_consent"
QUARANTINED: Final = "events.quarantined"
JOURNAL_GAPS: Final = "journal.gaps"

log = structlog.get_logger(__name__)
_Row = dict[str, Any]


class Incoming(NamedTuple):
    """One event on its way in; `event` is None where the bytes are none."""

    body: bytes
    event: Event | None
    edge_id: str
    detail: str = ""


@dataclass
class _Batch:
    """What one transaction gathers before it writes."""

    notes: IdentityNotes
    counts: Counter[str] = field(default_factory=Counter)
    consents: list[_Row] = field(default_factory=list)
    quarantine: list[_Row] = field(default_factory=list)
    event_keys: list[tuple[bytes, int]] = field(default_factory=list)
    values: list[tuple[bytes, str]] = field(default_factory=list)
    interest: Interest = field(default_factory=no_interest)
    signals: list[NewSignal] = field(default_factory=list)


class Ingestor:
    """Applies events to profiles. Lives in the writer's thread."""

    def __init__(self, people: People, values: Values, interest: InterestSource = no_interest) -> None:
        """`interest`: the events that somebody wants to hear of, asked once a batch."""
        self._people = people
        self._values = values
        self._interest = interest

    def apply(
        self, connection: Connection, changes: ChangeSet, view: BundleView, messages: Sequence[LogMessage]
    ) -> None:
        """Apply messages of the log that are not contained yet, in their order."""
        messages = [message for message in messages if message.sequence > changes.state.stream_sequence]
        if not messages:
            return
        incoming = []
        for message in messages:
            incoming += open_message(message, changes)
            self.pass_over(connection, changes, message)
        self.take(connection, changes, view, incoming)

    def pass_over(self, connection: Connection, changes: ChangeSet, message: LogMessage) -> None:
        """Say that a message is contained."""
        changes.stream_sequence = message.sequence
        changes.logged_ms = message.stored_ms
        batch = message.batch
        position = changes.position(batch.edge_id, batch.journal_id)
        if not batch.edge_id or batch.last <= position:
            return
        if batch.first > position:
            # The log or the store was put back to an older state. What is there counts; what lacks is told.
            counters.add(connection, {JOURNAL_GAPS: 1})
            log.error("journal gap", edge=batch.edge_id, expected=position, got=batch.first)
        changes.move(batch.edge_id, batch.journal_id, batch.last)

    def refuse(self, connection: Connection, changes: ChangeSet, incoming: Incoming, detail: str) -> None:
        """Keep an event aside that cannot be applied."""
        batch = _Batch(IdentityNotes(changes.now_ms))
        _keep_aside(batch, incoming, FAILED, detail)
        _write(connection, batch)

    def take(
        self,
        connection: Connection,
        changes: ChangeSet,
        view: BundleView,
        incoming: Sequence[Incoming],
        *,
        again: bool = False,
    ) -> int:
        """Apply events; returns how many were kept aside.

        `again`: they were kept aside before, so that their ids are known already.
        """
        batch = _Batch(IdentityNotes(changes.now_ms), interest=self._interest())
        self._people.begin(changes.state.sequence)
        fresh = list(self._fresh(connection, incoming, batch, again))
        who = identity.Identity(connection, self._people, batch.notes)
        who.load(verified for _, verified, _ in fresh)
        for one, verified, event in fresh:
            self._apply(view, who, one, verified, event, batch)
        self._people.save(connection, changes, view)
        _write(connection, batch)
        self._people.saved(changes.last)
        return len(batch.quarantine)

    def _fresh(
        self, connection: Connection, incoming: Iterable[Incoming], batch: _Batch, again: bool
    ) -> Iterator[tuple[Incoming, list[Identifier], Event]]:
        """Well-formed events that were not taken in before; the rest is put where it belongs."""
        formed = []
        for one in incoming:
            event = one.event
            if event is None:
                _keep_aside(batch, one, UNDECODABLE if not one.detail else DAMAGED, one.detail)
                continue
            fault = _malformed(event)
            if fault:
                _keep_aside(batch, one, MALFORMED, fault)
                continue
            verified = identity.verified_of(event)
            formed.append((one, verified, event, event_key(event, verified)))
        seen = set() if again else event_ids.known(connection, {entry[3] for entry in formed})
        for one, verified, event, key in formed:
            if key in seen:
                batch.counts[DUPLICATES] += 1
                continue
            seen.add(key)
            batch.event_keys.append((key, event.received_ms))
            if verified:
                yield one, verified, event
            else:
                _keep_aside(batch, one, NOBODY, "no verified identifier")

    def _apply(
        self,
        view: BundleView,
        who: identity.Identity,
        one: Incoming,
        verified: list[Identifier],
        event: Event,
        batch: _Batch,
    ) -> None:
        reason = _unknown(view, event)
        if reason:
            _keep_aside(batch, one, reason, "", verified[0].hash)
            return
        behaviour = who.allows_behaviour(view.plan, verified, event.received_ms)
        if not behaviour and State().apply(view.plan, event, behaviour=False) == DROPPED:
            batch.counts[DROPPED_NO_CONSENT] += 1
            return
        source = who.settle(event, verified)
        if not self._fold(view, source, event, behaviour):
            _keep_aside(batch, one, TOO_LARGE, "the record would pass its limit", verified[0].hash)
            return
        batch.counts[INGESTED] += 1
        if event.consent is not None:
            batch.consents.append(_consent_row(source.source_id, event))
        batch.values += self._values.of(event, verified, self._people)
        signal = signal_of(event, view.plan.canonical(event.name), source.source_id, batch.interest)
        if signal is not None:
            batch.signals.append(signal)

    def _fold(self, view: BundleView, source: SourceState, event: Event, behaviour: bool) -> bool:
        """Fold an event into its source and the profile; False, and nothing changed, if it does not fit."""
        person = source.person
        own = person.merged is source.state
        for state in (source.state,) if own else (source.state, person.merged):
            if state.size > RECORD_BYTES_EASY and not _fits(state, view, event, behaviour):
                return False
        if source.state.apply(view.plan, event, behaviour=behaviour) != APPLIED:
            return True
        if not own:
            person.merged.apply(view.plan, event, behaviour=behaviour)
        self._people.fold(source)
        return True


def _fits(state: State, view: BundleView, event: Event, behaviour: bool) -> bool:
    tried = state.copy()
    tried.apply(view.plan, event, behaviour=behaviour)
    return tried.size <= RECORD_BYTES_MAX


def open_message(message: LogMessage, changes: ChangeSet) -> list[Incoming]:
    """The events of a batch that lie behind its journal's position."""
    batch = message.batch
    # A batch without an edge has no journal behind it: its events are told apart by their ids alone.
    position = changes.position(batch.edge_id, batch.journal_id) if batch.edge_id else -1
    opened, end = [], batch.first
    for end, body in iter_records(batch.records, batch.first):
        if end > position:
            opened.append(decode(body, batch.edge_id))
    rest = batch.records[end - batch.first :]
    if rest and batch.last > position:
        opened.append(Incoming(rest, None, batch.edge_id, "a record whose length or checksum is wrong"))
    return opened


def decode(body: bytes, edge_id: str) -> Incoming:
    """An event's body on its way in."""
    try:
        return Incoming(body, decode_event(body), edge_id)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return Incoming(body, None, edge_id)


def _malformed(event: Event) -> str:
    for identifier in event.identifiers:
        if identifier.kind not in STRENGTH:
            return "an identifier of an unknown type"
        if len(identifier.hash) != HASH_BYTES:
            return f"an identifier hash of {len(identifier.hash)} bytes, expected {HASH_BYTES}"
    if (event.kind == "consent") != (event.consent is not None):
        return "a consent event without a consent, or a consent in another event"
    return ""


def _unknown(view: BundleView, event: Event) -> str:
    if event.consent is not None:
        return "" if event.consent.purpose in view.purposes else UNKNOWN_PURPOSE
    return "" if view.plan.canonical(event.name) in view.known_names else UNKNOWN_NAME


def event_key(event: Event, verified: Sequence[Identifier]) -> bytes:
    """16 bytes for whose event it is and its message id.

    The *weakest* identifier says whose: a page that sends again after a log-in still shows the same device.
    """
    scope = verified[-1].hash if verified else b"".join(identifier.hash for identifier in event.identifiers)
    return hashlib.blake2b(event.message_id.encode(), digest_size=16, key=scope[:64]).digest()


def _keep_aside(
    batch: _Batch, one: Incoming, reason: str, detail: str, source_id: bytes | None = None
) -> None:
    batch.counts[QUARANTINED] += 1
    batch.quarantine.append(
        {
            "reason": reason,
            "name": one.event.name[:NAME_SHOWN_MAX] if one.event else "",
            "source_id": source_id,
            "edge_id": one.edge_id,
            "received_at_ms": one.event.received_ms if one.event else batch.notes.now_ms,
            "detail": detail[:DETAIL_LENGTH_MAX],
            "body": one.body,
        }
    )


def _consent_row(source_id: bytes, event: Event) -> _Row:
    assert event.consent is not None
    return {
        "source_id": source_id,
        "purpose": event.consent.purpose,
        "state": event.consent.state,
        "effective_at_ms": event.at_ms,
        "received_at_ms": event.received_ms,
        "text_version": event.consent.text_version,
        "source": event.consent.source,
        "node": event.node,
    }


def _write(connection: Connection, batch: _Batch) -> None:
    event_ids.add(connection, batch.event_keys)
    consents.add(connection, batch.consents)
    quarantine.add(connection, batch.quarantine)
    batch.notes.save(connection)
    sources.set_values(connection, batch.values)
    signals.add(connection, batch.signals)
    counters.add(connection, batch.counts)
