"""What the hub holds about a person: shown, handed over, erased. A person is the hash of one identifier."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from core.bundle import BundleDocument
from core.events import decode_event
from core.frame import PUT_IDENTIFIER, PUT_RECORD
from core.identifiers import STRENGTH
from core.record import describe
from hub.data.changes import Changes, ChangeSet, entry_digest
from hub.data.crossed import crossed
from hub.errors import NotFoundError
from hub.store import (
    consents,
    counters,
    crossings,
    decisions,
    engagements,
    identity_history,
    identity_links,
    journeys,
    outbox,
    profiles,
    quarantine,
    signals,
    sources,
    suppressions,
)
from hub.store.decisions import LoggedDecision
from hub.store.engine import Connection, Store
from hub.store.journeys import Instance
from hub.store.outbox import Message
from hub.store.profiles import Profile
from hub.store.sources import Source

ERASED = "profiles.erased"
#: Decisions in one export; the rest can be asked for by `Profiles.Decisions`.
DECISIONS_MAX = 10_000
MESSAGES_MAX = 10_000

ShowDecision = Callable[[LoggedDecision], object]


class _Person(NamedTuple):
    profile: Profile
    sources: list[Source]

    @property
    def source_ids(self) -> list[bytes]:
        return [source.source_id for source in self.sources]


class ProfileData:
    """Reads and erasures, each in one transaction. Names of attributes come from the active bundle."""

    def __init__(
        self,
        store: Store,
        changes: Changes,
        clock: Callable[[], int],
        caught_up: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`caught_up` waits until the events that are in the log now are applied."""
        self._store = store
        self._changes = changes
        self._clock = clock
        self._caught_up = caught_up

    async def get(self, key: bytes, document: BundleDocument) -> dict[str, Any]:
        """The profile as people read it. Raises NotFoundError."""
        return await self._store.read(
            lambda connection: self._shown(connection, _find(connection, key), document)
        )

    async def export(self, key: bytes, document: BundleDocument, show: ShowDecision) -> dict[str, Any]:
        """Everything held about the person; `show` makes a decision row readable. Raises NotFoundError."""
        return await self._store.read(lambda connection: self._export(connection, key, document, show))

    async def erase(self, key: bytes) -> int:
        """Remove everything that the store holds about the person; returns the change-log number.

        Edges that have reached that number hold nothing of her. Copies of events in the event log and
        in journals age out with these, and are not applied again: their ids stay known.
        """
        if self._caught_up is not None:
            # What she sent before she asked must not come after her erasure.
            await self._caught_up()
        return await self._changes.write(_erase, key)

    def _export(
        self, connection: Connection, key: bytes, document: BundleDocument, show: ShowDecision
    ) -> dict[str, Any]:
        person = _find(connection, key)
        ids, keys = person.source_ids, sources.person_keys(person.sources)
        return {
            "profile": self._shown(connection, person, document),
            "consents": [_timed(change._asdict()) for change in consents.history(connection, ids)],
            "identity": [
                _timed(_hex(change._asdict()))
                for change in identity_history.of_profile(connection, person.profile.profile_id, ids)
            ],
            "decisions": [show(row) for row in decisions.of_person(connection, keys, DECISIONS_MAX)],
            "journeys": [_journey(row) for row in journeys.of_sources(connection, ids)],
            "messages": [message_shown(row) for row in outbox.of_person(connection, ids, MESSAGES_MAX)],
            "suppressions": [_timed(_hex(row._asdict())) for row in suppressions.of_person(connection, ids)],
            "kept_aside": [
                {"reason": row.reason, "event": _event(row.body)}
                for row in quarantine.of_sources(connection, ids)
            ],
        }

    def _shown(self, connection: Connection, person: _Person, document: BundleDocument) -> dict[str, Any]:
        profile = person.profile
        found = describe(profile.record, document, self._clock())
        return {
            "id": profile.profile_id.hex(),
            "sequence": profile.sequence,
            "packed_at": moment(profile.packed_at_ms),
            "created_at": moment(profile.created_at_ms),
            "unit_key": profile.unit_key.hex(),
            "known": profile.known,
            "crossed": [
                _timed(one)
                for one in crossed(
                    document,
                    profile.unit_key,
                    crossings.of_sources(connection, person.source_ids),
                    profile.record,
                )
            ],
            "identifiers": [
                {
                    "type": source.kind,
                    "value": source.value,
                    "hash": source.source_id.hex(),
                    "joined_at": moment(source.joined_at_ms),
                }
                for source in sorted(person.sources, key=_strength)
            ],
            "attributes": {
                name.removeprefix("profile."): value
                for name, value in found.items()
                if name.startswith("profile.")
            },
            "consents": {
                name.removeprefix("consent."): value
                for name, value in found.items()
                if name.startswith("consent.")
            },
            "impressions": found.get("impressions", []),
            "assignments": found.get("assignments", []),
        }


def _strength(source: Source) -> tuple[int, bytes]:
    return STRENGTH[source.kind], source.source_id


def _find(connection: Connection, key: bytes) -> _Person:
    profile_id = sources.profile_ids(connection, [key]).get(key)
    if profile_id is None:
        raise NotFoundError(expected="a person with a profile", got="none", path="$.person")
    profile = next(profiles.by_id(connection, [profile_id]))
    return _Person(profile, list(sources.of_profiles(connection, [profile_id])))


def _erase(connection: Connection, changes: ChangeSet, key: bytes) -> int:
    try:
        person = _find(connection, key)
    except NotFoundError:
        # A visitor without a profile may still have been decided for, or have sent what was kept aside.
        decisions.remove(connection, [key])
        quarantine.remove_sources(connection, [key])
        return changes.state.sequence
    profile, ids = person.profile, person.source_ids
    consents.remove(connection, ids)
    _erase_outbound(connection, ids)
    quarantine.remove_sources(connection, ids)
    decisions.remove(connection, sources.person_keys(person.sources))
    identity_links.remove(connection, ids)
    crossings.remove(connection, ids)
    identity_history.remove(connection, profile.profile_id, ids)
    sources.remove(connection, profile.profile_id)
    profiles.remove(connection, profile.profile_id)
    changes.drop(PUT_RECORD, profile.profile_id, entry_digest(profile.profile_id, profile.edge_record))
    for source_id in ids:
        changes.drop(PUT_IDENTIFIER, source_id, entry_digest(source_id, profile.profile_id))
    counters.add(connection, {ERASED: 1})
    return changes.last


def _erase_outbound(connection: Connection, ids: list[bytes]) -> None:
    """Journeys, messages and what was made of them go; a suppression keeps nothing but the keyed hash."""
    messages = outbox.of_person(connection, ids, MESSAGES_MAX)
    engagements.remove(connection, [row.message_id for row in messages])
    outbox.remove(connection, ids)
    journeys.remove(connection, ids)
    signals.remove(connection, ids)
    suppressions.reduce_to_hash(connection, ids)


def moment(at_ms: int) -> str:
    """RFC 3339 in UTC, to the millisecond."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def message_shown(row: Message) -> dict[str, Any]:
    """A message as people read it: its state, why, and when."""
    return {
        "message_id": row.message_id,
        "at_ms": row.changed_at_ms,
        "created_at_ms": row.created_at_ms,
        "not_before_ms": row.not_before_ms,
        "handed_over_at_ms": row.handed_over_at_ms,
        "origin": row.origin,
        "channel": row.channel,
        "placement": row.placement,
        "template": row.template,
        "provider": row.provider,
        "state": row.state,
        "reason": row.reason,
        "detail": row.detail,
        "attempts": row.attempts,
        "decision_id": row.decision_id,
    }


def _journey(row: Instance) -> dict[str, Any]:
    return {
        "journey": row.journey_id,
        "version": row.version,
        "entry": row.entry,
        "state": row.state,
        "waits_for": row.waits_for,
        "entered_at": moment(row.entered_at_ms),
        "due_at": moment(row.due_at_ms) if row.due_at_ms is not None else None,
        "ended_at": moment(row.ended_at_ms) if row.ended_at_ms is not None else None,
        "ended_reason": row.ended_reason,
    }


def _timed(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields `..._ms` as moments under their name without it."""
    return {
        name.removesuffix("_ms"): moment(value) if name.endswith("_ms") and value is not None else value
        for name, value in fields.items()
    }


def _hex(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value.hex() if isinstance(value, bytes) else value for name, value in fields.items()}


def _event(body: bytes) -> object:
    """An event kept aside, for its person to read; what is sealed stays sealed."""
    try:
        event = decode_event(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return body.hex()
    return {
        "message_id": event.message_id,
        "kind": event.kind,
        "name": event.name,
        "at": moment(event.at_ms),
        "received_at": moment(event.received_ms),
        "properties": event.properties,
        "traits": event.traits,
        "node": event.node,
    }
