"""Named counts that must agree with the state: moved in the same transaction as what they count."""

from collections.abc import Mapping
from typing import Final

from sqlalchemy import BigInteger, Column, String, Table, bindparam, select, update
from sqlalchemy.engine import Connection

from hub.store.metadata import metadata
from hub.store.statements import insert_new

counters: Final = Table(
    "counters",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", BigInteger, nullable=False),
)

_ADD: Final = (
    update(counters)
    .where(counters.c.name == bindparam("counter"))
    .values(value=counters.c.value + bindparam("more"))
)


def add(connection: Connection, more: Mapping[str, int]) -> None:
    """Raise counts, making those that are new."""
    if more:
        insert_new(connection, counters, [{"name": name, "value": 0} for name in more])
        connection.execute(_ADD, [{"counter": name, "more": value} for name, value in more.items()])


def read(connection: Connection) -> dict[str, int]:
    """Every count by name."""
    return {row[0]: row[1] for row in connection.execute(select(counters.c.name, counters.c.value))}
