"""The outbox at work: claims what is due, checks it, hands it over, writes what became of it.

Several messages share each commit. A lane has one batch in hand; two lanes overlap, so that one waits for its
provider while the other decides.
"""

import asyncio
import contextlib
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Final, Protocol

import structlog

from core.events import Event
from hub.data.tasks import SteadyTask, pause, told
from hub.delivery.handoff import Looked, confirm
from hub.delivery.impressions import folded, impression_of
from hub.delivery.options import DeliveryOptions
from hub.delivery.outcomes import release, take_over, write_outcomes
from hub.delivery.ports import Outcome, Sender
from hub.store import outbox
from hub.store.engine import Connection, Store, StoreError
from hub.store.outbox import LOGGED, TO_LOG, Message

BATCH: Final = 100
LANES: Final = 2
LEASE_MS: Final = 60_000
EXTEND_SECONDS: Final = 15.0
IDLE_SECONDS: Final = 0.25
#: When a whole batch was deferred: the server is away, and the rest can wait too.
CALM_SECONDS: Final = 1.0
IMPRESSIONS_AT_ONCE: Final = 500
IMPRESSIONS_IDLE_SECONDS: Final = 0.5
#: An impression that ingestion keeps aside for so long is not waited for any more.
DAY_MS: Final = 86_400_000

#: Puts events onto the event log; returns when they are safe there.
Accept = Callable[[Sequence[Event]], Awaitable[object]]
log = structlog.get_logger(__name__)


class Checks(Protocol):
    """The checks at hand-off (`hub.delivery.handoff.HandOff`)."""

    async def look(self, messages: Sequence[Message], *, compose: bool) -> list[Looked]:
        """Decide on messages that are claimed."""

    def log(self, looked: Iterable[Looked]) -> None:
        """Put the decisions into the decision log."""


class Rate:
    """At most so many messages a second, in bursts of at most one second's worth. Waits; drops nothing."""

    def __init__(self, per_second: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._monotonic = monotonic
        self._free = max(1.0, per_second)
        self._seen = monotonic()

    async def take(self, wanted: int) -> int:
        """Wait until one may go, and take up to `wanted`; returns how many."""
        while (granted := self.grant(wanted)) == 0:
            await asyncio.sleep(max(0.001, (1 - self._free) / self._per_second))
        return granted

    def grant(self, wanted: int) -> int:
        """How many may go at once."""
        now = self._monotonic()
        self._free = min(max(1.0, self._per_second), self._free + (now - self._seen) * self._per_second)
        self._seen = now
        granted = min(wanted, int(self._free))
        self._free -= granted
        return granted

    def give_back(self, count: int) -> None:
        """Some of what was taken was not needed."""
        self._free += count


class Outbox:
    """Hands over the messages of every channel that has a sender."""

    def __init__(
        self,
        store: Store,
        handoff: Checks,
        senders: Mapping[str, Sender],
        accept: Accept,
        options: DeliveryOptions,
        owner: str,
        owner_prefix: str,
        clock: Callable[[], int],
        node: str,
        ready: Callable[[], bool],
    ) -> None:
        """`owner` names this run of this hub, `owner_prefix` every run of it; `ready`: whether there is a
        catalogue to decide with.
        """
        self._store = store
        self.handoff = handoff
        self.senders = senders
        self.accept = accept
        self._options = options
        self._owner = owner
        self._owner_prefix = owner_prefix
        self._clock = clock
        self._node = node
        self._ready = ready
        self._rates = {channel: Rate(rate) for channel, rate in options.rates.items() if rate > 0}
        self._window = max(1, options.in_flight // LANES)
        self._in_hand: set[str] = set()
        self._queued = asyncio.Event()
        self._sent = asyncio.Event()
        self._stopping = False
        self._tasks: list[SteadyTask] = []
        self._lanes: list[SteadyTask] = []

    async def start(self) -> None:
        """Decide on what earlier runs left, then begin."""
        doubtful = await self._store.write(self._take_over)
        if doubtful:
            log.warning("messages in doubt after a stop without warning", messages=doubtful)
        self._tasks = [SteadyTask("outbox-leases", self._keep_leases)]
        self._tasks.append(SteadyTask("outbox-impressions", self._log_impressions))
        self._lanes = [
            SteadyTask(f"outbox-{channel}-{lane}", partial(self._lane, channel, sender))
            for channel, sender in self.senders.items()
            for lane in range(LANES)
        ]
        for task in (*self._tasks, *self._lanes):
            task.start()

    async def stop(self, seconds: float) -> None:
        """Finish the batches in hand, for so long; what is still being handed over then is in doubt."""
        self._stopping = True
        self._queued.set()
        for lane in self._lanes:
            await lane.finish(seconds)
        for task in self._tasks:
            await task.stop()
        for sender in self.senders.values():
            await sender.close()

    def wake(self) -> None:
        """Messages were queued."""
        self._queued.set()

    async def _lane(self, channel: str, sender: Sender) -> None:
        rate = self._rates.get(channel)
        while not self._stopping:
            allowed = await rate.take(BATCH) if rate is not None else BATCH
            self._queued.clear()
            kinds = await self.batch(channel, sender, allowed) if self._ready() else None
            if rate is not None:
                rate.give_back(allowed - sum((kinds or Counter()).values()))
            if kinds is None:
                await _until(self._queued, IDLE_SECONDS)
            elif kinds and set(kinds) == {"deferred"}:
                await asyncio.sleep(CALM_SECONDS)

    async def batch(self, channel: str, sender: Sender, count: int) -> Counter[str] | None:
        """Hand over up to `count` messages that are due; how many ended how, None if none were due."""
        claimed = await self._store.write(partial(self._claim, channel, count))
        return await self._hand_over(sender, claimed) if claimed else None

    async def _hand_over(self, sender: Sender, claimed: Sequence[Message]) -> Counter[str]:
        """One batch, from the claim to the outcomes; how many ended how."""
        ids = {message.message_id for message in claimed}
        self._in_hand |= ids
        try:
            looked = await self.handoff.look(claimed, compose=True)
            return await self._send_all(sender, deque(looked))
        except Exception:
            await self._let_go(ids)
            raise
        finally:
            self._in_hand -= ids

    async def _let_go(self, ids: Iterable[str]) -> None:
        """What was claimed and not looked at may go at once, not only when the lease has run out."""
        with contextlib.suppress(StoreError):
            await self._store.write(lambda connection: release(connection, ids, self._owner, self._clock()))

    async def _send_all(self, sender: Sender, waiting: deque[Looked]) -> Counter[str]:
        """Send with a few in flight at once, so that a kill leaves no more than those in doubt.

        Each commit has the outcomes that came while the last one ran, and sets `handing_over` for as many
        as there is room for again.
        """
        in_flight: dict[asyncio.Task[Outcome], str] = {}
        outcomes: dict[str, Outcome] = {}
        kinds: Counter[str] = Counter()
        while waiting or in_flight or outcomes:
            room = self._window - len(in_flight)
            group = [waiting.popleft() for _ in range(min(room, len(waiting)))]
            going = await self._commit(outcomes, group)
            in_flight |= {asyncio.create_task(_sent(sender, one)): one.message.message_id for one in going}
            outcomes = {}
            if not in_flight:
                continue
            done, _ = await asyncio.wait(in_flight, return_when=asyncio.FIRST_COMPLETED)
            outcomes = {in_flight.pop(task): task.result() for task in done}
            kinds.update(outcome.kind for outcome in outcomes.values())
        return kinds

    async def _commit(self, outcomes: Mapping[str, Outcome], group: Sequence[Looked]) -> list[Looked]:
        """Write outcomes, however long the store is away, as they are known nowhere else; what goes next."""
        attempt = 0
        while True:
            try:
                going = await self._store.write(partial(self._write, outcomes, group))
                break
            except StoreError as error:
                attempt += 1
                log.error("outcomes not written", messages=len(outcomes), **told(error))
                await pause(attempt)
        sent = {one.message.message_id for one in going}
        self.handoff.log(one for one in group if one.message.message_id in sent or not one.ok)
        if outcomes:
            self._sent.set()
        return going

    def _write(
        self, outcomes: Mapping[str, Outcome], group: Sequence[Looked], connection: Connection
    ) -> list[Looked]:
        now_ms = self._clock()
        write_outcomes(connection, outcomes, self._owner, self._options, now_ms)
        return confirm(connection, group, self._owner, now_ms + LEASE_MS, now_ms)

    def _claim(self, channel: str, count: int, connection: Connection) -> list[Message]:
        now_ms = self._clock()
        return outbox.claim(
            connection,
            channel=channel,
            provider="",
            now_ms=now_ms,
            until_ms=now_ms + LEASE_MS,
            owner=self._owner,
            count=count,
        )

    def _take_over(self, connection: Connection) -> int:
        return take_over(connection, self._owner_prefix, self._owner, self._clock())

    # ---- Beside the lanes

    async def _keep_leases(self) -> None:
        """Renew the leases of what is in hand; look for what others left."""
        while True:
            await asyncio.sleep(EXTEND_SECONDS)
            ids, until_ms = list(self._in_hand), self._clock() + LEASE_MS
            await self._store.write(
                lambda connection, ids=ids, until_ms=until_ms: outbox.extend(  # type: ignore[misc]
                    connection, ids, self._owner, until_ms
                )
            )
            await self._store.write(self._take_over)

    async def _log_impressions(self) -> None:
        """Tell the event log of everything that was sent, for as long as it takes."""
        while True:
            self._sent.clear()
            await self.log_impressions()
            await _until(self._sent, IMPRESSIONS_IDLE_SECONDS)

    async def log_impressions(self) -> None:
        """Put impressions into the log that are not there, then see which of those there are applied.

        A kill between log and mark sends an event again, which ingestion knows by its id.
        """
        while rows := await self._page(TO_LOG, ""):
            events = [event for row in rows if (event := impression_of(row, self._node)) is not None]
            if events:
                await self.accept(events)
            await self._mark((row.message_id for row in rows), LOGGED)
        last = ""
        while rows := await self._page(LOGGED, last):
            last = rows[-1].message_id
            done = await self._store.read(lambda connection, rows=rows: folded(connection, rows))  # type: ignore[misc]
            late_ms = self._clock() - DAY_MS
            done |= {row.message_id for row in rows if row.changed_at_ms < late_ms}
            await self._mark(done, None)

    async def _page(self, stage: int, after: str) -> list[Message]:
        return await self._store.read(
            lambda connection: outbox.impressions(connection, stage, after, IMPRESSIONS_AT_ONCE)
        )

    async def _mark(self, message_ids: Iterable[str], stage: int | None) -> None:
        ids = list(message_ids)
        if ids:
            await self._store.write(lambda connection: outbox.set_impression(connection, ids, stage))


async def _sent(sender: Sender, one: Looked) -> Outcome:
    assert one.composed is not None
    try:
        return await sender.send(one.composed)
    except Exception as error:
        # A sender raises nothing; one that does leaves us not knowing how far it came.
        log.error("sender failed", **told(error))
        return Outcome("in_doubt", detail=type(error).__name__)


async def _until(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
