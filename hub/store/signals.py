"""Signals: applied events that a journey may act on, numbered in commit order; and who has read how far."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import BigInteger, Column, LargeBinary, String, Table, bindparam, delete, func, insert, select
from sqlalchemy.engine import Connection

from hub.store.metadata import Key, Millis, Number, metadata
from hub.store.statements import chunks, upsert

signals: Final = Table(
    "signals",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=True),
    # Whose: the profile is the source's, at the time of reading, so a merge takes its signals along.
    Column("source_id", Key, nullable=False, index=True),
    Column("event", String(128), nullable=False),
    Column("at_ms", Millis, nullable=False),
    # MessagePack of the values at the paths that conditions name; nothing else of the event is kept.
    Column("properties", LargeBinary, nullable=False),
    # A number is never given again: the cursor lies behind those that were pruned.
    sqlite_autoincrement=True,
)

cursors: Final = Table(
    "signal_cursors",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("number", BigInteger, nullable=False),
)


class Signal(NamedTuple):
    """A row of the table."""

    number: int
    source_id: bytes
    event: str
    at_ms: int
    properties: Mapping[str, Any]


class NewSignal(NamedTuple):
    """A signal before it has its number."""

    source_id: bytes
    event: str
    at_ms: int
    properties: Mapping[str, Any]


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(dict[str, Any]).decode

_AFTER: Final = (
    select(signals)
    .where(signals.c.number > bindparam("after"))
    .order_by(signals.c.number)
    .limit(bindparam("count"))
)
_OF_SOURCES: Final = (
    select(signals)
    .where(signals.c.source_id.in_(bindparam("keys", expanding=True)), signals.c.number > bindparam("after"))
    .order_by(signals.c.number)
)


def add(connection: Connection, rows: Sequence[NewSignal]) -> None:
    """Append signals in the transaction of their events."""
    if rows:
        packed = [{**row._asdict(), "properties": _pack(row.properties)} for row in rows]
        connection.execute(insert(signals), packed)


def after(connection: Connection, number: int, count: int) -> list[Signal]:
    """Up to `count` signals above a number, in order."""
    rows = connection.execute(_AFTER, {"after": number, "count": count})
    return [_signal(row) for row in rows]


def of_sources(connection: Connection, source_ids: Iterable[bytes], after_number: int) -> Iterator[Signal]:
    """Signals above a number of the given sources, in order within each five hundred of them."""
    for chunk in chunks(source_ids):
        rows = connection.execute(_OF_SOURCES, {"keys": chunk, "after": after_number})
        yield from (_signal(row) for row in rows)


def cursor(connection: Connection, name: str) -> int:
    """Up to where a reader has acted."""
    return connection.execute(select(cursors.c.number).where(cursors.c.name == name)).scalar() or 0


def move(connection: Connection, name: str, number: int) -> None:
    """Say that everything up to a number was acted on, in the transaction of the acts."""
    upsert(connection, cursors, [{"name": name, "number": number}], ["number"])


def waiting(connection: Connection, name: str) -> int:
    """How many signals a reader has not acted on."""
    behind = select(func.count()).select_from(signals).where(signals.c.number > cursor(connection, name))
    return int(connection.execute(behind).scalar_one())


def prune(connection: Connection, *, name: str, before_ms: int, rows_at_once: int) -> int:
    """Forget the oldest that were acted on and are older than `before_ms`; return how many."""
    oldest = connection.execute(select(func.min(signals.c.number))).scalar() or 0
    upto = min(cursor(connection, name), oldest + rows_at_once - 1)
    late = (signals.c.number <= upto) & (signals.c.at_ms < before_ms)
    return connection.execute(delete(signals).where(late)).rowcount


def remove(connection: Connection, source_ids: Iterable[bytes]) -> None:
    """Forget a person's."""
    connection.execute(delete(signals).where(signals.c.source_id.in_(list(source_ids))))


def _signal(row: Any) -> Signal:
    return Signal(row.number, row.source_id, row.event, row.at_ms, _unpack(row.properties))
