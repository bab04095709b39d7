"""What runs beside ingestion: projecting anew, forgetting in time, releasing what was kept aside."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import msgspec
import pytest

from core.record import project
from hub.data.event_log import Batch, EventLog
from hub.data.maintenance import DAY_MS, Maintenance, Retention
from hub.data.release import release
from hub.data.reprojection import Reprojection
from hub.data.view import view_of
from hub.errors import InvalidError
from hub.store import change_log, decisions, event_ids, journal_positions, log_state, profiles
from hub.store.engine import Store
from tests.hub.asyncs import run_async, until
from tests.hub.bundles import CITY, SPENT, TAXONOMY, small_document
from tests.hub.data.harness import ground
from tests.hub.events import NOW_MS, consent, event, person


@run_async
async def test_other_edge_slots_bring_every_record_to_the_new_projection(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.data.reprojection.STEP", 3)
    async with ground(store) as g:
        await g.apply(*(event("Order Completed", f"anon:{n}", revenue=n) for n in range(10)))
        before = g.changes.latest
        view = view_of(small_document(edge_slots=(SPENT, CITY)))
        reprojection = Reprojection(g.changes)
        reprojection.start()
        reprojection.use(view)
        await until(lambda: reprojection.done == view.projection, "the new projection")
        await reprojection.stop()
        rows = await store.read(lambda c: profiles.page(c, b"", 99))
        assert [row.edge_record for row in rows] == [project(row.record, view.edge_slots) for row in rows]
        assert {row.sequence for row in rows} == set(range(before + 1, before + 11))
        g.view = view
        await g.apply(event("Order Completed", "anon:3", revenue=1))
        assert (await g.attributes("anon:3"))["spent"] == 4.0


@run_async
async def test_a_projection_goes_on_where_it_was_stopped(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hub.data.reprojection import _step

    monkeypatch.setattr("hub.data.reprojection.STEP", 4)
    async with ground(store) as g:
        await g.apply(*(event("Order Completed", f"anon:{n}", revenue=n) for n in range(10)))
        view = view_of(small_document(edge_slots=(SPENT,)))
        steps = 1
        while not await g.changes.write(_step, view):
            steps += 1
        assert steps == 3
        before = g.changes.latest
        assert await g.changes.write(_step, view)
        assert g.changes.latest == before


@run_async
async def test_a_name_that_a_later_bundle_knows_is_released(store: Store) -> None:
    async with ground(store) as g:
        await g.apply(consent("anon:a"), event("Brochure Read", "anon:a"), event("Never Known", "anon:a"))
        document = small_document()
        folds = [
            msgspec.structs.replace(rule, events=[*rule.events, "Brochure Read"]) for rule in document.folds
        ]
        wider = msgspec.structs.replace(document, taxonomy=[*TAXONOMY, "Brochure Read"], folds=folds[:1])
        g.view = view_of(wider)
        assert await release(g.changes, g.ingestor, g.view, "unknown_name") == 1
        assert (await g.attributes("anon:a"))["views_30d"] == 1
        assert [row.name for row in await g.kept_aside()] == ["Never Known"]


@run_async
async def test_what_is_no_event_is_not_released(store: Store) -> None:
    async with ground(store) as g:
        with pytest.raises(InvalidError, match="expected one of unknown_name"):
            await release(g.changes, g.ingestor, g.view, "undecodable")


@asynccontextmanager
async def event_log(folder: Path) -> AsyncIterator[EventLog]:
    log = EventLog(folder)
    await log.start()
    try:
        yield log
    finally:
        await log.stop()


@run_async
async def test_history_is_brought_under_its_limits(store: Store, tmp_path: Path) -> None:
    async with ground(store) as g, event_log(tmp_path) as log:
        await g.apply(*(consent(f"anon:{n}") for n in range(10)))
        rows = [
            {"person_key": bytes(16), "at_ms": at_ms, "decision_id": str(n), "node": "eu", "row": b"\x90"}
            for n, at_ms in enumerate([NOW_MS - 3 * DAY_MS] * 5 + [NOW_MS] * 5)
        ]
        await store.write(lambda c: decisions.add(c, rows))
        retention = Retention(decision_days=1, decision_rows=3, changes=6, event_id_days=1, position_days=1)
        maintenance = Maintenance(store, log, lambda: g.now_ms, retention)
        await maintenance.tidy()
        left = await store.read(lambda c: decisions.of_person(c, [bytes(16)], 99))
        assert sorted(row.decision_id for row in left) == ["7", "8", "9"]
        state = await store.read(log_state.read)
        assert state.log_floor == state.sequence - 6
        changed = await store.read(lambda c: change_log.newest_in(c, 0, state.sequence, 99))
        assert len(changed) == 6
        g.now_ms += 2 * DAY_MS
        await maintenance.tidy()
        assert await store.read(journal_positions.read) == {}


@run_async
async def test_each_slice_of_event_ids_is_forgotten_in_its_turn(store: Store) -> None:
    keys = [bytes([first]) + bytes(15) for first in range(256)]
    await store.write(lambda c: event_ids.add(c, [(key, first) for first, key in enumerate(keys)]))
    for first in (0, 7, 255):
        await store.write(partial(event_ids.prune, first_byte=first, before_ms=200))
    assert set(keys) - await store.read(lambda c: event_ids.known(c, keys)) == {keys[0], keys[7]}


@run_async
async def test_the_log_forgets_only_what_is_contained_and_old(store: Store, tmp_path: Path) -> None:
    async with ground(store) as g, event_log(tmp_path) as log:
        for n in range(4):
            await log.publish(Batch("eu", "ab" * 16, n, n + 1, b"x"))
        contained = 3
        await store.write(lambda c: log_state.write(c, stream=log.stream_id, stream_sequence=contained))
        young = Maintenance(store, log, lambda: 0, Retention())
        await young.tidy()
        assert await first_kept(log) == 1, "nothing is old yet"
        old = Maintenance(store, log, lambda: 1 << 42, Retention())
        await old.tidy()
        assert await first_kept(log) == 4
        assert person("anon:a").hash
        assert g.changes.latest == 0


async def first_kept(log: EventLog) -> int:
    async for messages in log.read(log.stream_id, 0):
        return messages[0].sequence
    raise AssertionError
