"""Figure of identity at the hub: two profiles become one and two again, on a store that keeps every step."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import hold
from benchmarks.results import Figure, Results, fdatasync_ms
from core.compiler import compile_catalogue
from core.events import Consent, Event, Identifier
from core.identifiers import hash_identifier
from hub.data.changes import Changes
from hub.data.ingestor import Incoming, Ingestor
from hub.data.merging import SplitOrder, merge_all, split_all
from hub.data.people import People
from hub.data.values import Values
from hub.data.view import BundleView, view_of_content
from hub.decisioning.authoring import read_catalogue
from hub.store import log_state, migrate
from hub.store.engine import Store, sqlite_url

PAIRS: Final = 1_000
AT_ONCE: Final = 100
ROUNDS: Final = 3
VIEWS: Final = 4
KEY: Final = b"k" * 32
GATE: Final = 0.01
NOW_MS: Final = 1_795_000_000_000
CATALOGUE: Final = """
governance: {approvals: 1, people: [{id: bench, name: Bench, roles: [owner, publisher, approver]}]}
attributes:
  - {id: views, owner: bench, type: int, edge: true,
     source: {events: [Product Viewed], function: count, window: 30d}}
  - {id: brands, owner: bench, type: strings, edge: true,
     source: {events: [Product Viewed], function: strings, property: brand}}
  - {id: spent, owner: bench, type: float, edge: true,
     source: {events: [Order Completed], function: sum, property: revenue}}
blocks: [{id: generic, owner: bench, type: text, value: Welcome}]
placements:
  - {id: home.banner, owner: bench, channel: web, purpose: personalization, slots: {text: text},
     fallback: {text: generic}}
"""


class Hub:
    """A store with pairs of a visitor and a customer, and the code that owns them."""

    def __init__(self, store: Store) -> None:
        content, _ = compile_catalogue(read_catalogue({"bench.yaml": CATALOGUE}), [])
        self.view: BundleView = view_of_content(content)
        self.people = People()
        self.changes = Changes(store, lambda: NOW_MS + 60_000)
        self.ingestor = Ingestor(self.people, Values(KEY, KEY))
        self.pairs = [(key("anon", number), key("id", number)) for number in range(PAIRS)]

    async def fill(self) -> None:
        for start in range(0, PAIRS, AT_ONCE):
            numbers = range(start, min(start + AT_ONCE, PAIRS))
            made = [Incoming(b"", event, "") for number in numbers for event in events(number)]
            await self.changes.write(self.ingestor.take, self.view, made)

    async def there_and_back(self) -> None:
        """Merge every pair, then undo every merge, a hundred a transaction."""
        for pairs in batches(self.pairs):
            await self.changes.write(merge_all, self.people, self.view, pairs, "bench")
        for pairs in batches(self.pairs):
            orders = [SplitOrder(customer) for _, customer in pairs]
            await self.changes.write(split_all, self.people, self.view, orders, "bench")


def key(kind: str, number: int) -> bytes:
    return hash_identifier(KEY, kind, str(number))


def events(number: int) -> Iterator[Event]:
    """A visitor who has looked around, and a customer who has bought."""
    for index, kind in enumerate(("anon", "id")):
        who = (Identifier(kind, key(kind, number), True),)
        at_ms = NOW_MS + index
        allowed = Consent("personalization", "granted", "v1", "bench")
        yield Event(f"c{number}", "consent", "Consent Changed", at_ms, at_ms, who, consent=allowed)
        for view in range(VIEWS):
            seen = {"brand": f"brand-{view}"}
            yield Event(f"v{number}-{view}", "track", "Product Viewed", at_ms, at_ms, who, seen)
        yield Event(f"o{number}", "track", "Order Completed", at_ms, at_ms, who, {"revenue": 5.0})


def batches(pairs: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (pairs[start : start + AT_ONCE] for start in range(0, len(pairs), AT_ONCE))


def bare_updates(store: Store, pairs: Sequence[tuple[bytes, bytes]]) -> None:
    """What a merge and its undo are at the least: one column there and back, as many in a transaction."""
    there = sa.text("UPDATE moved SET profile_id = :profile WHERE source_id = :source")
    for swapped in (False, True):
        for some in batches(pairs):
            rows = [{"source": one, "profile": one if swapped else other} for one, other in some]
            with store.writing() as connection:
                connection.execute(there, rows)


@contextmanager
def filled(folder: Path) -> Iterator[tuple[Store, Hub]]:
    store = Store(sqlite_url(folder / "state.db"))
    try:
        migrate.migrate(store)
        hub = Hub(store)
        with store.writing() as connection:
            log_state.prepare(connection, NOW_MS)
            connection.execute(
                sa.text("CREATE TABLE moved (source_id BLOB PRIMARY KEY, profile_id BLOB NOT NULL)")
            )
            rows = [{"source": one, "profile": one} for one, _ in hub.pairs]
            connection.execute(sa.text("INSERT INTO moved VALUES (:source, :profile)"), rows)
        yield store, hub
    finally:
        store.close()


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def test_profiles_are_merged_and_split(benchmark: BenchmarkFixture, results: Results, tmp_path: Path) -> None:
    values, baselines = [], []
    with filled(tmp_path) as (store, hub):

        async def start() -> None:
            await hub.changes.start()
            await hub.fill()

        asyncio.run(start())

        def paired() -> None:
            baselines.append(PAIRS / timed(lambda: bare_updates(store, hub.pairs)))
            values.append(PAIRS / timed(lambda: asyncio.run(hub.there_and_back())))

        benchmark.pedantic(paired, rounds=ROUNDS)
    benchmark.extra_info["pairs_per_second"] = values
    figure = Figure(
        "hub.merge_undo",
        "pairs/s",
        "higher",
        values,
        baselines,
        "bare updates of one membership column, there and back, as many in a transaction",
        gate=GATE,
        notes={"pairs": PAIRS, "at_once": AT_ONCE, "fdatasync_ms": round(fdatasync_ms(), 3)},
    )
    hold(results.add(figure))
