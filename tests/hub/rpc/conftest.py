"""One hub for the tables of requests, with the small catalogue published."""

from collections.abc import Iterator

import pytest

from tests.hub.running import RunningHub


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """A hub that tests share: they may add people and events, and publish nothing."""
    with RunningHub(tmp_path_factory.mktemp("hub")) as hub:
        hub.publish()
        yield hub
