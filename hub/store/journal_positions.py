"""How far each journal is contained in the profiles: the watermark of frames."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Final

from sqlalchemy import BigInteger, Column, String, Table, delete, select
from sqlalchemy.engine import Connection

from hub.store.metadata import Millis, metadata
from hub.store.statements import upsert

journal_positions: Final = Table(
    "journal_positions",
    metadata,
    Column("journal_id", String(32), primary_key=True),
    Column("edge_id", String(64), nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("moved_at_ms", Millis, nullable=False),
)

#: edge id -> journal id -> position
Positions = dict[str, dict[str, int]]


def read(connection: Connection) -> Positions:
    """Every journal's position, by edge. A few rows: journals are as many as workers."""
    found: Positions = defaultdict(dict)
    columns = (journal_positions.c.edge_id, journal_positions.c.journal_id, journal_positions.c.position)
    for edge_id, journal_id, position in connection.execute(select(*columns)):
        found[edge_id][journal_id] = position
    return dict(found)


def save(connection: Connection, edge_id: str, positions: Mapping[str, int], now_ms: int) -> None:
    """Move journals of one edge."""
    rows = [
        {"journal_id": journal, "edge_id": edge_id, "position": position, "moved_at_ms": now_ms}
        for journal, position in positions.items()
    ]
    upsert(connection, journal_positions, rows, ("position", "moved_at_ms"))


def prune(connection: Connection, before_ms: int) -> None:
    """Forget journals that have not moved since a time: of edges that are gone, or were wiped."""
    connection.execute(delete(journal_positions).where(journal_positions.c.moved_at_ms < before_ms))
