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
from core.events import ALWAYS_KEPT, Event, decode_event
from core.fold import FoldPlan, State
from core.header import has_consent
from core.request import Request
from edge.overlay import Overlay, TooManyEventsError
from edge.snapshot.current import CurrentSnapshot
from edge.snapshot.reader import ReadTxn, SnapshotReader


class Person(NamedTuple):
    """Who is asked about: identifier hashes, strongest first; `named` by a token or by `profile`."""

    keys: tuple[bytes, ...]
    unit_key: bytes
    named: bool


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
                    events = self._events(overlay_txn, person.keys, None, None)
                    return self._answer(engine, None, None, events, person, request, now_ms)
                with reader.begin() as txn:
                    profile_id = find_profile(reader, txn, person.keys)
                    record = None if profile_id is None else reader.record(txn, profile_id)
                    keys = person.keys if profile_id is None else (*person.keys, profile_id)
                    events = self._events(overlay_txn, keys, reader, txn)
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
        return Answer(decision, person.keys[0] if profile_id is None else profile_id)

    def standing(self, engine: Engine, keys: tuple[bytes, ...], now_ms: int) -> Standing:
        """Whose events these are, and whether their behaviour may be kept.

        Where record or overlay cannot be read the answer is no: missing means no.
        """
        reader = self._snapshot.reader
        if self._snapshot.damaged:
            return Standing(None, False)
        try:
            with self._overlay.begin() as overlay_txn:
                if reader is None:
                    events = self._events(overlay_txn, keys, None, None)
                    return Standing(None, allows_behaviour(None, events, engine.fold_plan, now_ms))
                with reader.begin() as txn:
                    profile_id = find_profile(reader, txn, keys)
                    record = None if profile_id is None else reader.record(txn, profile_id)
                    more = keys if profile_id is None else (*keys, profile_id)
                    events = self._events(overlay_txn, more, reader, txn)
                    allowed = allows_behaviour(record, events, engine.fold_plan, now_ms)
                    return Standing(profile_id, allowed)
        except TooManyEventsError:
            return Standing(None, False)
        except (RecordError, lmdb.Error):
            self._snapshot.report_damage()
            return Standing(None, False)

    def profile_of(self, keys: tuple[bytes, ...]) -> bytes | None:
        """The profile that the strongest known identifier points to."""
        reader = self._snapshot.reader
        if reader is None:
            return None
        try:
            with reader.begin() as txn:
                return find_profile(reader, txn, keys)
        except lmdb.Error:
            self._snapshot.report_damage()
            return None

    def _events(
        self,
        overlay_txn: "lmdb.Transaction[bytes]",
        keys: Sequence[bytes],
        reader: SnapshotReader | None,
        txn: "ReadTxn | None",
    ) -> list[Event]:
        """The person's events behind P, in the order in which the node took them in; at equal times
        consents first.
        """

        def watermark(journal_id: bytes) -> int:
            return 0 if reader is None or txn is None else reader.watermark(txn, journal_id)

        found = self._overlay.events(overlay_txn, keys, watermark)
        if not found:
            return []
        events = []
        for journal_id, position, body in found:
            try:
                event = decode_event(body)
            except (
                msgspec.MsgspecError,
                UnicodeDecodeError,
            ):  # of another version; the hub will quarantine it
                continue
            events.append((event.received_ms, event.consent is None, journal_id, position, event))
        events.sort(key=lambda entry: entry[:4])
        return [entry[4] for entry in events]


def find_profile(reader: SnapshotReader, txn: ReadTxn, keys: Sequence[bytes]) -> bytes | None:
    """The profile of the first identifier that has one."""
    for key in keys:
        profile_id = reader.profile_id(txn, key)
        if profile_id is not None:
            return profile_id
    return None


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
    """Consents, orders and tickets are kept whatever the person said."""
    return event.consent is not None or plan.canonical(event.name) in ALWAYS_KEPT
