"""Delivery on a real store: events are ingested as they would be, time is a number, providers are ports."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from core.bundle import content_hash
from core.compiler import compile_catalogue
from core.events import Event
from core.record import describe
from core.sealing import seal
from hub.data.ingestor import Ingestor
from hub.data.people import People
from hub.data.profiles import ProfileData
from hub.data.values import Values
from hub.data.view import view_of_content
from hub.decisioning.authoring import read_catalogue
from hub.decisioning.bundles import sign_bundle
from hub.decisioning.decision_log import DecisionLog
from hub.delivery.engines import Engines
from hub.delivery.handoff import HandOff, Looked
from hub.delivery.options import DeliveryOptions
from hub.delivery.plane import Delivery, figures
from hub.delivery.ports import Addressed, Composed, Composer, Outcome, Sender
from hub.store import decisions, journeys, outbox, profiles, revisions, suppressions
from hub.store.engine import Connection, Store
from hub.store.journeys import Instance
from hub.store.outbox import Message
from hub.store.suppressions import UNSUBSCRIBE, Suppression
from tests.hub.data.harness import Ground
from tests.hub.data.harness import ground as data_ground
from tests.hub.delivery.catalogue import FILES
from tests.hub.events import consent, event, person
from tests.hub.keys import IDENTIFIER_KEY, SEALING_KEY, SIGNING_KEY

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


class Letters:
    """A composer whose messages can be read back."""

    def compose(self, message: Addressed) -> Composed:
        content = msgspec.json.encode(
            {"blocks": message.blocks, "locale": message.locale, "to": message.recipient}
        )
        return Composed(message.message_id, "bounces@shop.example", message.recipient, content)


class Memory:
    """A sender that keeps what it is given, and answers as it is told to."""

    def __init__(self) -> None:
        self.sent: list[Composed] = []
        self.answers: list[Outcome] = []
        self.gate: asyncio.Event | None = None
        self.closed = False

    async def send(self, message: Composed) -> Outcome:
        if self.gate is not None:
            await self.gate.wait()
        answer = self.answers.pop(0) if self.answers else Outcome("sent", 250)
        if answer.kind in ("sent", "in_doubt"):
            self.sent.append(message)
        return answer

    async def close(self) -> None:
        self.closed = True


class _Interrupted:
    """The hand-off's checks, with something happening after the decision."""

    def __init__(self, checks: HandOff, interrupt: Callable[[], Awaitable[None]]) -> None:
        self._checks = checks
        self._interrupt = interrupt
        self.log = checks.log

    async def look(self, messages: Sequence[Message], *, compose: bool) -> list[Looked]:
        looked = await self._checks.look(messages, compose=compose)
        await self._interrupt()
        return looked


class DeliveryGround:
    """A store, ingestion, and delivery beside it."""

    def __init__(self, data: Ground, options: DeliveryOptions, senders: Mapping[str, Sender]) -> None:
        self.data = data
        self.store: Store = data.store
        self.revision = 0
        self.sender = Memory()
        self.log = DecisionLog(self.store, "hub")
        self.composers: dict[str, Composer] = {"email": Letters()}
        #: Run once between the decision on a batch and its hand-off.
        self.between: Callable[[Connection], None] | None = None
        self.between_events: Callable[[], Awaitable[None]] | None = None
        self.hold_impressions = False
        engines = Engines(self.store)
        self.delivery = Delivery(
            self.store,
            engines,
            "hub",
            composers=self.composers,
            senders={"email": self.sender, **senders},
            accept=self.accept,
            decision_log=self.log.add,
            clock=lambda: self.now_ms,
            options=options,
        )
        self.delivery.outbox.handoff = _Interrupted(self.delivery.outbox.handoff, self.interrupt)
        values = Values(SEALING_KEY.private_bytes_raw(), IDENTIFIER_KEY)
        data.ingestor = Ingestor(People(), values, engines.interest)

    @property
    def now_ms(self) -> int:
        return self.data.now_ms

    def pass_time(self, ms: int) -> None:
        self.data.now_ms += ms

    async def accept(self, events: Sequence[Event]) -> None:
        await self.data.apply(*events)

    async def interrupt(self) -> None:
        """What a test wants to happen while a batch is in hand."""
        if self.between is not None:
            work, self.between = self.between, None
            await self.store.write(work)
        if self.between_events is not None:
            happen, self.between_events = self.between_events, None
            await happen()

    async def publish(self, files: Mapping[str, str] = FILES) -> None:
        """Compile, store and activate, as the publisher does."""
        layout = await self.store.read(revisions.get_layout)
        content, layout = compile_catalogue(read_catalogue(dict(files)), layout)
        newest = await self.store.read(revisions.last_revision)
        self.revision = newest.revision + 1 if newest is not None else 1
        name = content_hash(content)
        submission = revisions.Submission(name, content, (), "ada", self.now_ms, self.revision - 1)
        revision = revisions.Revision(self.revision, name, (), b"", "ada", self.now_ms, 0)

        def work(connection: Connection) -> None:
            revisions.put_submission(connection, submission)
            revisions.append_layout(connection, layout)
            revisions.add_revision(connection, revision)

        await self.store.write(work)
        swap = self.delivery.prepare(sign_bundle(SIGNING_KEY, self.revision, name, (), content))
        swap()
        self.data.view = view_of_content(content)

    async def join(
        self, who: str, *, consents: Sequence[str] = ("email", "analytics"), **traits: object
    ) -> None:
        """A person with an address, who consents."""
        address = f"{who}@mail.example"
        sealed = seal(SEALING_KEY.public_key().public_bytes_raw(), msgspec.json.encode({"email": address}))
        named = f"email:{address}"
        given = [consent(named, purpose=one, at_ms=self.now_ms) for one in consents]
        told = event("Identify", named, kind="identify", at_ms=self.now_ms, traits=traits, sealed=sealed)
        await self.data.apply(*given, told)

    async def happens(self, name: str, who: str, **properties: object) -> None:
        """An event of a person, now."""
        await self.data.apply(event(name, f"email:{who}@mail.example", at_ms=self.now_ms, **properties))

    async def withdraws(self, who: str, purpose: str = "email") -> None:
        named = f"email:{who}@mail.example"
        await self.data.apply(consent(named, purpose=purpose, state="withdrawn", at_ms=self.now_ms))

    async def settle(self) -> None:
        """Let the journeys do everything that is to be done now."""
        while await self.delivery.runner.step():
            pass

    async def hand_over(self) -> None:
        """Let the outbox do everything that is to be done now."""
        for channel, sender in self.delivery.outbox.senders.items():
            while await self.delivery.outbox.batch(channel, sender, 100) is not None:
                pass
        if not self.hold_impressions:
            await self.delivery.outbox.log_impressions()

    async def give_cart_messages(self, who: str, count: int, first: int = 0) -> None:
        """Queue messages that several journeys could have sent at once."""
        rows = [
            Message(
                f"{number:032x}", None, "cart", self.key(who), "email", "mail.main", "plain", "", now, now
            )
            for now in [self.now_ms]
            for number in range(first, first + count)
        ]
        await self.store.write(lambda c: outbox.add(c, rows))

    async def suppress(self, who: str) -> None:
        row = Suppression(self.key(who), "email", UNSUBSCRIBE, self.now_ms, "one-click")
        await self.store.write(lambda c: suppressions.add(c, [row]))

    async def damage(self, who: str) -> None:
        """Turn a bit of a person's record over, as a disk might."""
        profile = await self.data.profile(f"email:{who}@mail.example")
        assert profile is not None
        record = bytearray(profile.record)
        record[-1] ^= 1
        row = {**profile._asdict(), "record": bytes(record)}
        await self.store.write(lambda c: profiles.save(c, [row]))

    async def erase(self, who: str) -> None:
        data = ProfileData(self.store, self.data.changes, lambda: self.now_ms)
        await data.erase(self.key(who))

    async def ends(self) -> list[tuple[str, str]]:
        """State and reason of every message."""
        return [(one.state, one.reason) for one in await self.messages()]

    async def figures(self) -> dict[str, int]:
        return await self.store.read(lambda c: figures(c, self.now_ms))

    def impressions(self, record: bytes) -> list[dict[str, Any]]:
        return describe(record, self.data.view.document, self.now_ms)["impressions"]  # type: ignore[return-value]

    async def messages(self, *states: str) -> list[Message]:
        wanted = list(states or outbox.STATES)
        return await self.store.read(lambda c: outbox.listed(c, states=wanted, count=1000))

    async def message(self) -> Message:
        """The only one."""
        (found,) = await self.messages()
        return found

    async def instances(self, who: str) -> list[Instance]:
        key = self.key(who)
        return await self.store.read(lambda c: journeys.of_sources(c, [key]))

    async def decided(self, who: str) -> int:
        """How many decisions about a person are logged."""
        await self.log.flush()
        profile = await self.data.profile(f"email:{who}@mail.example")
        assert profile is not None
        keys = [profile.profile_id]
        return len(await self.store.read(lambda c: decisions.of_person(c, keys, 100)))

    @staticmethod
    def key(who: str) -> bytes:
        return person(f"email:{who}@mail.example").hash


@asynccontextmanager
async def delivery_ground(
    store: Store, *, options: DeliveryOptions | None = None, senders: Mapping[str, Sender] | None = None
) -> AsyncIterator[DeliveryGround]:
    """A ground with the catalogue published and nothing running by itself."""
    async with data_ground(store) as data:
        made = DeliveryGround(data, options or DeliveryOptions(), senders or {})
        await made.publish()
        await made.delivery.engines.refresh()
        yield made
        await made.delivery.stop()
