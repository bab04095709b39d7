"""Frames: in order, complete, of one moment, whatever the edge has missed or refuses."""

from pathlib import Path

import pytest

from core.frame import FLAG_MORE, FLAG_SNAPSHOT, FLAG_SNAPSHOT_END, iter_entries
from hub.store import change_log, log_state
from hub.store.engine import Store
from onevoice.v1 import sync_pb2
from tests.hub.asyncs import run_async, until
from tests.hub.events import consent, event, person
from tests.hub.sync.harness import Edge, Hub, hub


async def fill(edge: Edge, people: range) -> None:
    """Give each of some people a consent and a view."""
    for start in range(people.start, people.stop, 20):
        some = range(start, min(start + 20, people.stop))
        views = (event("Product Viewed", f"anon:{n}", brand="x") for n in some)
        await edge.append(*(consent(f"anon:{n}") for n in some), *views)
    await edge.contained(len(edge.journal))


def whole(edge: Edge, served: Hub) -> bool:
    """Whether an edge holds, at the hub's newest number, exactly what the hub says."""
    latest = served.plane.changes.latest
    return edge.sequence == latest and edge.digest() == served.plane.changes.digests[latest]


@run_async
async def test_a_new_edge_takes_a_snapshot_in_key_order(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.sync.frames.PAYLOAD_BYTES_TARGET", 2_000)
    async with hub(store, tmp_path) as served, Edge("eu").connected(served.address) as eu:
        await fill(eu, range(40))
        async with Edge("us", "cd" * 16).connected(served.address) as us:
            await until(lambda: whole(us, served), "the snapshot")
            parts = [frame for frame in us.frames if frame.flags & FLAG_SNAPSHOT]
            assert len(parts) > 3
            assert [bool(part.flags & FLAG_SNAPSHOT_END) for part in parts] == [False] * (len(parts) - 1) + [
                True
            ]
            assert {(part.first, part.last) for part in parts} == {(0, parts[0].last)}
            keys = [(op, key) for part in parts for op, key, _ in iter_entries(part.payload)]
            assert keys == sorted(keys)
            await fill(eu, range(40, 45))
            await until(lambda: whole(us, served), "the changes behind the snapshot")


@run_async
async def test_an_edge_that_was_away_gets_only_what_changed(store: Store, tmp_path: Path) -> None:
    edge, other = Edge(), Edge("us", "cd" * 16)
    async with hub(store, tmp_path) as served, other.connected(served.address):
        async with edge.connected(served.address):
            await fill(edge, range(5))
        await fill(other, range(5, 8))
        edge.frames.clear()
        async with edge.connected(served.address):
            await until(lambda: whole(edge, served), "the missed changes")
        assert not any(frame.flags & FLAG_SNAPSHOT for frame in edge.frames)


@run_async
async def test_what_memory_has_forgotten_comes_from_the_store(store: Store, tmp_path: Path) -> None:
    edge, other = Edge(), Edge("us", "cd" * 16)
    async with hub(store, tmp_path) as served, other.connected(served.address):
        async with edge.connected(served.address):
            await fill(edge, range(5))
        await fill(other, range(5, 8))
        await served.plane.profiles.erase(person("anon:1").hash)
    edge.frames.clear()
    async with hub(store, tmp_path) as served, edge.connected(served.address):
        await until(lambda: whole(edge, served), "the missed changes")
        assert not any(frame.flags & FLAG_SNAPSHOT for frame in edge.frames)
        assert person("anon:1").hash not in edge.identifiers


@run_async
async def test_a_large_change_is_a_group_with_one_watermark(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.sync.frames.PAYLOAD_BYTES_CUT", 1_500)
    async with hub(store, tmp_path, publish=False) as served, Edge().connected(served.address) as edge:
        await until(lambda: edge.epoch != "", "the empty snapshot")
        await edge.append(*(consent(f"anon:{n}") for n in range(40)))
        await until(lambda: len(edge.journal_acks) >= 1, "the log's acknowledgement")
        edge.frames.clear()
        served.publish()
        await edge.contained(len(edge.journal))
        await until(lambda: whole(edge, served), "the whole group")
        group = [frame for frame in edge.frames if frame.payload]
        assert len(group) > 3
        assert [bool(frame.flags & FLAG_MORE) for frame in group] == [True] * (len(group) - 1) + [False]
        assert {frame.watermark[edge.journal_id] for frame in group} == {len(edge.journal)}
        assert [frame.first for frame in group[1:]] == [frame.last + 1 for frame in group[:-1]]
        keys = [(op, key) for frame in group for op, key, _ in iter_entries(frame.payload)]
        assert keys == sorted(keys)


@run_async
async def test_an_edge_of_another_epoch_takes_a_snapshot(store: Store, tmp_path: Path) -> None:
    edge = Edge()
    async with hub(store, tmp_path) as served, edge.connected(served.address):
        await fill(edge, range(3))
    await store.write(log_state.renew_epoch)
    edge.frames.clear()
    async with hub(store, tmp_path) as served, edge.connected(served.address):
        await until(lambda: edge.epoch == served.plane.changes.epoch, "the new epoch")
        assert edge.frames[0].flags & FLAG_SNAPSHOT
        assert whole(edge, served)


@run_async
async def test_an_edge_behind_the_logs_floor_takes_a_snapshot(store: Store, tmp_path: Path) -> None:
    edge, other = Edge(), Edge("us", "cd" * 16)
    async with hub(store, tmp_path) as served, other.connected(served.address):
        async with edge.connected(served.address):
            await fill(edge, range(3))
        await fill(other, range(3, 6))
    state = await store.read(log_state.read)
    await store.write(lambda connection: change_log.prune(connection, state.sequence - 1))
    edge.frames.clear()
    async with hub(store, tmp_path) as served, edge.connected(served.address):
        await until(lambda: whole(edge, served), "the snapshot")
        assert edge.frames[0].flags & FLAG_SNAPSHOT


@run_async
async def test_far_too_many_changes_are_a_snapshot(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edge, other = Edge(), Edge("us", "cd" * 16)
    async with hub(store, tmp_path) as served, other.connected(served.address):
        async with edge.connected(served.address):
            await fill(edge, range(3))
        await fill(other, range(3, 20))
    monkeypatch.setattr("hub.sync.frames.DELTA_ROWS_MAX", 5)
    edge.frames.clear()
    async with hub(store, tmp_path) as served, edge.connected(served.address):
        await until(lambda: whole(edge, served), "the snapshot")
        assert edge.frames[0].flags & FLAG_SNAPSHOT


@run_async
async def test_a_position_that_moves_alone_is_a_frame_without_payload(store: Store, tmp_path: Path) -> None:
    async with hub(store, tmp_path) as served, Edge().connected(served.address) as edge:
        view = event("Product Viewed", "anon:a")
        await edge.contained(await edge.append(consent("anon:a"), view))
        edge.frames.clear()
        await edge.contained(await edge.append(view))
        (frame,) = [frame for frame in edge.frames if frame.watermark != {} and not frame.payload]
        assert frame.first == frame.last == edge.sequence


@run_async
async def test_an_edge_that_nothing_concerns_still_comes_to_the_newest_number(
    store: Store, tmp_path: Path
) -> None:
    async with (
        hub(store, tmp_path) as served,
        Edge("eu").connected(served.address) as eu,
        Edge("us", "cd" * 16).connected(served.address) as us,
    ):
        view = event("Product Viewed", "anon:a")
        for _ in range(3):
            await eu.contained(await eu.append(view))
        await until(lambda: us.sequence == served.plane.changes.latest, "the newest number")


@run_async
async def test_after_a_refusal_the_hub_goes_on_from_where_the_edge_is(store: Store, tmp_path: Path) -> None:
    async with hub(store, tmp_path) as served, Edge().connected(served.address) as edge:
        await fill(edge, range(2))
        refused: list[int] = []

        def refuse(frame: sync_pb2.Frame) -> str:
            if not refused:
                refused.append(frame.first)
                return "gap"
            return ""

        edge.answer = refuse
        for n in range(5):
            await edge.append(consent(f"anon:x{n}"))
        await edge.contained(len(edge.journal))
        await until(lambda: whole(edge, served), "what was refused")
        assert len(refused) == 1


@run_async
async def test_an_edge_that_lost_its_snapshot_says_epoch_and_gets_it_again(
    store: Store, tmp_path: Path
) -> None:
    async with hub(store, tmp_path) as served, Edge().connected(served.address) as edge:
        await fill(edge, range(4))
        edge.epoch, edge.sequence = "", 0
        edge.records.clear()
        edge.identifiers.clear()
        await edge.contained(await edge.append(consent("anon:new")))
        await until(lambda: whole(edge, served), "the snapshot")


@run_async
async def test_a_full_edge_is_left_alone_for_a_while(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.sync.window.HOLD_SECONDS", 0.3)
    async with hub(store, tmp_path) as served, Edge().connected(served.address) as edge:
        await fill(edge, range(2))
        edge.answer = lambda frame: "full"
        seen = len(edge.frames)
        await edge.append(consent("anon:x"))
        await until(lambda: len(edge.frames) > seen, "the first refusal")
        edge.answer = lambda frame: ""
        await edge.contained(len(edge.journal))
        await until(lambda: whole(edge, served), "the second attempt")


@run_async
async def test_frames_wait_for_an_edge_that_does_not_acknowledge(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.sync.window.FRAMES_IN_FLIGHT_MAX", 2)
    async with (
        hub(store, tmp_path) as served,
        Edge("eu").connected(served.address) as eu,
        Edge("us", "cd" * 16).connected(served.address) as us,
    ):
        await fill(eu, range(1))
        await until(lambda: whole(us, served), "a start")
        us.silent = True
        sent = len(us.frames)
        for n in range(8):
            await eu.contained(await eu.append(consent(f"anon:x{n}")))
        assert len(us.frames) <= sent + 3
        us.silent = False
        await us.acknowledge()
        await until(lambda: whole(us, served), "the rest, compacted")
        assert len(us.frames) < sent + 8


@run_async
async def test_a_scrubber_finds_a_snapshot_that_differs(store: Store, tmp_path: Path) -> None:
    async with (
        hub(store, tmp_path, scrub_seconds=0.2) as served,
        Edge().connected(served.address) as edge,
    ):
        await fill(edge, range(3))
        await until(lambda: len(edge.digests) >= 2, "two rounds")
        assert True not in edge.digests
        key = next(iter(edge.records))
        edge.records[key] = edge.records[key][:-1] + b"?"
        edge.frames.clear()
        await until(lambda: True in edge.digests, "the difference")
        await until(lambda: whole(edge, served), "a snapshot")
        assert served.fleet.edge("eu").counts == {"workers": 2}
