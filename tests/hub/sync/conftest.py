"""Streams are tested on SQLite, their main story on both engines; what differs is the store's to test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.store.engine import Store
from tests.hub.conftest import opened, url_of


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A fresh store on SQLite."""
    with opened(url_of("sqlite", tmp_path)) as made:
        yield made


@pytest.fixture(params=["sqlite", "postgresql"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A fresh store on each engine."""
    with opened(url_of(request.param, tmp_path)) as made:
        yield made
