"""The audit record: who did what, when, before and after. Rows are added, never changed."""

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy import Column, String, Table, Text
from sqlalchemy.engine import Connection

from hub.store.metadata import Millis, Number, metadata

audit = Table(
    "audit",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("at_ms", Millis, nullable=False, index=True),
    #: A person of the catalogue's governance, or `key:ROLE` where only an API key is known.
    Column("who", String(80), nullable=False),
    Column("action", String(40), nullable=False),
    #: What it was done to: a content hash, a revision, a profile's id; never an identifier of a person.
    Column("subject", String(160), nullable=False),
    Column("before", Text, nullable=False),
    Column("after", Text, nullable=False),
)


class Entry(msgspec.Struct, frozen=True):
    """One line of the audit record; `before` and `after` are short texts, empty where there is none."""

    at_ms: int
    who: str
    action: str
    subject: str
    before: str = ""
    after: str = ""
    number: int = 0


def add_entry(connection: Connection, entry: Entry) -> None:
    """Add one entry, in the transaction of what it records."""
    values = msgspec.structs.asdict(entry)
    del values["number"]
    connection.execute(sa.insert(audit), values)


def add_entries(connection: Connection, entries: Sequence[Entry]) -> None:
    """Add several entries, in their order."""
    if entries:
        rows = [msgspec.structs.asdict(entry) for entry in entries]
        names = [name for name in rows[0] if name != "number"]
        connection.execute(sa.insert(audit), [{name: row[name] for name in names} for row in rows])


def list_entries(connection: Connection, count: int, before_number: int = 0) -> list[Entry]:
    """The newest entries first, from below `before_number` on (0: from the newest)."""
    statement = sa.select(audit).order_by(audit.c.number.desc()).limit(count)
    if before_number:
        statement = statement.where(audit.c.number < before_number)
    return [Entry(**row._asdict()) for row in connection.execute(statement)]
