"""Pairs of identifiers that were seen in one event, and what operators have decided about them.

These are the facts that membership follows from: `hub/data/resolution.py` makes profiles of them.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Column, String, Table, bindparam, delete, or_, select, tuple_
from sqlalchemy.engine import Connection

from hub.store.metadata import Key, Millis, metadata
from hub.store.statements import Row, chunks, upsert

#: Each pair takes two parameters of a statement.
PAIRS_AT_ONCE: Final = 250

identity_links: Final = Table(
    "identity_links",
    metadata,
    Column("stronger", Key, primary_key=True),
    Column("weaker", Key, primary_key=True, index=True),
    # First receipt of an event that showed both as verified, and that event's own time; 0: there was none.
    Column("seen_ms", Millis, nullable=False),
    Column("said_ms", Millis, nullable=False),
    # The newest word of an operator: merged, split, or nothing.
    Column("decision", String(8), nullable=False),
    Column("decided_ms", Millis, nullable=False),
    sqlite_with_rowid=False,
)


class LinkRow(NamedTuple):
    """A row of the table."""

    stronger: bytes
    weaker: bytes
    seen_ms: int
    said_ms: int
    decision: str
    decided_ms: int


_ENDS: Final = tuple_(identity_links.c.stronger, identity_links.c.weaker)
_BY_PAIR: Final = select(identity_links).where(_ENDS.in_(bindparam("pairs", expanding=True)))
_TOUCHING: Final = select(identity_links).where(
    or_(
        identity_links.c.stronger.in_(bindparam("keys", expanding=True)),
        identity_links.c.weaker.in_(bindparam("keys", expanding=True)),
    )
)
_WITHIN: Final = select(identity_links).where(
    identity_links.c.stronger.in_(bindparam("keys", expanding=True)),
    identity_links.c.weaker.in_(bindparam("others", expanding=True)),
)


def by_pair(connection: Connection, pairs: Iterable[tuple[bytes, bytes]]) -> Iterator[LinkRow]:
    """Of the pairs, those that are known."""
    for chunk in chunks(pairs, PAIRS_AT_ONCE):
        for row in connection.execute(_BY_PAIR, {"pairs": chunk}):
            yield LinkRow(*row)


def touching(connection: Connection, keys: Iterable[bytes], limit: int) -> Iterator[LinkRow]:
    """Links with one of the identifiers at either end, at most `limit` for some hundred identifiers."""
    for chunk in chunks(keys, PAIRS_AT_ONCE):
        for row in connection.execute(_TOUCHING.limit(limit), {"keys": chunk}):
            yield LinkRow(*row)


def within(connection: Connection, keys: Sequence[bytes]) -> Iterator[LinkRow]:
    """Links with two of the identifiers at their ends."""
    for stronger in chunks(keys, PAIRS_AT_ONCE):
        for weaker in chunks(keys, PAIRS_AT_ONCE):
            for row in connection.execute(_WITHIN, {"keys": stronger, "others": weaker}):
                yield LinkRow(*row)


def save(connection: Connection, rows: Sequence[Row]) -> None:
    """Insert links, or replace what is known of those that exist."""
    upsert(connection, identity_links, rows, ("seen_ms", "said_ms", "decision", "decided_ms"))


def remove(connection: Connection, source_ids: Iterable[bytes]) -> None:
    """Remove every link of the identifiers."""
    for chunk in chunks(source_ids, PAIRS_AT_ONCE):
        ends = or_(identity_links.c.stronger.in_(chunk), identity_links.c.weaker.in_(chunk))
        connection.execute(delete(identity_links).where(ends))
