"""One node deciding: record and overlay of a person are read together, and the core is asked.

    overlay transaction -> snapshot transaction: identifier -> profile -> record, P -> overlay events behind
    P -> decide

The overlay's transaction begins first: what the hub folds meanwhile is then seen in the overlay and hidden
by the newer P, never missed.
"""

from collections.abc import Sequence
from typing import NamedTuple

import lmdb
import msgspec
from typing_extensions import Buffer

from core.answers import Decision
from core.decide import Engine
from core.errors import RecordError
from core.events import ALWAYS_KEPT, Event, Identifier, decode_event
from core.fold import FoldPlan, State
from core.header import has_consent, is_known
from core.identifiers import HASH_BYTES, KNOWN_TYPES, STRENGTH
from core.request import Request
from edge.overlay import Overlay, TooManyEventsError
from edge.snapshot.current import CurrentSnapshot
from edge.snapshot.reader import ReadTxn, SnapshotReader


class Shown(NamedTuple):
    """Identifiers that a request or an event shows as verified, by hash, strongest first: those that say who
    a person is, and those of devices, which people may share.
    """

    known: tuple[bytes, ...]
    devices: tuple[bytes, ...]

    @property
    def keys(self) -> tuple[bytes, ...]:
        """All of them, strongest first."""
        return self.known + self.devices


class Person(NamedTuple):
    """Who is asked about."""

    shown: Shown
    unit_key: bytes

    @property
    def named(self) -> bool:
        """Whether a token or `profile` says who she is."""
        return bool(self.shown.known)


class Answer(NamedTuple):
    """A decision, and under whom it may be logged: nobody (empty) without a consent record."""

    decision: Decision
    logged_as: bytes


class Standing(NamedTuple):
    """What matters for taking in a person's events: the profile, and whether behaviour may shape it."""

    profile_id: bytes | None
    allows_behaviour: bool


class Node:
    """Decides, and judges what may be kept. Everything here is on the event loop and never waits."""

    def __init__(self, overlay: Overlay, snapshot: CurrentSnapshot) -> None:
        self._overlay = overlay
        self._snapshot = snapshot
        self.engine: Engine | None = None

    @property
    def snapshot(self) -> CurrentSnapshot:
        return self._snapshot

    def decide(self, engine: Engine, person: Person, request: Request, now_ms: int) -> Answer:
        """Answer a request; a damaged snapshot or too many events give the fallback with its reason."""
        reader = self._snapshot.reader
        if self._snapshot.damaged:
            return Answer(engine.fallback(request, now_ms, "error"), b"")
        try:
            with self._overlay.begin() as overlay_txn:
                if reader is None:
                    events = self._events(overlay_txn, person.shown, None)
                    return self._answer(engine, None, None, events, person, request, now_ms)
                with reader.begin() as txn:
                    found = Snapshotted.find(reader, txn, person.shown)
                    profile_id, record = found.profile_id, found.record
                    events = self._events(overlay_txn, person.shown, found)
                    return self._answer(engine, profile_id, record, events, person, request, now_ms)
        except TooManyEventsError:
            return Answer(engine.fallback(request, now_ms, "overload"), b"")
        except (RecordError, lmdb.Error):
            self._snapshot.report_damage()
            return Answer(engine.fallback(request, now_ms, "error"), b"")

    def _answer(
        self,
        engine: Engine,
        profile_id: bytes | None,
        record: memoryview | None,
        events: Sequence[Event],
        person: Person,
        request: Request,
        now_ms: int,
    ) -> Answer:
        decision = engine.decide(record, events, request, now_ms)
        if not (record is not None and has_consent(record)) and not any(event.consent for event in events):
            return Answer(decision, b"")
        return Answer(decision, person.shown.keys[0] if profile_id is None else profile_id)

    def standing(self, engine: Engine, shown: Shown, now_ms: int) -> Standing:
        """Whose events these are, and whether their behaviour may be kept.

        Where record or overlay cannot be read the answer is no: missing means no.
        """
        reader = self._snapshot.reader
        if self._snapshot.damaged:
            return Standing(None, False)
        try:
            with self._overlay.begin() as overlay_txn:
                if reader is None:
                    events = self._events(overlay_txn, shown, None)
                    return Standing(None, allows_behaviour(None, events, engine.fold_plan, now_ms))
                with reader.begin() as txn:
                    found = Snapshotted.find(reader, txn, shown)
                    events = self._events(overlay_txn, shown, found)
                    allowed = allows_behaviour(found.record, events, engine.fold_plan, now_ms)
                    return Standing(found.profile_id, allowed)
        except TooManyEventsError:
            return Standing(None, False)
        except (RecordError, lmdb.Error):
            self._snapshot.report_damage()
            return Standing(None, False)

    def profile_of(self, shown: Shown) -> bytes | None:
        """The profile that the identifiers point to."""
        reader = self._snapshot.reader
        if reader is None:
            return None
        try:
            with reader.begin() as txn:
                return Snapshotted.find(reader, txn, shown).profile_id
        except lmdb.Error:
            self._snapshot.report_damage()
            return None

    def _events(
        self, overlay_txn: "lmdb.Transaction[bytes]", shown: Shown, snapshotted: "Snapshotted | None"
    ) -> list[Event]:
        """The person's events behind P, in the order in which the node took them in; at equal times
        consents first.
        """
        keys: Sequence[bytes] = shown.keys
        if snapshotted is None:
            found = self._overlay.events(overlay_txn, keys, lambda _: 0)
        else:
            if snapshotted.profile_id is not None:
                keys = (*keys, snapshotted.profile_id)
            found = self._overlay.events(overlay_txn, keys, snapshotted.watermark)
        events = []
        for journal_id, position, body in found:
            try:
                event = decode_event(body)
            except (
                msgspec.MsgspecError,
                UnicodeDecodeError,
            ):  # of another version; the hub will quarantine it
                continue
            if snapshotted is None or not snapshotted.is_of_another(event, shown):
                events.append((event.received_ms, event.consent is None, journal_id, position, event))
        events.sort(key=lambda entry: entry[:4])
        return [entry[4] for entry in events]


class Snapshotted(NamedTuple):
    """What one read transaction of the snapshot says of the identifiers that are shown."""

    reader: SnapshotReader
    txn: ReadTxn
    profile_id: bytes | None
    record: memoryview | None

    @staticmethod
    def find(reader: SnapshotReader, txn: ReadTxn, shown: Shown) -> "Snapshotted":
        """The profile of the first identifier that has one.

        A device does not vouch for who is named beside it: of a known person's profile it tells nothing,
        as the hub never makes one profile of two known people (docs/decisions/0007-identity.md).
        """
        for key in shown.keys:
            profile_id = reader.profile_id(txn, key)
            if profile_id is None:
                continue
            record = reader.record(txn, profile_id)
            if shown.known and key in shown.devices and record is not None and is_known(record):
                break
            return Snapshotted(reader, txn, profile_id, record)
        return Snapshotted(reader, txn, None, None)

    def watermark(self, journal_id: bytes) -> int:
        """P of one journal."""
        return self.reader.watermark(self.txn, journal_id)

    def is_of_another(self, event: Event, shown: Shown) -> bool:
        """Whether an event that stands under one of the identifiers is another known person's: of somebody
        who used the same device.
        """
        if not shown.known and (self.record is None or not is_known(self.record)):
            return False  # an anonymous visitor: whoever logs in on her device becomes her
        strongest = strongest_of(event)
        if strongest is None:
            return False
        owner = self.reader.profile_id(self.txn, strongest.hash)
        if owner is not None and owner != self.profile_id:
            record = self.reader.record(self.txn, owner)
            return record is not None and is_known(record)
        return owner is None and strongest.kind in KNOWN_TYPES and strongest.hash not in shown.known


def strongest_of(event: Event) -> Identifier | None:
    """The verified identifier that an event belongs to."""
    verified = [one for one in event.identifiers if one.verified and one.kind in STRENGTH]
    return min(verified, key=lambda one: (STRENGTH[one.kind], one.hash), default=None)


def shown_by(event: Event) -> Shown:
    """The verified identifiers of an event: a claim reaches nobody's decisions."""
    verified = [one for one in event.identifiers if one.verified and len(one.hash) == HASH_BYTES]
    verified.sort(key=lambda one: (STRENGTH[one.kind], one.hash))
    known = tuple(one.hash for one in verified if one.kind in KNOWN_TYPES)
    return Shown(known, tuple(one.hash for one in verified if one.kind not in KNOWN_TYPES))


def allows_behaviour(record: Buffer | None, events: Sequence[Event], plan: FoldPlan, now_ms: int) -> bool:
    """Whether the person lets behaviour shape the profile now: only consents matter, from the record and
    after it.
    """
    state = State() if record is None else State.unpack(record)
    for event in events:
        if event.consent is not None:
            state.apply(plan, event, behaviour=False)
    return state.allows_behaviour(plan, now_ms)


def passes_always(event: Event, plan: FoldPlan) -> bool:
    """Consents, orders, tickets, and log-ins of a person who is proved to be who she says are kept whatever
    she said: the hub takes them too (docs/decisions/0005).
    """
    if event.consent is not None or plan.canonical(event.name) in ALWAYS_KEPT:
        return True
    return event.kind == "identify" and bool(shown_by(event).known)
