"""Engines and threads: one writer, a pool of readers; nothing of it runs on the event loop.

SQLite (WAL) by default, PostgreSQL by URL. Writing is serial on both: SQLite by `BEGIN IMMEDIATE`, PostgreSQL
by an advisory lock that the transaction holds. So change-log numbers are given in commit order, whichever
replica of the hub writes.
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError

from hub.errors import SettingsError, UnavailableError

__all__ = ["Connection", "Store", "StoreError"]

T = TypeVar("T")

READERS: Final = 4
OWNER_ONLY: Final = 0o600
BUSY_TIMEOUT_MS: Final = 10_000
CACHE_KIB: Final = 64 * 1024
#: Pages in the write-ahead log before a commit also moves them into the file.
CHECKPOINT_PAGES: Final = 4_000
#: "onevoice" in ASCII: the advisory lock of everyone who writes.
WRITER_LOCK: Final = 0x6F6E65766F696365


class StoreError(UnavailableError):
    """The database cannot be used at the moment."""


class Store:
    """The hub's database: `await store.write(work)` and `await store.read(work)`, work takes a `Connection`.

    Each call is one transaction; an exception rolls it back.
    """

    def __init__(self, url: str, *, readers: int = READERS) -> None:
        parsed = make_url(url)
        self.dialect = parsed.get_backend_name()
        self._writer_engine = _open(parsed, writer=True, connections=1)
        self._reader_engine = _open(parsed, writer=False, connections=readers)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="store-writer")
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix="store-reader")

    def submit_write(self, work: Callable[[Connection], T]) -> "Future[T]":
        """Run `work` in the writer's thread, in one transaction."""
        return self._writer.submit(self._in_transaction, self._writer_engine, work)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in the writer's thread, in one transaction, and wait for the commit."""
        return await asyncio.wrap_future(self.submit_write(work))

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a reader's thread; everything it reads is of one moment."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, self._in_transaction, self._reader_engine, work)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A read transaction held by the caller's thread; for long runs such as snapshots."""
        with self._reader_engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A write transaction in the caller's thread: for the start of a process and for tests."""
        with self._writer_engine.begin() as connection:
            yield connection

    def close(self) -> None:
        """Finish what is queued, then close every connection."""
        self._writer.shutdown()
        self._readers.shutdown()
        self._reader_engine.dispose()
        self._writer_engine.dispose()

    @staticmethod
    def _in_transaction(engine: Engine, work: Callable[[Connection], T]) -> T:
        try:
            with engine.begin() as connection:
                return work(connection)
        except (OperationalError, InterfaceError, InternalError) as error:
            # Locked, full, gone, restarting. What is wrong with a statement or its data stays what it is.
            raise StoreError(expected="a database that answers", got=type(error.orig).__name__) from error


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file."""
    return URL.create("sqlite", database=str(path)).render_as_string()


def _open(url: URL, *, writer: bool, connections: int) -> Engine:
    match url.get_backend_name():
        case "sqlite":
            return _open_sqlite(url, writer=writer, connections=connections)
        case "postgresql":
            return _open_postgresql(url, writer=writer, connections=connections)
        case other:
            raise SettingsError(expected="a database URL of sqlite or postgresql", got=other)


def _open_sqlite(url: URL, *, writer: bool, connections: int) -> Engine:
    if url.database in (None, "", ":memory:"):
        raise SettingsError(expected="a SQLite file", got="a database in memory", path="database_url")
    if writer:
        _make_private(Path(url.database))
    engine = sa.create_engine(
        url,
        poolclass=sa.QueuePool,
        pool_size=connections,
        # Snapshots hold a read transaction of their own for as long as an edge takes it in.
        max_overflow=0 if writer else 64,
        # A connection wanders between threads of one pool, never used by two at once.
        connect_args={"check_same_thread": False, "timeout": BUSY_TIMEOUT_MS / 1000},
    )

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _: object) -> None:
        # The driver's own idea of when a transaction begins is switched off: see `begin`.
        connection.isolation_level = None
        for pragma in _sqlite_pragmas(writer):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writer else "BEGIN")

    return engine


def _make_private(path: Path) -> None:
    """Make the file before SQLite would, readable by its owner only; what lies beside it follows suit."""
    if path.parent.is_dir() and not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, OWNER_ONLY))


def _sqlite_pragmas(writer: bool) -> tuple[str, ...]:
    common = ("journal_mode=WAL", f"busy_timeout={BUSY_TIMEOUT_MS}", "foreign_keys=ON", "temp_store=MEMORY")
    if writer:
        # FULL: an event is confirmed to the log after its commit, so the commit must be on disk.
        return (
            *common,
            "synchronous=FULL",
            # What is erased is overwritten where that costs no extra page.
            "secure_delete=FAST",
            f"cache_size=-{CACHE_KIB}",
            f"wal_autocheckpoint={CHECKPOINT_PAGES}",
        )
    return (*common, "query_only=ON", f"cache_size=-{CACHE_KIB // 8}")


def _open_postgresql(url: URL, *, writer: bool, connections: int) -> Engine:
    options: dict[str, Any] = {"isolation_level": "READ COMMITTED" if writer else "REPEATABLE READ"}
    engine = sa.create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_size=connections,
        max_overflow=0 if writer else 64,
        pool_pre_ping=True,
        **options,
    )
    if writer:

        @event.listens_for(engine, "begin")
        def lock(connection: Connection) -> None:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITER_LOCK})")

    return engine
