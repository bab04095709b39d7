"""Whatever dies in the middle, nothing is lost and nothing is applied twice."""

import asyncio
import contextlib
import os
import random
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
from structlog.testing import capture_logs

from core.events import Event
from core.fold import State
from core.record import project
from hub.data.view import view_of
from hub.store import counters
from hub.store.engine import Store
from tests.hub.asyncs import run_async, until
from tests.hub.bundles import small_document
from tests.hub.conftest import opened, url_of
from tests.hub.data.harness import normal
from tests.hub.events import consent, event, person
from tests.hub.sync.harness import Edge, hub

ROOT = Path(__file__).parents[3]
PEOPLE = 25
STEPS = 40
KILLS = (("after_publish", 5), ("before_commit", 4), ("after_commit", 3), ("never", 0))


def story(seed: int) -> list[list[Event]]:
    """Some events a step: consents, views, orders, log-ins, and now and then the same message again."""
    draw = random.Random(seed)
    steps: list[list[Event]] = [[consent(f"anon:{n}") for n in range(PEOPLE)]]
    for _ in range(STEPS):
        step = []
        for _ in range(draw.randrange(1, 12)):
            n = draw.randrange(PEOPLE)
            who = (f"id:{n}", f"anon:{n}") if n % 3 == 0 else (f"anon:{n}",)
            name = draw.choice(["Product Viewed", "Product Viewed", "Order Completed", "Unheard Of"])
            step.append(event(name, *who, brand=f"b{draw.randrange(5)}", revenue=draw.random()))
        if draw.random() < 0.4:
            step.append(draw.choice(draw.choice(steps)))
        steps.append(step)
    return steps


def straight(events: list[Event]) -> dict[str, bytes]:
    """What edges must hold of each person when every event is folded once, in order."""
    view = view_of(small_document())
    states = {f"anon:{n}": State() for n in range(PEOPLE)}
    owner = {person(f"{kind}:{n}").hash: f"anon:{n}" for n in range(PEOPLE) for kind in ("anon", "id")}
    seen = set()
    known = set()
    for one in events:
        who = owner[one.identifiers[0].hash]
        if one.name == "Unheard Of" or (who, one.message_id) in seen:
            continue
        seen.add((who, one.message_id))
        state = states[who]
        state.apply(view.plan, one, behaviour=state.allows_behaviour(view.plan, one.received_ms))
        if one.identifiers[0].kind == "id":
            known.add(who)
    return {
        who: project(
            state.pack(layout_id=0, sequence=0, packed_at_ms=0, unit_key=key(who), known=who in known),
            view.edge_slots,
        )
        for who, state in states.items()
    }


def key(who: str) -> bytes:
    return person(who).hash


def assert_equals_straight_fold(edge: Edge, events: list[Event]) -> None:
    expected = straight(events)
    for who, record in expected.items():
        held = edge.record(who)
        assert held is not None, who
        assert normal(held) == normal(record), who


@asynccontextmanager
async def process(
    folder: Path, url: str, point: str, count: int
) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """A hub process and its address."""
    command = [sys.executable, "-m", "tests.hub.sync.runner", str(folder), url, point, str(count)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(ROOT)])}
    with (folder / "runner.log").open("ab") as errors:
        running = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=errors, cwd=folder, env=environment
        )
    assert running.stdout is not None
    try:
        address = ""
        while not address.startswith("127."):
            line = await asyncio.wait_for(running.stdout.readline(), 30)
            assert line, (folder / "runner.log").read_text()
            address = line.decode().strip()
        yield address, running
    finally:
        with contextlib.suppress(ProcessLookupError):
            running.kill()
        await running.wait()


@pytest.mark.parametrize(("engine", "seed"), [("sqlite", 1), ("postgresql", 2)])
@run_async
async def test_a_hub_killed_at_every_point_loses_and_doubles_nothing(
    engine: str, seed: int, tmp_path: Path
) -> None:
    url = url_of(engine, tmp_path)
    edge, other = Edge(), Edge("us", "cd" * 16)
    steps = story(seed)
    share = len(steps) // len(KILLS) + 1
    for index, (point, count) in enumerate(KILLS):
        mine = steps[index * share : (index + 1) * share]
        async with (
            process(tmp_path, url, point, count) as (address, running),
            edge.connected(address),
        ):
            for step in mine:
                await edge.append(*step)
                await until(
                    lambda: edge.acknowledged == len(edge.journal) or running.returncode is not None,
                    "an acknowledgement or the end",
                )
            if point != "never":
                await asyncio.wait_for(running.wait(), 20)
                assert running.returncode == -signal.SIGKILL
                continue
            async with other.connected(address):
                await edge.contained(len(edge.journal), 30)
                await until(lambda: other.sequence >= edge.sequence, "the other edge")
    events = [one for step in steps for one in step]
    assert_equals_straight_fold(edge, events)
    assert_equals_straight_fold(other, events)
    assert edge.digest() == other.digest()


@run_async
async def test_the_log_server_killed_in_the_middle_loses_nothing(store: Store, tmp_path: Path) -> None:
    steps = story(3)
    async with hub(store, tmp_path) as served, Edge().connected(served.address) as edge:
        for index, step in enumerate(steps):
            await edge.append(*step)
            if index in (10, 25):
                os.kill(served.plane.event_log.server_pid, signal.SIGKILL)
                await until(lambda: edge.acknowledged == len(edge.journal), "the log's return", 30)
        await edge.contained(len(edge.journal), 30)
        assert served.plane.event_log.restarts == 2
        assert_equals_straight_fold(edge, [one for step in steps for one in step])


@run_async
async def test_the_log_server_dies_with_the_hub(tmp_path: Path) -> None:
    async with process(tmp_path, url_of("sqlite", tmp_path), "never", 0) as (_, running):
        (child,) = psutil.Process(running.pid).children()
        assert child.name() == "nats-server"
        running.kill()
        await running.wait()
        await until(lambda: not child.is_running(), "the server's end", 5)


@run_async
async def test_a_wiped_log_is_filled_again_from_the_journals(store: Store, tmp_path: Path) -> None:
    import shutil

    steps = story(4)
    edge = Edge()
    async with hub(store, tmp_path) as served, edge.connected(served.address):
        for step in steps[:20]:
            await edge.append(*step)
        await edge.contained(len(edge.journal))
        await edge.append(*steps[20])
    shutil.rmtree(tmp_path / "log")
    async with hub(store, tmp_path) as served, edge.connected(served.address):
        for step in steps[21:]:
            await edge.append(*step)
        await until(lambda: edge.acknowledged == len(edge.journal), "the log to be filled")
        await edge.contained(len(edge.journal))
        assert_equals_straight_fold(edge, [one for step in steps for one in step])


@run_async
async def test_a_poisonous_event_is_kept_aside_alone(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hub.data.ingestor import Ingestor

    fold = Ingestor._fold

    def failing(self: Ingestor, view: object, source: object, one: Event, behaviour: bool) -> bool:
        if one.message_id == "poison":
            raise ZeroDivisionError
        return fold(self, view, source, one, behaviour)  # type: ignore[arg-type]

    monkeypatch.setattr(Ingestor, "_fold", failing)
    async with hub(store, tmp_path) as served, Edge().connected(served.address) as edge:
        events = [consent(f"anon:{n}") for n in range(PEOPLE)]
        poison = event("Product Viewed", "anon:1", message_id="poison")
        await edge.contained(await edge.append(*events, poison, event("Product Viewed", "anon:1", brand="x")))
        from hub.store import quarantine

        (kept,) = await store.read(lambda c: quarantine.page(c, before=1 << 60, count=9))
        assert (kept.reason, kept.detail) == ("failed", "ZeroDivisionError when applied")
        assert_equals_straight_fold(edge, [*events, event("Product Viewed", "anon:1", brand="x")])


@run_async
async def test_a_store_that_is_locked_for_a_while_holds_events_up_and_loses_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.store.engine.BUSY_TIMEOUT_MS", 30)
    url = url_of("sqlite", tmp_path)
    with opened(url) as store:
        async with hub(store, tmp_path) as served, Edge().connected(served.address) as edge:
            await edge.contained(await edge.append(consent("anon:1")))
            other = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            with capture_logs() as logs:
                await edge.append(event("Product Viewed", "anon:1"))
                await until(lambda: len(logs) >= 3, "some failed attempts")
            other.execute("ROLLBACK")
            other.close()
            await edge.contained(len(edge.journal))
            assert {entry["event"] for entry in logs} == {"batch not applied"}
            counts = await store.read(counters.read)
            assert counts["events.ingested"] == 2
