"""One row: where this store stands: epoch, newest change-log number, how far the event log was read."""

import secrets
from typing import Final, NamedTuple

from sqlalchemy import BigInteger, Column, Integer, String, Table, insert, select, update
from sqlalchemy.engine import Connection

from hub.store.metadata import Millis, metadata

ONLY_ROW: Final = 1
EPOCH_BYTES: Final = 16

log_state: Final = Table(
    "log_state",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    # Random name of this change log; a restored store gets a new one (docs/decisions/0003).
    Column("epoch", String(32), nullable=False),
    Column("sequence", BigInteger, nullable=False),
    # Numbers up to here were pruned from the change log.
    Column("log_floor", BigInteger, nullable=False),
    # Identity of the event stream, and the number of its last message that is contained in this store.
    Column("stream", String(64), nullable=False),
    Column("stream_sequence", BigInteger, nullable=False),
    # XOR of XXH64(key + value) over all that an edge holds, as a signed 64-bit number; how many entries.
    Column("digest", BigInteger, nullable=False),
    Column("digest_entries", BigInteger, nullable=False),
    # Projection that all records have (XXH64 of the edge slots), the one being worked towards, and how far.
    Column("projection", BigInteger, nullable=False),
    Column("projection_next", BigInteger, nullable=False),
    Column("projection_cursor", String(32), nullable=False),
    Column("made_at_ms", Millis, nullable=False),
)


class LogState(NamedTuple):
    """The row, as a value."""

    epoch: str
    sequence: int
    log_floor: int
    stream: str
    stream_sequence: int
    digest: int
    digest_entries: int
    projection: int
    projection_next: int
    projection_cursor: str


_COLUMNS: Final = [log_state.c[name] for name in LogState._fields]


def prepare(connection: Connection, now_ms: int) -> LogState:
    """Return the state, making it for a fresh store."""
    if connection.execute(select(log_state.c.id)).first() is None:
        row = LogState(new_epoch(), 0, 0, "", 0, 0, 0, 0, 0, "")
        connection.execute(insert(log_state), {"id": ONLY_ROW, "made_at_ms": now_ms, **row._asdict()})
    return read(connection)


def read(connection: Connection) -> LogState:
    """The state as of this transaction."""
    return LogState(*connection.execute(select(*_COLUMNS)).one())


def write(connection: Connection, **values: int | str) -> None:
    """Set columns of the row."""
    connection.execute(update(log_state).values(**values))


def renew_epoch(connection: Connection) -> str:
    """Give the change log a new name: after a restore, so that every edge takes a snapshot."""
    epoch = new_epoch()
    write(connection, epoch=epoch)
    return epoch


def new_epoch() -> str:
    return secrets.token_hex(EPOCH_BYTES)
