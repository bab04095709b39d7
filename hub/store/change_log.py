"""The change log: one number for each change that the edges, and whoever else subscribes, must hear of.

A row says *what* changed, not how: a reader takes the newest state of the thing, and its absence is a
deletion. So any range can be compacted, and reading it twice does no harm.
"""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Column, SmallInteger, Table, bindparam, delete, func, insert, select
from sqlalchemy.engine import Connection

from hub.store import log_state
from hub.store.metadata import Key, Number, metadata

RECORD: Final = 1  # key: profile id
IDENTIFIER: Final = 2  # key: identifier hash

change_log: Final = Table(
    "change_log",
    metadata,
    Column("sequence", Number, primary_key=True, autoincrement=False),
    Column("kind", SmallInteger, nullable=False),
    Column("key", Key, nullable=False),
)

_RANGE: Final = (
    select(func.max(change_log.c.sequence), change_log.c.kind, change_log.c.key)
    .where(change_log.c.sequence > bindparam("after"), change_log.c.sequence <= bindparam("up_to"))
    .group_by(change_log.c.kind, change_log.c.key)
    .order_by(func.max(change_log.c.sequence))
)


def append(connection: Connection, rows: Sequence[tuple[int, int, bytes]]) -> None:
    """Add (sequence, kind, key). Only who holds the writer's lock numbers changes."""
    if rows:
        names = ("sequence", "kind", "key")
        connection.execute(insert(change_log), [dict(zip(names, row, strict=True)) for row in rows])


def newest_in(connection: Connection, after: int, up_to: int, limit: int) -> list[tuple[int, int, bytes]]:
    """(newest number, kind, key) of what changed in (after, up_to], each thing once, by number."""
    rows = connection.execute(_RANGE.limit(limit), {"after": after, "up_to": up_to})
    return [(row[0], row[1], row[2]) for row in rows]


def prune(connection: Connection, up_to: int) -> None:
    """Forget numbers up to and with `up_to`; an edge that is behind them takes a snapshot."""
    connection.execute(delete(change_log).where(change_log.c.sequence <= up_to))
    log_state.write(connection, log_floor=up_to)
