"""The decision log: rows that nodes made, by the person's key, for a bounded time."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Column, LargeBinary, String, Table, UniqueConstraint, delete, func, select
from sqlalchemy.engine import Connection

from hub.store.metadata import Key, Millis, Number, metadata
from hub.store.statements import Row, insert_new

decisions: Final = Table(
    "decisions",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    # Profile id or identifier hash, whichever the node decided under.
    Column("person_key", Key, nullable=False),
    Column("at_ms", Millis, nullable=False),
    Column("decision_id", String(64), nullable=False),
    Column("node", String(64), nullable=False),
    # MessagePack of core.decide's log row.
    Column("row", LargeBinary, nullable=False),
    # A batch that an edge sends again adds nothing.
    UniqueConstraint("person_key", "at_ms", "decision_id"),
)


class LoggedDecision(NamedTuple):
    """A row of the table, for people to look up."""

    at_ms: int
    decision_id: str
    node: str
    row: bytes


def add(connection: Connection, rows: Sequence[Row]) -> None:
    insert_new(connection, decisions, rows)


def of_person(connection: Connection, keys: Iterable[bytes], count: int) -> list[LoggedDecision]:
    """The newest `count` decisions under any of the keys, newest first."""
    columns = (decisions.c.at_ms, decisions.c.decision_id, decisions.c.node, decisions.c.row)
    newest = (decisions.c.at_ms.desc(), decisions.c.id.desc())
    statement = select(*columns).where(decisions.c.person_key.in_(list(keys))).order_by(*newest).limit(count)
    return [LoggedDecision(*row) for row in connection.execute(statement)]


def remove(connection: Connection, keys: Iterable[bytes]) -> None:
    connection.execute(delete(decisions).where(decisions.c.person_key.in_(list(keys))))


def prune(connection: Connection, *, before_ms: int, rows_max: int, rows_at_once: int) -> int:
    """Forget the oldest rows that are older than `before_ms` or too many; return how many."""
    newest: int = connection.execute(select(func.max(decisions.c.id))).scalar_one() or 0
    oldest: int = connection.execute(select(func.min(decisions.c.id))).scalar_one() or 0
    within = decisions.c.id < oldest + rows_at_once
    late = (decisions.c.at_ms < before_ms) | (decisions.c.id <= newest - rows_max)
    return connection.execute(delete(decisions).where(within & late)).rowcount
