"""Journeys on the store: hears signals and advances who is due, about a thousand people at a time.

What is decided on one moment's rows is written only where these rows are still the same, in one transaction
with the messages and the cursor: a hub that is killed, or a second one beside it, does nothing twice.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import structlog

from core.bundle import BundleDocument
from core.errors import CoreError
from hub.delivery import journeys as steps
from hub.delivery.engines import Engines, Versioned
from hub.delivery.journeys import Send
from hub.delivery.recipients import Person, look_up
from hub.delivery.threads import DeliveryThread
from hub.store import journeys, outbox, signals
from hub.store.engine import Connection, Store
from hub.store.journeys import ENDED, Entered, Instance
from hub.store.outbox import Message
from hub.store.signals import Signal

AT_ONCE: Final = 1_000
CURSOR: Final = "journeys"
LEASE_MS: Final = 30_000
IDLE_SECONDS: Final = 0.2
PROGRESS_SECONDS: Final = 1.0
REFRESH_SECONDS: Final = 60.0
#: Where the version of somebody inside cannot be loaded at the moment.
POSTPONED_MS: Final = 5_000

#: Reasons of messages.
EXITED: Final = "exited"
NO_ADDRESS: Final = "no_address"

log = structlog.get_logger(__name__)


class _Heard(NamedTuple):
    """What the store says of the next signals and of the people they are about."""

    cursor: int
    signals: list[Signal]
    people: dict[bytes, Person]
    instances: dict[bytes, Instance]  # inside, or ended with messages that can still be stopped
    entered: dict[tuple[bytes, str], Entered]


@dataclass
class _Acts:
    """What signals do."""

    entering: list[Instance] = field(default_factory=list)
    changed: dict[bytes, Instance] = field(default_factory=dict)
    exited: set[bytes] = field(default_factory=set)


class _Advanced(NamedTuple):
    """What became of the instances that were due."""

    instances: list[Instance]
    messages: list[Message]


class Truth:
    """The rules that hold for people at one moment, each engine and person looked at once."""

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms
        self._known: dict[tuple[int, bytes], Collection[int]] = {}

    def of(self, versioned: Versioned, person: Person) -> Callable[[], Collection[int]]:
        """A function, as most steps ask for none."""

        def truths() -> Collection[int]:
            key = id(versioned.engine), person.profile.profile_id
            if key not in self._known:
                self._known[key] = self._match(versioned, person)
            return self._known[key]

        return truths

    def _match(self, versioned: Versioned, person: Person) -> Collection[int]:
        try:
            return frozenset(versioned.engine.match(person.profile.record, {}, self._now_ms))
        except CoreError as error:
            # One damaged record must not stop everybody's journeys. Nothing holds for it, and the hand-off
            # will send nothing to its person.
            log.error("conditions not read", journey=versioned.journey.id, error=type(error).__name__)
            return frozenset()


class JourneyRunner:
    """`run` until cancelled."""

    def __init__(
        self,
        store: Store,
        engines: Engines,
        thread: DeliveryThread,
        owner: str,
        clock: Callable[[], int],
        queued: Callable[[], None],
    ) -> None:
        """`owner` names this run of this hub; `queued` is called when messages were put into the outbox."""
        self._store = store
        self._engines = engines
        self._thread = thread
        self._owner = owner
        self._clock = clock
        self._queued = queued
        self._wake = asyncio.Event()
        self._refreshed = 0.0
        self._told = time.monotonic()
        self._told_count = 0
        self.advanced = 0

    def wake(self) -> None:
        """Something was committed: there may be signals."""
        self._wake.set()

    async def run(self) -> None:
        """Hear and advance for ever."""
        await self._store.write(lambda connection: journeys.release(connection, self._owner))
        while True:
            self._wake.clear()
            if not self._engines.ready or not await self.step():
                try:
                    async with asyncio.timeout(IDLE_SECONDS):
                        await self._wake.wait()
                except TimeoutError:
                    pass

    async def step(self) -> bool:
        """One batch of signals and one of people who are due; whether there was anything."""
        if self._engines.stale or time.monotonic() - self._refreshed > REFRESH_SECONDS:
            await self._engines.refresh()
            self._refreshed = time.monotonic()
        heard = await self.hear()
        advanced = await self.advance()
        await self._tell(advanced)
        return bool(heard or advanced)

    async def hear(self) -> int:
        """Act on the next signals; returns how many there were."""
        heard = await self._store.read(_next_signals)
        if not heard.signals:
            return 0
        await self._engines.load(one.version for one in heard.instances.values())
        now_ms = self._clock()
        acts = await self._thread.run(self._act, heard, now_ms)
        # Where somebody else was faster, the next round sees what is true then.
        await self._store.write(lambda connection: _write_acts(connection, heard, acts, now_ms))
        return len(heard.signals)

    async def advance(self) -> int:
        """Advance some of the people who are due; returns how many."""
        now_ms = self._clock()
        until_ms = now_ms + LEASE_MS
        claimed = await self._store.write(
            lambda connection: journeys.claim(
                connection, now_ms=now_ms, until_ms=until_ms, owner=self._owner, count=AT_ONCE
            )
        )
        if not claimed:
            return 0
        await self._engines.load(one.version for one in claimed)
        sources = [one.source_id for one in claimed]
        people = await self._store.read(lambda connection: look_up(connection, sources))
        advanced = await self._thread.run(self._advance, claimed, people, now_ms)
        messages = await self._store.write(
            lambda connection: _write_advanced(connection, advanced, self._owner, until_ms, now_ms)
        )
        self.advanced += len(claimed)
        if messages:
            self._queued()
        return len(claimed)

    def _act(self, heard: _Heard, now_ms: int) -> _Acts:
        """Runs in delivery's thread."""
        acts, truth = _Acts(), Truth(now_ms)
        triggers = self._engines.active.triggers
        current: dict[bytes, dict[bytes, Instance]] = {}  # by profile
        for instance in heard.instances.values():
            person = heard.people.get(instance.source_id)
            if person is not None:
                current.setdefault(person.profile.profile_id, {})[instance.instance_id] = instance
        for signal in heard.signals:
            person = heard.people.get(signal.source_id)
            if person is None:
                continue  # erased since
            held = current.setdefault(person.profile.profile_id, {})
            self._hear(signal, held, acts, now_ms)
            for versioned in triggers.get(signal.event, ()):
                _enter(versioned, signal, person, held, heard, acts, truth, now_ms)
        self._leave(heard, current, acts, truth, now_ms)
        return acts

    def _hear(self, signal: Signal, held: dict[bytes, Instance], acts: _Acts, now_ms: int) -> None:
        """What a signal does to the journeys that its person is in."""
        for key, instance in list(held.items()):
            versioned = self._engines.find(instance.version)
            if versioned is None:
                continue
            if steps.exits_by(versioned.journey, signal):
                # Ended or not: a message that waits for the morning is stopped too.
                acts.exited.add(key)
            after = steps.hear(versioned.journey, instance, signal, now_ms)
            if after is not instance:
                held[key] = acts.changed[key] = after._replace(lease_owner="", lease_until_ms=0)

    def _leave(
        self,
        heard: _Heard,
        current: Mapping[bytes, Mapping[bytes, Instance]],
        acts: _Acts,
        truth: Truth,
        now_ms: int,
    ) -> None:
        """Exits by condition, on the newest record of everybody who was heard of."""
        for held in current.values():
            for key, instance in held.items():
                versioned = self._engines.find(instance.version)
                person = heard.people.get(instance.source_id)
                if versioned is None or person is None or instance.state == ENDED:
                    continue
                if steps.exits_if(versioned.journey, truth.of(versioned, person)):
                    acts.exited.add(key)
                    ended = steps.end(instance, steps.EXITED, now_ms)
                    acts.changed[key] = ended._replace(lease_owner="", lease_until_ms=0)

    def _advance(self, claimed: Iterable[Instance], people: Mapping[bytes, Person], now_ms: int) -> _Advanced:
        """Runs in delivery's thread."""
        truth = Truth(now_ms)
        advanced = _Advanced([], [])
        for instance in claimed:
            free = instance._replace(lease_owner="", lease_until_ms=0)
            person = people.get(instance.source_id)
            versioned = self._engines.find(instance.version)
            if person is None:
                advanced.instances.append(steps.end(free, steps.GONE, now_ms))
            elif versioned is None:
                advanced.instances.append(free._replace(due_at_ms=now_ms + POSTPONED_MS))
            else:
                after, sends = steps.advance(versioned.journey, free, truth.of(versioned, person), now_ms)
                advanced.instances.append(after)
                document = versioned.engine.document
                advanced.messages.extend(message_of(document, after, send, person, now_ms) for send in sends)
        return advanced

    async def _tell(self, advanced: int) -> None:
        """Progress, once a second while there is much to do."""
        if advanced < AT_ONCE:
            self._told, self._told_count = time.monotonic(), self.advanced
            return
        passed = time.monotonic() - self._told
        if passed >= PROGRESS_SECONDS:
            due = await self._store.read(lambda connection: journeys.count_due(connection, self._clock()))
            per_second = round((self.advanced - self._told_count) / passed)
            log.info("journeys advance", people_per_second=per_second, due=due, advanced=self.advanced)
            self._told, self._told_count = time.monotonic(), self.advanced


def message_of(
    document: BundleDocument, instance: Instance, send: Send, person: Person, now_ms: int
) -> Message:
    """The outbox row of a step; one that nobody can be reached by says so and goes no further."""
    placement = document.placements[send.step.placement]
    address = person.address(placement.channel)
    message = Message(
        message_id=send.message_id,
        instance_id=instance.instance_id,
        origin=instance.journey_id,
        source_id=address or instance.source_id,
        channel=placement.channel,
        placement=placement.id,
        template=document.outbound.templates[send.step.template].id,
        provider="",
        created_at_ms=now_ms,
        not_before_ms=now_ms,
        changed_at_ms=now_ms,
    )
    return message if address else message._replace(state=outbox.REFUSED, reason=NO_ADDRESS)


def _enter(
    versioned: Versioned,
    signal: Signal,
    person: Person,
    held: dict[bytes, Instance],
    heard: _Heard,
    acts: _Acts,
    truth: Truth,
    now_ms: int,
) -> None:
    """Let a person in, if trigger, re-entry rule and condition say so."""
    journey = versioned.journey
    if not steps.occurs(journey.trigger, signal):
        return
    inside = any(one.journey_id == journey.id and one.state != ENDED for one in held.values())
    before = [one for key in person.source_ids for one in _entries(heard, key, journey.id)]
    if not steps.may_enter(journey, before, inside, now_ms):
        return
    if journey.when >= 0 and journey.when not in truth.of(versioned, person)():
        return
    entry = steps.entry_after(heard.entered, signal.source_id, journey.id)
    instance = steps.enter(journey, versioned.version, signal, entry, now_ms)
    heard.entered[signal.source_id, journey.id] = Entered(signal.source_id, journey.id, entry, now_ms)
    held[instance.instance_id] = instance
    acts.entering.append(instance)


def _entries(heard: _Heard, source_id: bytes, journey_id: str) -> list[Entered]:
    found = heard.entered.get((source_id, journey_id))
    return [found] if found is not None else []


def _next_signals(connection: Connection) -> _Heard:
    cursor = signals.cursor(connection, CURSOR)
    found = signals.after(connection, cursor, AT_ONCE)
    people = look_up(connection, {one.source_id for one in found})
    keys = {key for person in people.values() for key in person.source_ids}
    every = {key: person for person in people.values() for key in person.source_ids}
    inside = {one.instance_id: one for one in journeys.inside(connection, keys)}
    stoppable = {one.instance_id for one in outbox.stoppable(connection, keys) if one.instance_id}
    for one in journeys.by_id(connection, stoppable - inside.keys()):
        inside[one.instance_id] = one
    entered = {(one.source_id, one.journey_id): one for one in journeys.entered(connection, keys)}
    return _Heard(cursor, found, every, inside, entered)


def _write_acts(connection: Connection, heard: _Heard, acts: _Acts, now_ms: int) -> bool:
    """Write everything, or nothing where cursor or instances are not what was read."""
    if signals.cursor(connection, CURSOR) != heard.cursor:
        return False
    now = {one.instance_id: one for one in journeys.by_id(connection, heard.instances)}
    if now != heard.instances:
        return False
    new = {one.instance_id for one in acts.entering}
    entering = [acts.changed.get(one.instance_id, one) for one in acts.entering]
    journeys.enter(connection, entering)
    journeys.save(connection, [one for key, one in acts.changed.items() if key not in new])
    cancel(connection, acts.exited, now_ms)
    signals.move(connection, CURSOR, heard.signals[-1].number)
    return True


def _write_advanced(
    connection: Connection, advanced: _Advanced, owner: str, until_ms: int, now_ms: int
) -> int:
    """Write what is still under the lease that it was decided under; how many messages are new."""
    held = journeys.leased(connection, [one.instance_id for one in advanced.instances], owner, until_ms)
    journeys.save(connection, [one for one in advanced.instances if one.instance_id in held])
    messages = [one for one in advanced.messages if one.instance_id in held]
    outbox.add(connection, messages)
    exited = [
        one.instance_id
        for one in advanced.instances
        if one.instance_id in held and one.ended_reason == steps.EXITED
    ]
    cancel(connection, exited, now_ms)
    return len(messages)


def cancel(connection: Connection, instance_ids: Iterable[bytes], now_ms: int) -> None:
    """Stop what an exit can still stop."""
    stopped = [
        one._replace(
            state=outbox.CANCELLED, reason=EXITED, changed_at_ms=now_ms, lease_owner="", lease_until_ms=0
        )
        for one in outbox.not_handed_over(connection, instance_ids)
    ]
    outbox.save(connection, stopped)
