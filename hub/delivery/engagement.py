"""Opens and clicks: noted at once, judged some seconds later, and told as events where a person made them.

A mail scanner follows links within seconds of the delivery, or several at the same moment, which only shows a
little later. So each engagement waits in its table until it can be judged; a restart changes nothing of that.
What a machine did is marked, counted apart, and never an event.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from core.events import Event, Identifier
from hub.data.tasks import SteadyTask
from hub.delivery.recipients import ADDRESS_KINDS
from hub.store import counters, engagements, outbox
from hub.store.engagements import CLICK, OPEN, Engagement, Seen
from hub.store.engine import Connection, Store
from hub.store.outbox import Message

WAITING_MAX: Final = 20_000
AT_ONCE: Final = 500
FLUSH_SECONDS: Final = 0.25
JUDGE_SECONDS: Final = 0.5
LINKS_A_PERSON_OPENS: Final = 1

EVENTS: Final = {OPEN: "Email Opened", CLICK: "Email Link Clicked"}
#: Names of counts.
MACHINE_COUNTS: Final = {OPEN: "machine_opens", CLICK: "machine_clicks"}
DROPPED: Final = "engagements_dropped"

Accept = Callable[[Sequence[Event]], Awaitable[object]]
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Rules:
    """What tells a machine. A person needs `delivery_ms` to get a mail and look at it, and `burst_ms` from
    one link to another; `wait_ms` later everything that came with an engagement is known.
    """

    delivery_ms: int = 3_000
    burst_ms: int = 1_500
    wait_ms: int = 3_000


RULES: Final = Rules()


class Engagements:
    """Notes engagements and judges them. `note` waits for nothing."""

    def __init__(
        self, store: Store, accept: Accept, clock: Callable[[], int], node: str, rules: Rules = RULES
    ) -> None:
        """`accept` puts events onto the event log."""
        self._store = store
        self._accept = accept
        self._clock = clock
        self._node = node
        self._rules = rules
        self._waiting: deque[Engagement] = deque()
        self._dropped = 0
        self._tasks = [SteadyTask("engagement", self._keep), SteadyTask("engagement-verdicts", self._judge)]

    def start(self) -> None:
        """Begin to write and to judge."""
        for task in self._tasks:
            task.start()

    async def stop(self) -> None:
        """Write what was noted, then end."""
        for task in self._tasks:
            await task.stop()
        await self.flush()

    def note(self, kind: str, message_id: str, link: str = "", *, machine: bool = False) -> None:
        """Note an engagement; `machine`: it is known already that no person made it."""
        if len(self._waiting) >= WAITING_MAX:
            self._dropped += 1
            return
        self._waiting.append(Engagement(message_id, kind, self._clock(), machine or None, link))

    async def flush(self) -> None:
        """Write what was noted."""
        while self._waiting or self._dropped:
            rows = [self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))]
            dropped, self._dropped = self._dropped, 0
            try:
                await self._store.write(lambda connection: _write(connection, rows, dropped))  # noqa: B023
            except Exception:
                self._waiting.extendleft(reversed(rows))
                self._dropped += dropped
                raise

    async def judge(self) -> int:
        """Judge what has waited for long enough; how many.

        Events are safe in the log before their rows are judged, under ids that say which row they are of:
        after a stop in between they are told again and known.
        """
        before_ms = self._clock() - self._rules.wait_ms
        judged = await self._store.read(lambda connection: self._look(connection, before_ms))
        if not judged:
            return 0
        human = [(row, message) for row, message, machine in judged if not machine]
        events = [event for row, message in human for event in self._event(row, message)]
        if events:
            await self._accept(events)
        await self._store.write(lambda connection: _settle(connection, judged))
        return len(judged)

    async def _keep(self) -> None:
        while True:
            await self.flush()
            await asyncio.sleep(FLUSH_SECONDS)

    async def _judge(self) -> None:
        while True:
            if await self.judge() < AT_ONCE:
                await asyncio.sleep(JUDGE_SECONDS)

    def _look(self, connection: Connection, before_ms: int) -> "list[_Judged]":
        rows = engagements.unjudged(connection, before_ms, AT_ONCE)
        ids = {row.message_id for row in rows}
        messages = {row.message_id: row for row in outbox.by_id(connection, ids)}
        clicks: dict[str, list[Seen]] = {}
        for one in engagements.of_messages(connection, ids):
            if one.kind == CLICK:
                clicks.setdefault(one.message_id, []).append(one)
        return [
            (row, message, by_machine(row, message, clicks.get(row.message_id, ()), self._rules))
            for row in rows
            for message in [messages.get(row.message_id)]
        ]

    def _event(self, row: Seen, message: Message | None) -> Iterable[Event]:
        if message is None or message.channel not in ADDRESS_KINDS:
            return
        properties: dict[str, object] = {
            "message_id": row.message_id,
            "campaign_id": message.origin,
            "placement": message.placement,
            "template": message.template,
            "offer": message.offer,
            "treatment": message.treatment,
        }
        if row.kind == CLICK:
            properties["link"] = target_of(row.link)
        yield Event(
            message_id=f"engagement-{row.number}-{row.at_ms}",
            kind="track",
            name=EVENTS[row.kind],
            at_ms=row.at_ms,
            received_ms=self._clock(),
            identifiers=(Identifier(ADDRESS_KINDS[message.channel], message.source_id, True),),
            properties=properties,
            node=self._node,
        )


_Judged = tuple[Seen, Message | None, bool]


def link_text(place: int, target: str) -> str:
    """How a click's link is kept: its place in the message, for two links may lead to one address."""
    return f"{place} {target}"


def target_of(link: str) -> str:
    """The address of a link as it is kept."""
    place, _, target = link.partition(" ")
    return target if place.isdigit() else link


def by_machine(row: Seen, message: Message | None, clicks: Iterable[Seen], rules: Rules) -> bool:
    """Whether an engagement was a machine's: of a message that is not known, too soon, or one of a burst."""
    if message is None or row.at_ms - message.handed_over_at_ms < rules.delivery_ms:
        return True
    if row.kind != CLICK:
        return False
    near = {one.link for one in clicks if abs(one.at_ms - row.at_ms) <= rules.burst_ms}
    return len(near) > LINKS_A_PERSON_OPENS


def _write(connection: Connection, rows: Sequence[Engagement], dropped: int) -> None:
    engagements.add(connection, rows)
    known = [row for row in rows if row.machine]
    counts = {MACHINE_COUNTS[kind]: sum(row.kind == kind for row in known) for kind in MACHINE_COUNTS}
    _count(connection, {**counts, DROPPED: dropped})


def _settle(connection: Connection, judged: Iterable[_Judged]) -> None:
    verdicts = {row.number: machine for row, _, machine in judged}
    engagements.judge(connection, verdicts)
    machines = [row for row, _, machine in judged if machine]
    _count(
        connection,
        {MACHINE_COUNTS[kind]: sum(row.kind == kind for row in machines) for kind in MACHINE_COUNTS},
    )


def _count(connection: Connection, more: Mapping[str, int]) -> None:
    counters.add(connection, {name: value for name, value in more.items() if value})
