"""Statements that both engines know but spell through their own dialect."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import islice
from typing import Any, Final, TypeVar

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

T = TypeVar("T")
Row = dict[str, Any]

#: Keys in one `IN (...)`: engines limit the parameters of a statement.
KEYS_MAX: Final = 500


def insert_new(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows; those whose key is there already are left as they are."""
    if rows:
        connection.execute(_insert(connection, table).on_conflict_do_nothing(), rows)


def insert_tuples(connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert whole rows, values in the order of the columns; those whose key is there already are left.

    For thousands at once: the driver takes them as they are, where `insert_new` looks at every value.
    """
    if rows:
        connection.exec_driver_sql(_insert_text(table, _mark(connection)), list(rows))


def update_tuples(
    connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]
) -> None:
    """Set columns of many rows: each tuple has their values, then that of the primary key."""
    if rows:
        connection.exec_driver_sql(_update_text(table, tuple(columns), _mark(connection)), list(rows))


def _mark(connection: Connection) -> str:
    return "?" if connection.dialect.name == "sqlite" else "%s"


@cache
def _insert_text(table: Table, mark: str) -> str:
    names = ", ".join(column.name for column in table.columns)
    marks = ", ".join(mark for _ in table.columns)
    # Names come from the declared tables only.
    return f"INSERT INTO {table.name} ({names}) VALUES ({marks}) ON CONFLICT DO NOTHING"  # noqa: S608


@cache
def _update_text(table: Table, columns: tuple[str, ...], mark: str) -> str:
    (key,) = table.primary_key.columns
    settings = ", ".join(f"{name} = {mark}" for name in columns)
    return f"UPDATE {table.name} SET {settings} WHERE {key.name} = {mark}"  # noqa: S608


def upsert(connection: Connection, table: Table, rows: Sequence[Row], update: Sequence[str]) -> None:
    """Insert rows by primary key; of those that are there, set the columns named in `update`."""
    if not rows:
        return
    insert = _insert(connection, table)
    changed = {name: insert.excluded[name] for name in update}
    connection.execute(
        insert.on_conflict_do_update(index_elements=list(table.primary_key), set_=changed), rows
    )


def _insert(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


def chunks(items: Iterable[T], size: int = KEYS_MAX) -> Iterator[list[T]]:
    """Lists of at most `size` items, in order."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
