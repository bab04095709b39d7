"""Ingestion on a real store without the log: messages are handed over as the log would."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from core.events import Event, encode_event
from core.fold import State
from core.header import Header
from core.journal import pack_record
from core.record import describe, read_header
from hub.data.changes import Changes, entry_digest, unsigned
from hub.data.event_log import Batch, LogMessage
from hub.data.ingestor import Ingestor
from hub.data.merging import Merging, Outcome, SplitOrder
from hub.data.people import People
from hub.data.values import Values
from hub.data.view import BundleView, view_of
from hub.store import counters, log_state, profiles, quarantine, sources
from hub.store.engine import Store
from hub.store.quarantine import Quarantined
from tests.hub.bundles import small_document
from tests.hub.events import NOW_MS, person
from tests.hub.keys import IDENTIFIER_KEY, SEALING_KEY

EDGE, JOURNAL = "eu", "ab" * 16


class Ground:
    """A store, an ingestor, and one edge's journal that feeds it."""

    def __init__(self, store: Store, *, people: People | None = None) -> None:
        self.store = store
        self.now_ms = NOW_MS
        self.changes = Changes(store, lambda: self.now_ms)
        self.view: BundleView = view_of(small_document())
        self.people = people or People()
        self.ingestor = Ingestor(self.people, Values(SEALING_KEY.private_bytes_raw(), IDENTIFIER_KEY))
        self.merging = Merging(self.changes, self.people, lambda: self.view, _at_once)
        self.sequence = 0
        self.position = 0

    def message(self, records: bytes, *, first: int | None = None) -> LogMessage:
        """The next message of the log, with journal records from `first` on."""
        self.sequence += 1
        first = self.position if first is None else first
        self.position = max(self.position, first + len(records))
        return LogMessage(
            self.sequence, self.now_ms, Batch(EDGE, JOURNAL, first, first + len(records), records)
        )

    async def apply(self, *events: Event) -> None:
        """Journal the events and apply them as one micro-batch."""
        await self.apply_messages([self.message(records_of(events))])

    async def apply_messages(self, messages: Sequence[LogMessage]) -> None:
        await self.changes.write(self.ingestor.apply, self.view, messages)

    async def merge(self, one: str, other: str) -> Outcome:
        return await self.merging.merge(person(one).hash, person(other).hash, "key:operator")

    async def split(self, who: str, *, source: str | None = None, number: int = 0) -> Outcome:
        key = None if source is None else person(source).hash
        return await self.merging.split(SplitOrder(person(who).hash, key, number), "key:operator")

    async def check_digest(self) -> None:
        """The digest in the store is that of what edges hold."""
        rows = await self.store.read(
            lambda c: profiles.edge_page(c, b"", 9_999) + sources.page(c, b"", 9_999)
        )
        digest = 0
        for key, value in rows:
            digest ^= entry_digest(key, value)
        state = await self.store.read(log_state.read)
        assert (unsigned(state.digest), state.digest_entries) == (digest, len(rows))

    async def record(self, who: str) -> bytes | None:
        """The record of the profile that an identifier belongs to."""
        profile = await self.profile(who)
        return None if profile is None else profile.record

    async def profile(self, who: str) -> profiles.Profile | None:
        key = person(who).hash
        profile_id = (await self.store.read(lambda c: sources.profile_ids(c, [key]))).get(key)
        if profile_id is None:
            return None
        return next(await self.store.read(lambda c: iter(list(profiles.by_id(c, [profile_id])))))

    async def header(self, who: str) -> Header:
        record = await self.record(who)
        assert record is not None
        return read_header(record)

    async def attributes(self, who: str) -> dict[str, object]:
        """What the profile says of its attributes, without `profile.`; empty without a profile."""
        record = await self.record(who)
        return {} if record is None else described(record, self.view, self.now_ms)

    async def counts(self) -> dict[str, int]:
        return await self.store.read(counters.read)

    async def kept_aside(self) -> list[Quarantined]:
        return await self.store.read(lambda c: quarantine.page(c, before=1 << 62, count=100))


@asynccontextmanager
async def ground(store: Store, *, people: People | None = None) -> AsyncIterator[Ground]:
    """A ground on a store that is new or was used before."""
    made = Ground(store, people=people)
    await store.write(lambda connection: log_state.prepare(connection, NOW_MS))
    await made.changes.start()
    yield made


async def _at_once() -> None:
    """No log, nothing to wait for."""


def records_of(events: Sequence[Event]) -> bytes:
    return b"".join(pack_record(encode_event(event)) for event in events)


def described(record: bytes, view: BundleView, now_ms: int) -> dict[str, object]:
    found = describe(record, view.document, now_ms)
    return {name.removeprefix("profile."): value for name, value in found.items()}


def normal(record: bytes) -> bytes:
    """A record without what depends on when it was packed: equal events give equal bytes."""
    header = read_header(record)
    return State.unpack(record).pack(
        layout_id=0, sequence=0, packed_at_ms=0, unit_key=header.unit_key, known=header.known
    )
