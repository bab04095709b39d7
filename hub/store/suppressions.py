"""Suppressions: hard stops on contacting an address, above every decision. Keyed by identifier hash."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Column, String, Table, bindparam, delete, select, update
from sqlalchemy.engine import Connection

from hub.store.metadata import Key, Millis, metadata
from hub.store.statements import chunks, insert_new

#: Why an address is not contacted.
UNSUBSCRIBE: Final = "unsubscribe"
BOUNCE: Final = "bounce"
COMPLAINT: Final = "complaint"
MANUAL: Final = "manual"

SOURCE_LENGTH_MAX: Final = 128

suppressions: Final = Table(
    "suppressions",
    metadata,
    # The address's identifier hash. No foreign key: a stop outlives the profile, and may come before it.
    Column("source_id", Key, primary_key=True),
    Column("channel", String(80), primary_key=True),
    # Each reason stands for itself: who subscribes again lifts her unsubscribe, not the bounce beside it.
    Column("reason", String(16), primary_key=True),
    Column("at_ms", Millis, nullable=False),
    # Where it came from, such as `one-click` or a status code; never an address.
    Column("source", String(SOURCE_LENGTH_MAX), nullable=False),
)


class Suppression(NamedTuple):
    """A row of the table."""

    source_id: bytes
    channel: str
    reason: str
    at_ms: int
    source: str


_OF: Final = (
    select(suppressions.c.source_id, suppressions.c.reason)
    .where(
        suppressions.c.source_id.in_(bindparam("keys", expanding=True)),
        suppressions.c.channel == bindparam("of_channel"),
    )
    # Of several reasons the first by name is told, so that the answer does not depend on the engine.
    .order_by(suppressions.c.source_id, suppressions.c.reason.desc())
)


def add(connection: Connection, rows: Sequence[Suppression]) -> None:
    """Suppress addresses; what is suppressed for the same reason already stays as it is."""
    cut = [row._replace(source=row.source[:SOURCE_LENGTH_MAX]) for row in rows]
    insert_new(connection, suppressions, [row._asdict() for row in cut])


def of(connection: Connection, source_ids: Iterable[bytes], channel: str) -> dict[bytes, str]:
    """Of the addresses that are suppressed on a channel: a reason."""
    found: dict[bytes, str] = {}
    for chunk in chunks(source_ids):
        rows = connection.execute(_OF, {"keys": chunk, "of_channel": channel})
        found.update((row[0], row[1]) for row in rows)
    return found


def remove(connection: Connection, source_id: bytes, channel: str, reason: str) -> bool:
    """Lift one suppression; whether there was one."""
    statement = delete(suppressions).where(
        suppressions.c.source_id == source_id,
        suppressions.c.channel == channel,
        suppressions.c.reason == reason,
    )
    return connection.execute(statement).rowcount > 0


def of_person(connection: Connection, source_ids: Iterable[bytes]) -> list[Suppression]:
    """Every suppression of a person's addresses, oldest first."""
    statement = (
        select(suppressions)
        .where(suppressions.c.source_id.in_(list(source_ids)))
        .order_by(suppressions.c.at_ms, suppressions.c.channel, suppressions.c.reason)
    )
    return [Suppression(*row) for row in connection.execute(statement)]


def reduce_to_hash(connection: Connection, source_ids: Iterable[bytes]) -> None:
    """At an erasure: the stop stays under the keyed hash, and nothing else of it.

    Forgetting that somebody must not be written to would be the one thing worse than remembering her
    hash: the next import of her address would contact her again.
    """
    of_these = suppressions.c.source_id.in_(list(source_ids))
    connection.execute(update(suppressions).where(of_these).values(source=""))
