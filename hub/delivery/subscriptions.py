"""What a person decides from a message: no more of this channel, or what she wants by purpose.

A stop counts from its commit on: what is not yet handed over then is cancelled in the same transaction, and
the hand-off reads suppressions in its own. The withdrawal goes the way of every consent, as an event.
"""

import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from core.bundle import BundleDocument
from core.events import Consent, Event, Identifier
from core.intake import CONSENT_NAME
from core.record import describe
from hub.delivery.outcomes import stop_open
from hub.delivery.recipients import ADDRESS_KINDS, look_up
from hub.errors import NotFoundError
from hub.store import outbox, sources, suppressions
from hub.store.engine import Connection, Store
from hub.store.outbox import Message
from hub.store.suppressions import UNSUBSCRIBE, Suppression

GRANTED: Final = "granted"
WITHDRAWN: Final = "withdrawn"
TEXT_VERSION: Final = "preferences-1"
CONSENT: Final = "consent."
EVENT_ID_BYTES: Final = 16

Accept = Callable[[Sequence[Event]], Awaitable[object]]


@dataclass(frozen=True)
class Preferences:
    """How things stand for the person that a message went to. `purposes`: purpose -> granted, in order."""

    channel: str
    address: str  # masked
    purposes: dict[str, bool]
    unsubscribed: bool


class Subscriptions:
    """Reads and changes what a person wants, named by a message that she got."""

    def __init__(
        self,
        store: Store,
        accept: Accept,
        applied: Callable[[], Awaitable[None]],
        document: Callable[[], BundleDocument | None],
        clock: Callable[[], int],
        node: str,
    ) -> None:
        """`accept` puts events onto the event log; `applied` waits a moment until they are in force."""
        self._store = store
        self._accept = accept
        self._applied = applied
        self._document = document
        self._clock = clock
        self._node = node

    async def look(self, message_id: str) -> Preferences:
        """How things stand. Raises NotFoundError."""
        return await self._store.read(lambda connection: self._look(connection, message_id)[1])

    async def unsubscribe(self, message_id: str, source: str) -> None:
        """Stop the message's channel for its address. Again is no harm. Raises NotFoundError."""
        message, now = await self._store.read(lambda connection: self._look(connection, message_id))
        await self._store.write(lambda connection: self._stop(connection, message, source))
        if now.purposes.get(message.channel) or not now.unsubscribed:
            await self._tell(message, {message.channel: WITHDRAWN}, source)

    async def choose(self, message_id: str, wanted: Iterable[str], source: str) -> Preferences:
        """Grant the purposes that are wanted, withdraw the others; only what changes is told."""
        message, now = await self._store.read(lambda connection: self._look(connection, message_id))
        chosen = set(wanted)
        changes = {
            purpose: GRANTED if purpose in chosen else WITHDRAWN
            for purpose, granted in now.purposes.items()
            if granted != (purpose in chosen)
        }
        if message.channel not in chosen:
            await self._store.write(lambda connection: self._stop(connection, message, source))
        if changes:
            await self._tell(message, changes, source)
        if message.channel in chosen:
            # Only her own stop: a bounce or a complaint beside it stays.
            await self._store.write(
                lambda connection: suppressions.remove(
                    connection, message.source_id, message.channel, UNSUBSCRIBE
                )
            )
        return await self.look(message_id)

    def _look(self, connection: Connection, message_id: str) -> tuple[Message, Preferences]:
        message = next(outbox.by_id(connection, [message_id]), None)
        if message is None or message.channel not in ADDRESS_KINDS:
            raise NotFoundError(expected="a message that is still known", got="another one", path="token")
        person = look_up(connection, [message.source_id]).get(message.source_id)
        document = self._document()
        facts: dict[str, Any] = {}
        if person is not None and document is not None:
            facts = describe(person.profile.record, document, self._clock())
        names = [purpose.id for purpose in document.purposes] if document else [message.channel]
        values = sources.values(connection, [message.source_id])
        stops = suppressions.of_person(connection, [message.source_id])
        return message, Preferences(
            channel=message.channel,
            address=masked(values.get(message.source_id, "")),
            purposes={name: facts.get(CONSENT + name, {}).get("state") == GRANTED for name in names},
            unsubscribed=any(
                stop.channel == message.channel and stop.reason == UNSUBSCRIBE for stop in stops
            ),
        )

    def _stop(self, connection: Connection, message: Message, source: str) -> None:
        now_ms = self._clock()
        suppressions.add(
            connection, [Suppression(message.source_id, message.channel, UNSUBSCRIBE, now_ms, source)]
        )
        stop_open(connection, [message.source_id], message.channel, UNSUBSCRIBE, now_ms)

    async def _tell(self, message: Message, changes: dict[str, str], source: str) -> None:
        now_ms = self._clock()
        who = (Identifier(ADDRESS_KINDS[message.channel], message.source_id, True),)
        events = [
            Event(
                message_id=secrets.token_hex(EVENT_ID_BYTES),
                kind="consent",
                name=CONSENT_NAME,
                at_ms=now_ms,
                received_ms=now_ms,
                identifiers=who,
                consent=Consent(purpose, state, TEXT_VERSION, source),
                node=self._node,
            )
            for purpose, state in changes.items()
        ]
        await self._accept(events)
        await self._applied()


def masked(address: str) -> str:
    """An address that its owner knows again and nobody else can read: `a***@e***.com`."""
    local, at, domain = address.partition("@")
    if not at:
        return f"***{address[-2:]}" if address else ""
    name, dot, end = domain.rpartition(".")
    return f"{local[:1]}***@{name[:1]}***{dot}{end}"
