"""The story of a stream: journals up, acknowledged from the log; records down, signed, with the watermark."""

from pathlib import Path

import pytest

from core.record import read_header
from hub.store.engine import Store
from tests.hub.asyncs import run_async, until
from tests.hub.events import consent, event, person
from tests.hub.sync.harness import Edge, hub


@pytest.fixture(params=["sqlite"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@run_async
async def test_an_event_comes_back_as_a_record_with_its_position(any_store: Store, tmp_path: Path) -> None:
    async with hub(any_store, tmp_path) as served, Edge().connected(served.address) as edge:
        end = await edge.append(consent("anon:a"), event("Product Viewed", "anon:a", brand="x"))
        await edge.contained(end)
        record = edge.record("anon:a")
        assert record is not None
        header = read_header(record)
        assert header.unit_key == person("anon:a").hash
        assert header.sequence <= edge.sequence
        assert edge.journal_acks[-1].position == end
        assert edge.bundle is not None
        stages = [frame.stages_ms for frame in edge.frames if frame.stages_ms]
        assert len(stages[-1]) == 4
        assert list(stages[-1]) == sorted(stages[-1])


@run_async
async def test_a_second_edge_sees_what_the_first_one_saw(any_store: Store, tmp_path: Path) -> None:
    async with (
        hub(any_store, tmp_path) as served,
        Edge("eu").connected(served.address) as eu,
        Edge("us", "cd" * 16).connected(served.address) as us,
    ):
        await eu.contained(await eu.append(consent("anon:a"), event("Product Viewed", "anon:a")))
        await until(lambda: us.record("anon:a") is not None, "the record at the other edge")
        assert us.record("anon:a") == eu.record("anon:a")
        assert us.watermark == {}
