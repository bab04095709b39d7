"""Every consent change ever received, as it was received."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Column, LargeBinary, String, Table, delete, insert, select
from sqlalchemy.engine import Connection

from hub.store.metadata import Millis, Number, metadata
from hub.store.statements import Row

consents: Final = Table(
    "consents",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("source_id", LargeBinary(16), nullable=False, index=True),
    Column("purpose", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("effective_at_ms", Millis, nullable=False),
    Column("received_at_ms", Millis, nullable=False),
    Column("text_version", String(128), nullable=False),
    Column("source", String(128), nullable=False),
    Column("node", String(64), nullable=False),
)


class ConsentChange(NamedTuple):
    """One change, oldest receipt first in every list."""

    purpose: str
    state: str
    effective_at_ms: int
    received_at_ms: int
    text_version: str
    source: str
    node: str


_COLUMNS: Final = [consents.c[name] for name in ConsentChange._fields]


def add(connection: Connection, rows: Sequence[Row]) -> None:
    if rows:
        connection.execute(insert(consents), rows)


def history(connection: Connection, source_ids: Iterable[bytes]) -> list[ConsentChange]:
    """Changes received under any of the sources, in order of receipt."""
    of_person = consents.c.source_id.in_(list(source_ids))
    rows = connection.execute(
        select(*_COLUMNS).where(of_person).order_by(consents.c.received_at_ms, consents.c.id)
    )
    return [ConsentChange(*row) for row in rows]


def remove(connection: Connection, source_ids: Iterable[bytes]) -> None:
    connection.execute(delete(consents).where(consents.c.source_id.in_(list(source_ids))))
