"""Two hubs on one database and one log: any of them serves any edge."""

from pathlib import Path

from hub.data.log_server import LogServer
from hub.store.engine import Store
from tests.hub.asyncs import run_async, until
from tests.hub.conftest import opened, url_of
from tests.hub.events import consent, event
from tests.hub.sync.harness import Edge, hub


@run_async
async def test_what_one_replica_takes_in_reaches_the_edges_of_the_other(tmp_path: Path) -> None:
    url = url_of("postgresql", tmp_path)
    server = LogServer(tmp_path / "log")
    address, token = await server.start()
    nats_url = address.replace("nats://", f"nats://{token}@")
    eu, us = Edge("eu"), Edge("us", "cd" * 16)
    try:
        with opened(url) as first, opened(url) as second:
            await story(first, second, tmp_path, nats_url, eu, us)
    finally:
        await server.stop()


async def story(first: Store, second: Store, folder: Path, nats_url: str, eu: Edge, us: Edge) -> None:
    async with (
        hub(first, folder / "one", nats_url=nats_url) as one,
        hub(second, folder / "two", nats_url=nats_url) as two,
        eu.connected(one.address),
        us.connected(two.address),
    ):
        for n in range(10):
            await eu.append(consent(f"anon:{n}"), event("Product Viewed", f"anon:{n}"))
            await us.append(event("Product Viewed", f"anon:{n}"), consent(f"anon:us{n}"))
        await eu.contained(len(eu.journal))
        await us.contained(len(us.journal))
        await until(lambda: eu.sequence == us.sequence, "one sequence")
        assert eu.digest() == us.digest()
        assert len(eu.records) == 20
        assert one.plane.changes.epoch == two.plane.changes.epoch
        assert eu.watermark == {eu.journal_id: len(eu.journal)}
