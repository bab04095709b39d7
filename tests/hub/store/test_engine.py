"""The store's own promises on both engines: one writer, readers of one moment, errors by type."""

import asyncio
from pathlib import Path

import pytest
import sqlalchemy as sa

from hub.errors import SettingsError
from hub.store import counters, log_state
from hub.store.engine import Connection, Store, StoreError, sqlite_url
from tests.hub.asyncs import run_async


@run_async
async def test_a_failed_work_changes_nothing(store: Store) -> None:
    def fail(connection: Connection) -> None:
        counters.add(connection, {"x": 1})
        raise KeyError("no")

    with pytest.raises(KeyError):
        await store.write(fail)
    assert await store.read(counters.read) == {}


@run_async
async def test_writers_follow_each_other(store: Store) -> None:
    await asyncio.gather(*(store.write(lambda c: counters.add(c, {"x": 1})) for _ in range(20)))
    assert await store.read(counters.read) == {"x": 20}


def test_two_processes_that_write_wait_for_each_other(store: Store, tmp_path: Path) -> None:
    with store.writing() as connection:
        counters.add(connection, {"x": 1})
        pending = store.submit_write(counters.read)
        # The one connection of the writer is taken, and the lock of the database with it.
        assert not pending.done()
    assert pending.result(timeout=10) == {"x": 1}


def test_a_reader_sees_one_moment(store: Store) -> None:
    with store.writing() as connection:
        counters.add(connection, {"x": 1})
    with store.reading() as reader:
        assert counters.read(reader) == {"x": 1}
        with store.writing() as connection:
            counters.add(connection, {"x": 1})
        assert counters.read(reader) == {"x": 1}
    with store.reading() as reader:
        assert counters.read(reader) == {"x": 2}


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    store = Store(sqlite_url(tmp_path / "s.db"))
    with pytest.raises(sa.exc.OperationalError, match="readonly"), store.reading() as connection:
        connection.exec_driver_sql("CREATE TABLE t (x)")
    store.close()


def test_a_commit_on_sqlite_is_on_disk(tmp_path: Path) -> None:
    store = Store(sqlite_url(tmp_path / "s.db"))
    with store.writing() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    store.close()


def test_what_it_knows_of_people_is_its_owners_alone(tmp_path: Path) -> None:
    store = Store(sqlite_url(tmp_path / "s.db"))
    with store.writing() as connection:
        connection.exec_driver_sql("CREATE TABLE t (x)")
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"s.db": 0o600, "s.db-wal": 0o600, "s.db-shm": 0o600}
    store.close()


@run_async
async def test_a_store_that_cannot_answer_says_so_by_type(tmp_path: Path) -> None:
    store = Store(sqlite_url(tmp_path / "nowhere" / "s.db"))
    with pytest.raises(StoreError, match="expected a database that answers, got OperationalError"):
        await store.read(log_state.read)
    store.close()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://x/y"])
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(SettingsError):
        Store(url)
