"""Events that were taken in, by a hash of person and message id: a second one changes nothing."""

from collections.abc import Iterable, Sequence
from typing import Final

from sqlalchemy import Column, Table, bindparam, delete, select
from sqlalchemy.engine import Connection

from hub.store.metadata import Key, Millis, metadata
from hub.store.statements import chunks, insert_new

LAST_BYTE: Final = 255

event_ids: Final = Table(
    "event_ids",
    metadata,
    Column("event_key", Key, primary_key=True),
    Column("received_ms", Millis, nullable=False),
    sqlite_with_rowid=False,
)

_KNOWN: Final = select(event_ids.c.event_key).where(
    event_ids.c.event_key.in_(bindparam("keys", expanding=True))
)


def known(connection: Connection, keys: Iterable[bytes]) -> set[bytes]:
    """Which of the keys were taken in before."""
    found: set[bytes] = set()
    for chunk in chunks(keys):
        found.update(row[0] for row in connection.execute(_KNOWN, {"keys": chunk}))
    return found


def add(connection: Connection, keys: Sequence[tuple[bytes, int]]) -> None:
    """Remember (event key, received ms)."""
    insert_new(connection, event_ids, [{"event_key": key, "received_ms": at_ms} for key, at_ms in keys])


def prune(connection: Connection, first_byte: int, before_ms: int) -> None:
    """Forget, of the keys that begin with a byte, those received before a time.

    A slice at a time, because nothing but the key is indexed: an index by time would cost each event a write.
    """
    within = event_ids.c.event_key >= bytes([first_byte])
    if first_byte < LAST_BYTE:
        within &= event_ids.c.event_key < bytes([first_byte + 1])
    connection.execute(delete(event_ids).where(within & (event_ids.c.received_ms < before_ms)))
