"""The checks at hand-off: whether this message may go to this person now (docs/decisions/0006).

`look` reads everything of one moment and decides; `confirm` says again, in the transaction that sets
`handing_over`, that nothing of it has changed since. What has changed is looked at once more.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec
import structlog

from core.answers import Decision
from core.bundle import Template
from core.errors import RecordError
from core.fold import State
from core.hashing import bucket
from core.request import Request
from hub.decisioning.asking import Asked, Question
from hub.delivery import journeys as steps
from hub.delivery.engines import Engines, Loaded
from hub.delivery.facts import facts_of
from hub.delivery.impressions import folded, impression_of, packed_variants
from hub.delivery.ports import Addressed, Composed, Composer
from hub.delivery.quiet_hours import quiet_until
from hub.delivery.recipients import Person, look_up
from hub.delivery.runner import CURSOR, EXITED, NO_ADDRESS, Truth
from hub.delivery.threads import DeliveryThread
from hub.errors import ContentError
from hub.store import journeys, outbox, profiles, signals, sources, suppressions
from hub.store.engine import Connection, Store
from hub.store.journeys import Instance
from hub.store.outbox import CANCELLED, CLAIMED, HANDING_OVER, QUEUED, REFUSED, Message
from hub.store.signals import Signal

#: Reasons of messages that no decision gives (core/reasons.py has the others).
SUPPRESSED: Final = "suppressed"
HOLDOUT: Final = "holdout"
NO_CONSENT: Final = "no_consent"
NO_CONTENT: Final = "no_content"
NO_PROFILE: Final = "no_profile"
ERROR: Final = "error"
OK: Final = "ok"
QUIET_HOURS: Final = "quiet_hours"

#: Of a person whose impressions no profile may hold: how far back her messages count against caps.
CAPS_BACK_MS: Final = 90 * 86_400_000
LOCALES: Final = ("locale", "language")
#: What a request would say, and of a message only the profile can.
CONTEXT: Final = ("locale", "time_zone", "country", "city")
GRANTED: Final = 1

Log = Callable[[bytes, Decision, Asked], None]
NewId = Callable[[], str]
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Moment:
    """What the store says, all of one moment."""

    now_ms: int
    people: Mapping[bytes, Person]
    addresses: Mapping[bytes, str]
    instances: Mapping[bytes, Instance]
    suppressed: Mapping[tuple[bytes, str], str]
    signals: Mapping[bytes, list[Signal]]  # not yet heard, by profile
    pending: Mapping[bytes, list[Message]]  # what caps must count beside the record, by profile
    seen: Mapping[bytes, frozenset[str]]  # every message in the air, counted in the record or not, by profile


@dataclass
class Looked:
    """A message and what was found. `message` is the row as it shall be; `composed` if it may go."""

    message: Message
    person: Person | None = None
    decision: Decision | None = None
    asked: Asked | None = None
    answer: Mapping[str, Any] | None = None
    composed: Composed | None = None
    recipient: str = ""
    seen: frozenset[str] = frozenset()  # her messages in the air at that moment
    heard: int = 0  # number of the newest signal that was looked at

    @property
    def ok(self) -> bool:
        """Whether it may be handed over."""
        return self.answer is not None and self.answer["reason"] == OK and self.message.state == CLAIMED


class HandOff:
    """Looks at claimed messages, several at a time."""

    def __init__(
        self,
        store: Store,
        engines: Engines,
        thread: DeliveryThread,
        composers: Mapping[str, Composer],
        decision_log: Log,
        clock: Callable[[], int],
        new_id: NewId,
        node: str,
    ) -> None:
        self._store = store
        self._engines = engines
        self._thread = thread
        self._composers = composers
        self._decision_log = decision_log
        self._clock = clock
        self._new_id = new_id
        self._node = node

    async def look(self, messages: Sequence[Message], *, compose: bool) -> list[Looked]:
        """Decide on messages that are CLAIMED, in order; each counts against the caps of the next."""
        loaded = self._engines.active
        now_ms = self._clock()
        moment = await self._store.read(lambda connection: _moment(connection, messages, loaded, now_ms))
        await self._engines.load(one.version for one in moment.instances.values())
        return await self._thread.run(self._look_all, loaded, moment, messages, compose)

    def log(self, looked: Iterable[Looked]) -> None:
        """Put the decisions into the decision log."""
        for one in looked:
            if one.decision is not None and one.asked is not None and one.person is not None:
                self._decision_log(one.person.profile.profile_id, one.decision, one.asked)

    def _look_all(
        self, loaded: Loaded, moment: _Moment, messages: Sequence[Message], compose: bool
    ) -> list[Looked]:
        """Runs in delivery's thread."""
        truth = Truth(moment.now_ms)
        overlays = {key: list(pending) for key, pending in moment.pending.items()}
        return [self._look_at(loaded, moment, truth, message, overlays, compose) for message in messages]

    def _look_at(
        self,
        loaded: Loaded,
        moment: _Moment,
        truth: Truth,
        message: Message,
        overlays: dict[bytes, list[Message]],
        compose: bool,
    ) -> Looked:
        try:
            return self._look(loaded, moment, truth, message, overlays, compose)
        except Exception as error:
            # One person's damaged record stops her own message, not the others'. Its text may hold her data.
            log.error("hand-off failed", error=type(error).__name__)
            return Looked(_ended(message, REFUSED, ERROR, moment.now_ms))

    def _look(
        self,
        loaded: Loaded,
        moment: _Moment,
        truth: Truth,
        message: Message,
        overlays: dict[bytes, list[Message]],
        compose: bool,
    ) -> Looked:
        person = moment.people.get(message.source_id)
        if person is None:
            return Looked(_ended(message, REFUSED, NO_PROFILE, moment.now_ms))
        unheard = moment.signals.get(person.profile.profile_id, [])
        looked = Looked(message, person, heard=unheard[-1].number if unheard else 0)
        if self._has_left(moment, truth, message, person, unheard):
            looked.message = _ended(message, CANCELLED, EXITED, moment.now_ms)
            return looked
        facts = facts_of(loaded.document, person.profile.record, moment.now_ms)
        fault = _undeliverable(loaded, moment, message, facts)
        if fault is None and _is_held_out(loaded, message, person):
            fault = _ended(message, REFUSED, HOLDOUT, moment.now_ms)
        if fault is not None:
            looked.message = fault
            return looked
        looked.recipient = moment.addresses[message.source_id]
        overlay = overlays.setdefault(person.profile.profile_id, [])
        looked.seen = moment.seen.get(person.profile.profile_id, frozenset())
        self._decide(loaded, moment.now_ms, looked, overlay, facts)
        if looked.ok and compose:
            self._compose(loaded, moment.now_ms, looked, facts)
        if looked.ok:
            overlay.append(looked.message._replace(handed_over_at_ms=moment.now_ms))
        return looked

    def _has_left(
        self, moment: _Moment, truth: Truth, message: Message, person: Person, unheard: Sequence[Signal]
    ) -> bool:
        """Whether an exit of her journey holds, also by events that the journey has not heard yet."""
        instance = moment.instances.get(message.instance_id) if message.instance_id else None
        versioned = self._engines.find(instance.version) if instance is not None else None
        if instance is None or versioned is None:
            return False
        if instance.ended_reason == steps.EXITED:
            return True
        if any(steps.exits_by(versioned.journey, signal) for signal in unheard):
            return True
        return steps.exits_if(versioned.journey, truth.of(versioned, person))

    def _decide(
        self,
        loaded: Loaded,
        now_ms: int,
        looked: Looked,
        overlay: Iterable[Message],
        facts: Mapping[str, Any],
    ) -> None:
        person, message = looked.person, looked.message
        assert person is not None
        asked = _asked(message, person, now_ms, self._new_id())
        request = Request(
            decision_id=asked.decision_id,
            placements=(message.placement,),
            context={name: facts[name] for name in CONTEXT if name in facts},
            unit_key=person.profile.unit_key,
            named=True,
        )
        events = [event for one in overlay if (event := impression_of(one, self._node)) is not None]
        decision = loaded.engine.decide(person.profile.record, events, request, now_ms, at_edge=False)
        answer = msgspec.json.decode(decision.body)["placements"][message.placement]
        looked.decision, looked.asked, looked.answer = decision, asked, answer
        reason = answer["reason"]
        if reason == OK and not _consents(loaded, message, person.profile.record, now_ms):
            reason = NO_CONSENT
        if reason != OK:
            looked.message = _ended(message, REFUSED, reason, now_ms)._replace(decision_id=asked.decision_id)
            return
        looked.message = message._replace(
            decision_id=asked.decision_id,
            offer=answer["offer"] or "",
            treatment=answer["treatment"] or "",
            experiments=packed_variants(answer["experiments"]),
        )

    def _compose(self, loaded: Loaded, now_ms: int, looked: Looked, facts: Mapping[str, Any]) -> None:
        message = looked.message
        template = loaded.templates.get(message.template)
        composer = self._composers.get(message.channel)
        try:
            if template is None or composer is None:
                raise ContentError(expected="a template of the active catalogue", got="none")
            looked.composed = composer.compose(_addressed(loaded, looked, template, facts, now_ms))
        except Exception as error:
            fault = error.code if isinstance(error, ContentError) else type(error).__name__
            log.error("message not composed", template=message.template, error=fault)
            looked.message = _ended(message, REFUSED, NO_CONTENT, now_ms)


def confirm(
    connection: Connection, looked: Sequence[Looked], owner: str, until_ms: int, now_ms: int
) -> list[Looked]:
    """Set `handing_over` for what may go and still may, and write the rest; returns what goes.

    `looked` stays as it is, for a transaction that fails is tried again.
    Suppressions and everything that consent comes from are read in this very transaction.
    """
    rows = {
        row.message_id: row for row in outbox.by_id(connection, [one.message.message_id for one in looked])
    }
    mine = [one for one in looked if _is_held(rows.get(one.message.message_id), owner)]
    decided = [one for one in mine if one.decision is not None]
    suppressed = _suppressed(connection, (one.message for one in decided))
    changed = _changed(connection, decided)
    going, saved = [], []
    for one in mine:
        message = one.message
        if message.message_id in changed:
            saved.append(_freed(message, now_ms)._replace(state=QUEUED, not_before_ms=now_ms))
        elif not one.ok:
            saved.append(message)
        elif (message.source_id, message.channel) in suppressed:
            saved.append(_ended(message, REFUSED, SUPPRESSED, now_ms))
        else:
            handed = message._replace(
                state=HANDING_OVER,
                attempts=message.attempts + 1,
                reason="",
                detail="",
                handed_over_at_ms=now_ms,
                changed_at_ms=now_ms,
                lease_until_ms=until_ms,
            )
            going.append(replace(one, message=handed))
            saved.append(handed)
    outbox.save(connection, saved)
    return going


def _is_held(row: Message | None, owner: str) -> bool:
    return row is not None and row.state == CLAIMED and row.lease_owner == owner


def _changed(connection: Connection, decided: Sequence[Looked]) -> set[str]:
    """Messages whose person is not as she was when they were decided on."""
    standing = profiles.standing(connection, {one.message.source_id for one in decided})
    members = {key for one in decided if one.person is not None for key in one.person.source_ids}
    unheard: dict[bytes, int] = {}
    for signal in signals.of_sources(connection, members, signals.cursor(connection, CURSOR)):
        unheard[signal.source_id] = max(unheard.get(signal.source_id, 0), signal.number)
    in_air: dict[bytes, set[str]] = {}
    for message in outbox.pending(connection, members):
        in_air.setdefault(message.source_id, set()).add(message.message_id)
    changed = set()
    for one in decided:
        assert one.person is not None
        profile, keys = one.person.profile, one.person.source_ids
        same = standing.get(one.message.source_id) == (profile.profile_id, profile.sequence)
        news = max((unheard.get(key, 0) for key in keys), default=0)
        others = {message_id for key in keys for message_id in in_air.get(key, ())}
        if not same or news > one.heard or others - one.seen:
            changed.add(one.message.message_id)
    return changed


def _moment(connection: Connection, messages: Sequence[Message], loaded: Loaded, now_ms: int) -> _Moment:
    keys = {message.source_id for message in messages}
    people = look_up(connection, keys)
    members = {key: person for person in people.values() for key in person.source_ids}
    unheard: dict[bytes, list[Signal]] = {}
    for signal in signals.of_sources(connection, members, signals.cursor(connection, CURSOR)):
        unheard.setdefault(members[signal.source_id].profile.profile_id, []).append(signal)
    instances = journeys.by_id(connection, {one.instance_id for one in messages if one.instance_id})
    in_air = list(outbox.pending(connection, members))
    return _Moment(
        now_ms=now_ms,
        people=people,
        addresses=sources.values(connection, keys),
        instances={one.instance_id: one for one in instances},
        suppressed=_suppressed(connection, messages),
        signals=unheard,
        pending=_by_profile(members, _uncounted(connection, in_air, members, loaded, now_ms)),
        seen={
            key: frozenset(one.message_id for one in found)
            for key, found in _by_profile(members, in_air).items()
        },
    )


def _by_profile(members: Mapping[bytes, Person], messages: Iterable[Message]) -> dict[bytes, list[Message]]:
    found: dict[bytes, list[Message]] = {}
    for message in messages:
        found.setdefault(members[message.source_id].profile.profile_id, []).append(message)
    return found


def _suppressed(connection: Connection, messages: Iterable[Message]) -> dict[tuple[bytes, str], str]:
    by_channel: dict[str, set[bytes]] = {}
    for message in messages:
        by_channel.setdefault(message.channel, set()).add(message.source_id)
    return {
        (source_id, channel): reason
        for channel, keys in by_channel.items()
        for source_id, reason in suppressions.of(connection, keys, channel).items()
    }


def _uncounted(
    connection: Connection,
    in_air: Iterable[Message],
    members: Mapping[bytes, Person],
    loaded: Loaded,
    now_ms: int,
) -> list[Message]:
    """Messages that caps must count although the record does not hold them.

    A person who lets nothing of her behaviour be stored has no impressions in her record, ever; the caps
    that protect her count what the outbox itself knows.
    """
    unseen = {key for key, person in members.items() if not _keeps_behaviour(loaded, person, now_ms)}
    counting = [one for one in in_air if one.source_id not in unseen]
    done = folded(connection, counting)
    counted = [one for one in counting if one.message_id not in done]
    return counted + list(outbox.sent_since(connection, unseen, now_ms - CAPS_BACK_MS))


def _keeps_behaviour(loaded: Loaded, person: Person, now_ms: int) -> bool:
    try:
        state = State.unpack(person.profile.record)
    except RecordError:
        return False
    return state.allows_behaviour(loaded.engine.fold_plan, now_ms)


def _undeliverable(
    loaded: Loaded, moment: _Moment, message: Message, facts: Mapping[str, Any]
) -> Message | None:
    """The message as it ends or waits without any decision; None if it may be decided on."""
    now_ms = moment.now_ms
    if message.source_id not in moment.addresses:
        return _ended(message, REFUSED, NO_ADDRESS, now_ms)
    if (message.source_id, message.channel) in moment.suppressed:
        return _ended(message, REFUSED, SUPPRESSED, now_ms)
    until_ms = quiet_until(loaded.document.outbound, message.channel, facts.get("time_zone"), now_ms)
    if until_ms is None:
        return None
    freed = _freed(message, now_ms)
    return freed._replace(state=QUEUED, not_before_ms=until_ms, reason=QUIET_HOURS)


def _is_held_out(loaded: Loaded, message: Message, person: Person) -> bool:
    """Whether a holdout keeps the person out of the journey that sends this. Holdouts of placements are the
    decision's own.
    """
    if message.instance_id is None:
        return False
    journeys = loaded.document.outbound.journeys
    return any(
        any(journeys[number].id == message.origin for number in holdout.journeys)
        and bucket(holdout.salt, person.profile.unit_key) < holdout.share
        for holdout in loaded.document.holdouts
    )


def _consents(loaded: Loaded, message: Message, record: bytes, now_ms: int) -> bool:
    """Whether the channel's own purpose is granted, beside the placement's, which the decision has checked.

    A placement that needs no consent (`purpose: none`) is a service message, and needs none of the channel.
    """
    placement = loaded.placements.get(message.placement)
    if placement is None or placement.purpose < 0:
        return placement is not None
    of_channel = [one for one in loaded.document.purposes if one.id == message.channel]
    state = State.unpack(record)
    return all(_is_granted(state.consent(purpose.slot), now_ms) for purpose in of_channel)


def _is_granted(consent: tuple[int, int] | None, now_ms: int) -> bool:
    return consent is not None and consent[0] == GRANTED and consent[1] <= now_ms


def _asked(message: Message, person: Person, now_ms: int, decision_id: str) -> Asked:
    return Asked(
        question=Question(placements=(message.placement,)),
        context={},
        keys=(message.source_id,),
        unit_key=person.profile.unit_key,
        named=True,
        now_ms=now_ms,
        decision_id=decision_id,
    )


def _addressed(
    loaded: Loaded, looked: Looked, template: Template, facts: Mapping[str, Any], now_ms: int
) -> Addressed:
    assert looked.answer is not None
    message = looked.message
    locale = next((facts[name] for name in LOCALES if isinstance(facts.get(name), str)), "")
    return Addressed(
        message_id=message.message_id,
        recipient=looked.recipient,
        channel=message.channel,
        placement=message.placement,
        template=template,
        blocks=looked.answer["blocks"],
        profile=facts,
        locale=locale,
        outbound=loaded.document.outbound,
        now_ms=now_ms,
    )


def _freed(message: Message, now_ms: int) -> Message:
    return message._replace(changed_at_ms=now_ms, lease_owner="", lease_until_ms=0)


def _ended(message: Message, state: str, reason: str, now_ms: int) -> Message:
    return _freed(message, now_ms)._replace(state=state, reason=reason)
