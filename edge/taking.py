"""Taking events in on an edge: validate, drop what may not be kept, make durable, answer.

validate -> known duplicates -> consent gate -> journal (group commit) -> overlay -> the caller
"""

import asyncio
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from core.decide import Engine
from core.errors import EventError
from core.events import Event, encode_event
from core.intake import Person as User
from core.intake import take_in, take_in_consent
from core.journal import BODY_BYTES_MAX
from core.sealing import SealError, seal
from edge import figures
from edge.errors import EdgeError
from edge.figures import Figures
from edge.journal.commit import GroupCommit, Waiting
from edge.node import Node, Shown, Standing, passes_always, shown_by
from edge.overlay import Overlay, OverlayEntry, seen_key

EVENTS_MAX: Final = 1000
#: A record with its head must fit one upload of 64 KiB.
EVENT_BYTES_MAX: Final = BODY_BYTES_MAX - 1024


class Rejected(msgspec.Struct, frozen=True):
    """A message that is no event: where and why, never with its values."""

    index: int
    path: str
    expected: str
    got: str


class Taken(NamedTuple):
    """What became of a request's messages. `dropped` of the accepted ones were behaviour that the person
    does not allow.
    """

    accepted: int
    duplicates: int
    dropped: int
    rejected: list[Rejected]


class Taker:
    """Takes events and consents in; one a worker."""

    def __init__(
        self,
        node: Node,
        overlay: Overlay,
        commit: GroupCommit,
        numbers: Figures,
        *,
        identifier_key: bytes,
        node_name: str,
    ) -> None:
        self._node = node
        self._overlay = overlay
        self._commit = commit
        self._figures = numbers
        self._identifier_key = identifier_key
        self._node_name = node_name
        self.sealing_key: bytes | None = None

    async def take(
        self, engine: Engine, messages: Sequence[Any], *, kind: str | None, trusted: bool, user: User | None
    ) -> Taken:
        """Take messages in; returns when every accepted one is on disk. Raises EdgeError if the disk or the
        queue refuses.
        """
        now_ms = time.time_ns() // 1_000_000
        events, rejected = self._validate(messages, kind, trusted, user, now_ms)
        fresh, duplicates = self._without_duplicates(events)
        kept, entries = self._allowed(engine, fresh, now_ms)
        if kept:
            outcome = await self._write(kept, entries)
            raced = outcome.count(False)
        else:
            raced = 0
        taken = Taken(len(fresh) - raced, duplicates + raced, len(fresh) - len(kept), rejected)
        self._count(taken)
        return taken

    async def take_consent(self, message: dict[str, Any], user: User | None) -> Event:
        """Take one consent change in; returns when it is on disk. Raises EventError, EdgeError."""
        now_ms = time.time_ns() // 1_000_000
        event = take_in_consent(
            message,
            identifier_key=self._identifier_key,
            user=user,
            received_ms=now_ms,
            node=self._node_name,
            new_id=new_id,
        )
        shown = shown_by(event)
        entry = self._entry(event, encode_event(event), shown, self._node.profile_of(shown))
        await self._write([entry.body], [entry])
        self._figures.add(figures.CONSENTS)
        return event

    def _validate(
        self, messages: Sequence[Any], kind: str | None, trusted: bool, user: User | None, now_ms: int
    ) -> tuple[list[tuple[Event, bytes]], list[Rejected]]:
        events: list[tuple[Event, bytes]] = []
        rejected: list[Rejected] = []
        for index, message in enumerate(messages):
            try:
                event = take_in(
                    message,
                    kind=kind,
                    identifier_key=self._identifier_key,
                    trusted=trusted,
                    user=user,
                    received_ms=now_ms,
                    node=self._node_name,
                    seal=self._seal,
                    new_id=new_id,
                )
                body = encode_event(event)
                if len(body) > EVENT_BYTES_MAX:
                    raise EventError(
                        path="$", expected=f"at most {EVENT_BYTES_MAX} bytes", got=f"{len(body)} bytes"
                    )
                events.append((event, body))
            except (EventError, SealError) as error:
                rejected.append(Rejected(index, error.path or "$", error.expected, error.got))
        return events, rejected

    def _without_duplicates(self, events: list[tuple[Event, bytes]]) -> tuple[list[tuple[Event, bytes]], int]:
        """Leave out what was taken before, here or earlier in the same request."""
        first: dict[str, tuple[Event, bytes]] = {}
        for event, body in events:
            first.setdefault(event.message_id, (event, body))
        seen = self._overlay.has_seen([seen_key(name) for name in first]) if first else []
        fresh = [entry for entry, known in zip(first.values(), seen, strict=True) if not known]
        return fresh, len(events) - len(fresh)

    def _allowed(
        self, engine: Engine, events: list[tuple[Event, bytes]], now_ms: int
    ) -> tuple[list[bytes], list[OverlayEntry]]:
        """The events that may be kept. Without the person's consent, behaviour is neither written nor
        remembered.
        """
        standings: dict[Shown, Standing] = {}
        bodies: list[bytes] = []
        entries: list[OverlayEntry] = []
        for event, body in events:
            shown = shown_by(event)
            if shown not in standings:
                standings[shown] = self._node.standing(engine, shown, now_ms)
            standing = standings[shown]
            if standing.allows_behaviour or passes_always(event, engine.fold_plan):
                bodies.append(body)
                entries.append(self._entry(event, body, shown, standing.profile_id))
        return bodies, entries

    @staticmethod
    def _entry(event: Event, body: bytes, shown: Shown, profile_id: bytes | None) -> OverlayEntry:
        everywhere = shown.keys if profile_id is None else (*shown.keys, profile_id)
        return OverlayEntry(body, everywhere, seen_key(event.message_id))

    async def _write(self, bodies: list[bytes], entries: list[OverlayEntry]) -> list[bool]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[bool]] = loop.create_future()
        try:
            self._commit.submit(Waiting(bodies, entries, _answer_on(loop, future)))
            return await future
        except EdgeError:
            self._figures.add(figures.EVENTS_FAILED, len(bodies))
            raise

    def _seal(self, plain: bytes) -> bytes:
        """Seal identifier traits; until the hub has told its key, they are dropped, never written in the
        clear.
        """
        if self.sealing_key is None:
            self._figures.add(figures.SEALED_DROPPED)
            return b""
        return seal(self.sealing_key, plain)

    def _count(self, taken: Taken) -> None:
        self._figures.add(figures.EVENTS_ACCEPTED, taken.accepted)
        self._figures.add(figures.EVENTS_DUPLICATE, taken.duplicates)
        self._figures.add(figures.EVENTS_DROPPED, taken.dropped)
        self._figures.add(figures.EVENTS_REJECTED, len(taken.rejected))


def new_id() -> str:
    """A message id for a message without one."""
    return str(uuid.uuid4())


def _answer_on(
    loop: asyncio.AbstractEventLoop, future: "asyncio.Future[list[bool]]"
) -> Callable[[list[bool] | EdgeError], None]:
    """A callback for the commit thread that completes a future of the event loop."""

    def complete(outcome: list[bool] | EdgeError) -> None:
        if future.done():  # the client has gone and the request with it
            return
        if isinstance(outcome, EdgeError):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

    def done(outcome: list[bool] | EdgeError) -> None:
        try:
            loop.call_soon_threadsafe(complete, outcome)
        except RuntimeError:  # the loop has ended: nobody waits any more
            return

    return done
