"""People who were assigned to experiments by two unit keys: merges where one of two keys had to lose.

Exposures under the losing key stay where they are. An experiment whose assignment differs between the keys
leaves the person out of its analysis, and counts her.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Column, Table, delete, or_, select
from sqlalchemy.engine import Connection

from hub.store.metadata import Key, Millis, metadata
from hub.store.statements import Row, chunks, upsert

crossings: Final = Table(
    "crossings",
    metadata,
    # A unit key is the hash of one of the profile's identifiers, so a crossing follows that source.
    Column("losing_key", Key, primary_key=True),
    Column("winning_key", Key, primary_key=True, index=True),
    Column("at_ms", Millis, nullable=False),
    # When the merge was undone; what she saw until then stays seen.
    Column("ended_ms", Millis),
    sqlite_with_rowid=False,
)


class Crossing(NamedTuple):
    """A row of the table."""

    losing_key: bytes
    winning_key: bytes
    at_ms: int
    ended_ms: int | None


def save(connection: Connection, rows: Sequence[Row]) -> None:
    """Insert crossings, or set when those that exist began and ended."""
    upsert(connection, crossings, rows, ("at_ms", "ended_ms"))


def of_sources(connection: Connection, source_ids: Iterable[bytes]) -> list[Crossing]:
    """Crossings in which one of the identifiers' keys lost, oldest first."""
    found: list[Crossing] = []
    for chunk in chunks(source_ids):
        rows = connection.execute(select(crossings).where(crossings.c.losing_key.in_(chunk)))
        found += [Crossing(*row) for row in rows]
    return sorted(found, key=lambda crossing: (crossing.at_ms, crossing.losing_key))


def remove(connection: Connection, source_ids: Iterable[bytes]) -> None:
    for chunk in chunks(source_ids):
        either = or_(crossings.c.losing_key.in_(chunk), crossings.c.winning_key.in_(chunk))
        connection.execute(delete(crossings).where(either))
