"""Statements that both engines know but spell through their own dialect."""

from collections.abc import Iterable, Iterator, Sequence
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
