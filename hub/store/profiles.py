"""Profiles: the packed record of a person, and its projection for the edges."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    LargeBinary,
    Table,
    bindparam,
    delete,
    func,
    select,
    update,
)
from sqlalchemy.engine import Connection

from hub.store.metadata import Key, Millis, metadata
from hub.store.sources import sources
from hub.store.statements import Row, chunks, upsert

profiles: Final = Table(
    "profiles",
    metadata,
    Column("profile_id", Key, primary_key=True),
    Column("unit_key", Key, nullable=False),
    Column("created_at_ms", Millis, nullable=False),
    Column("known", Boolean, nullable=False),
    Column("record", LargeBinary, nullable=False),
    Column("edge_record", LargeBinary, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("packed_at_ms", Millis, nullable=False),
)


class Profile(NamedTuple):
    """A row of the table."""

    profile_id: bytes
    unit_key: bytes
    created_at_ms: int
    known: bool
    record: bytes
    edge_record: bytes
    sequence: int
    packed_at_ms: int


_RECORD: Final = ("known", "record", "edge_record", "sequence", "packed_at_ms")
_CHANGING: Final = ("unit_key", "created_at_ms", *_RECORD)
_SET_RECORD: Final = (
    update(profiles)
    .where(profiles.c.profile_id == bindparam("key"))
    .values({name: bindparam(f"new_{name}") for name in _RECORD})
)
_BY_ID: Final = select(profiles).where(profiles.c.profile_id.in_(bindparam("keys", expanding=True)))
_EDGE_BY_ID: Final = select(profiles.c.profile_id, profiles.c.edge_record).where(
    profiles.c.profile_id.in_(bindparam("keys", expanding=True))
)
_STANDING: Final = (
    select(sources.c.source_id, profiles.c.profile_id, profiles.c.sequence)
    .join(profiles, profiles.c.profile_id == sources.c.profile_id)
    .where(sources.c.source_id.in_(bindparam("keys", expanding=True)))
)
_PAGE: Final = (
    select(profiles)
    .where(profiles.c.profile_id > bindparam("after"))
    .order_by(profiles.c.profile_id)
    .limit(bindparam("count"))
)
_EDGE_PAGE: Final = (
    select(profiles.c.profile_id, profiles.c.edge_record)
    .where(profiles.c.profile_id > bindparam("after"))
    .order_by(profiles.c.profile_id)
    .limit(bindparam("count"))
)


def by_id(connection: Connection, keys: Iterable[bytes]) -> Iterator[Profile]:
    """The profiles that exist among `keys`, in no order."""
    for chunk in chunks(keys):
        for row in connection.execute(_BY_ID, {"keys": chunk}):
            yield Profile(*row)


def edge_records(connection: Connection, keys: Iterable[bytes]) -> dict[bytes, bytes]:
    """Edge projection by profile id, of those that exist."""
    found: dict[bytes, bytes] = {}
    for chunk in chunks(keys):
        found.update((row[0], row[1]) for row in connection.execute(_EDGE_BY_ID, {"keys": chunk}))
    return found


def page(connection: Connection, after: bytes, count: int) -> list[Profile]:
    """Up to `count` profiles with ids above `after`, ascending."""
    return [Profile(*row) for row in connection.execute(_PAGE, {"after": after, "count": count})]


def edge_page(connection: Connection, after: bytes, count: int) -> list[tuple[bytes, bytes]]:
    """(profile id, edge projection) of up to `count` profiles with ids above `after`, ascending."""
    rows = connection.execute(_EDGE_PAGE, {"after": after, "count": count})
    return [(row[0], row[1]) for row in rows]


def save(connection: Connection, rows: Sequence[Row]) -> None:
    """Insert profiles, or replace those that exist."""
    upsert(connection, profiles, rows, _CHANGING)


def set_records(connection: Connection, rows: Sequence[Row]) -> None:
    """Replace the records of profiles that exist; of each row only the key and what belongs to the record."""
    if rows:
        values = [
            {"key": row["profile_id"], **{f"new_{name}": row[name] for name in _RECORD}} for row in rows
        ]
        connection.execute(_SET_RECORD, values)


def remove(connection: Connection, *keys: bytes) -> None:
    """Remove profiles, to which no source belongs any more."""
    for chunk in chunks(keys):
        connection.execute(delete(profiles).where(profiles.c.profile_id.in_(chunk)))


def count(connection: Connection) -> int:
    return int(connection.execute(select(func.count()).select_from(profiles)).scalar_one())


def standing(connection: Connection, source_ids: Iterable[bytes]) -> dict[bytes, tuple[bytes, int]]:
    """(profile id, sequence) by source id: equal to what they were if nothing of the person has changed."""
    found: dict[bytes, tuple[bytes, int]] = {}
    for chunk in chunks(source_ids):
        rows = connection.execute(_STANDING, {"keys": chunk})
        found.update((row[0], (row[1], row[2])) for row in rows)
    return found
