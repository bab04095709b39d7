"""A store on SQLite for what does not differ by engine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.store.engine import Store
from tests.hub.conftest import opened, url_of


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Store]:
    """A fresh, migrated store."""
    with opened(url_of("sqlite", tmp_path)) as made:
        yield made
