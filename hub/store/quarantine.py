"""Events kept aside: foreign bytes, unknown names, events of nobody. Never lost, never applied."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Column, LargeBinary, String, Table, delete, func, insert, select
from sqlalchemy.engine import Connection

from hub.store.metadata import Key, Millis, Number, metadata
from hub.store.statements import Row

quarantine: Final = Table(
    "quarantine",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("reason", String(32), nullable=False, index=True),
    # The event's name where it could be read, and whose event it is (for erasure).
    Column("name", String(128), nullable=False),
    Column("source_id", Key, index=True),
    Column("edge_id", String(64), nullable=False),
    Column("received_at_ms", Millis, nullable=False),
    Column("detail", String(200), nullable=False),
    Column("body", LargeBinary, nullable=False),
)


class Quarantined(NamedTuple):
    """A row of the table."""

    id: int
    reason: str
    name: str
    source_id: bytes | None
    edge_id: str
    received_at_ms: int
    detail: str
    body: bytes


def add(connection: Connection, rows: Sequence[Row]) -> None:
    if rows:
        connection.execute(insert(quarantine), rows)


def page(connection: Connection, *, before: int, count: int, reason: str = "") -> list[Quarantined]:
    """Newest first, ids below `before`."""
    statement = (
        select(quarantine).where(quarantine.c.id < before).order_by(quarantine.c.id.desc()).limit(count)
    )
    if reason:
        statement = statement.where(quarantine.c.reason == reason)
    return [Quarantined(*row) for row in connection.execute(statement)]


def counts(connection: Connection) -> dict[str, int]:
    """How many, by reason."""
    rows = connection.execute(select(quarantine.c.reason, func.count()).group_by(quarantine.c.reason))
    return {row[0]: row[1] for row in rows}


def of_sources(connection: Connection, source_ids: Iterable[bytes]) -> list[Quarantined]:
    statement = (
        select(quarantine).where(quarantine.c.source_id.in_(list(source_ids))).order_by(quarantine.c.id)
    )
    return [Quarantined(*row) for row in connection.execute(statement)]


def remove_sources(connection: Connection, source_ids: Iterable[bytes]) -> None:
    connection.execute(delete(quarantine).where(quarantine.c.source_id.in_(list(source_ids))))


def remove(connection: Connection, ids: Iterable[int]) -> None:
    connection.execute(delete(quarantine).where(quarantine.c.id.in_(list(ids))))
