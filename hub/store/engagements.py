"""Engagement: opens and clicks of messages as they came, and whether a person or a machine made them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Boolean, Column, String, Table, bindparam, delete, func, insert, select, update
from sqlalchemy.engine import Connection

from hub.store.metadata import Millis, Number, metadata
from hub.store.statements import chunks

OPEN: Final = "open"
CLICK: Final = "click"
LINK_LENGTH_MAX: Final = 512

engagements: Final = Table(
    "engagements",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("message_id", String(32), nullable=False, index=True),
    Column("kind", String(8), nullable=False),
    Column("at_ms", Millis, nullable=False),
    # Null: not judged yet.
    Column("machine", Boolean),
    # Of a click; empty for an open.
    Column("link", String(LINK_LENGTH_MAX), nullable=False),
)


class Engagement(NamedTuple):
    """A row of the table, before it has its number."""

    message_id: str
    kind: str
    at_ms: int
    machine: bool | None
    link: str


def add_once(connection: Connection, row: Engagement) -> bool:
    """Keep an engagement that somebody reports; whether it is new."""
    row = row._replace(link=row.link[:LINK_LENGTH_MAX])
    same = (
        (engagements.c.message_id == row.message_id)
        & (engagements.c.kind == row.kind)
        & (engagements.c.at_ms == row.at_ms)
        & (engagements.c.link == row.link)
    )
    if connection.execute(select(engagements.c.number).where(same)).first() is not None:
        return False
    connection.execute(insert(engagements), row._asdict())
    return True


class Seen(NamedTuple):
    """A row of the table."""

    number: int
    message_id: str
    kind: str
    at_ms: int
    machine: bool | None
    link: str


_JUDGE: Final = (
    update(engagements).where(engagements.c.number == bindparam("row")).values(machine=bindparam("verdict"))
)


def add(connection: Connection, rows: Sequence[Engagement]) -> None:
    """Keep engagements as they came."""
    if rows:
        cut = [row._replace(link=row.link[:LINK_LENGTH_MAX])._asdict() for row in rows]
        connection.execute(insert(engagements), cut)


def unjudged(connection: Connection, before_ms: int, count: int) -> list[Seen]:
    """The oldest that came before a time and were not judged."""
    statement = (
        select(engagements)
        .where(engagements.c.machine.is_(None), engagements.c.at_ms <= before_ms)
        .order_by(engagements.c.number)
        .limit(count)
    )
    return [Seen(*row) for row in connection.execute(statement)]


def of_messages(connection: Connection, message_ids: Iterable[str]) -> list[Seen]:
    """Everything of some messages, in order of arrival."""
    found = [
        Seen(*row)
        for chunk in chunks(message_ids)
        for row in connection.execute(select(engagements).where(engagements.c.message_id.in_(chunk)))
    ]
    return sorted(found)


def judge(connection: Connection, verdicts: Mapping[int, bool]) -> None:
    """Write who made them: number -> whether a machine did."""
    if verdicts:
        connection.execute(_JUDGE, [{"row": number, "verdict": one} for number, one in verdicts.items()])


def remove(connection: Connection, message_ids: Iterable[str]) -> None:
    """Forget those of some messages."""
    for chunk in chunks(message_ids):
        connection.execute(delete(engagements).where(engagements.c.message_id.in_(chunk)))


def prune(connection: Connection, *, before_ms: int, rows_at_once: int) -> int:
    """Forget the oldest that are older than `before_ms`; return how many."""
    oldest = connection.execute(select(func.min(engagements.c.number))).scalar() or 0
    late = (engagements.c.number < oldest + rows_at_once) & (engagements.c.at_ms < before_ms)
    return connection.execute(delete(engagements).where(late)).rowcount
