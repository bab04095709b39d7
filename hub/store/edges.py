"""What the hub last heard of each edge; it outlives the stream, so that `fleet` shows the silent ones too."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from sqlalchemy import BigInteger, Column, String, Table, select
from sqlalchemy.engine import Connection

from hub.store.metadata import Millis, metadata
from hub.store.statements import upsert

edges: Final = Table(
    "edges",
    metadata,
    Column("edge_id", String(64), primary_key=True),
    Column("last_seen_ms", Millis, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("bundle_revision", BigInteger, nullable=False),
    Column("bundle_hash", String(64), nullable=False),
    Column("bundle_error", String(200), nullable=False),
)


class EdgeRow(NamedTuple):
    """A row of the table."""

    edge_id: str
    last_seen_ms: int
    sequence: int
    bundle_revision: int
    bundle_hash: str
    bundle_error: str


def read(connection: Connection) -> list[EdgeRow]:
    """Every edge that was ever connected, by id."""
    return [EdgeRow(*row) for row in connection.execute(select(edges).order_by(edges.c.edge_id))]


def save(connection: Connection, rows: Sequence[EdgeRow]) -> None:
    upsert(connection, edges, [row._asdict() for row in rows], EdgeRow._fields[1:])
