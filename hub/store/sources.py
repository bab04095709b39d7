"""Source profiles: what was seen under one identifier, and the profile it belongs to now."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Column, ForeignKey, LargeBinary, String, Table, bindparam, delete, func, select, update
from sqlalchemy.engine import Connection

from hub.store.metadata import Key, Millis, metadata
from hub.store.statements import Row, chunks, upsert

VALUE_LENGTH_MAX: Final = 256

sources: Final = Table(
    "sources",
    metadata,
    # The identifier's keyed hash.
    Column("source_id", Key, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("profile_id", Key, ForeignKey("profiles.profile_id"), nullable=False, index=True),
    # Record bytes (docs/decisions/0001) with sequence 0; empty while no event belongs to it.
    Column("state", LargeBinary, nullable=False),
    # The identifier itself where the hub was told it; null else.
    Column("value", String(VALUE_LENGTH_MAX)),
    Column("joined_at_ms", Millis, nullable=False),
    # First receipt of an event that showed the identifier as verified.
    Column("first_ms", Millis, nullable=False),
    # Newest receipt of an event that linked it for the first time with another identifier; 0: none did.
    Column("linked_ms", Millis, nullable=False),
    # The profile it has by itself: alone, or as the one whose key and profile the others share.
    Column("own_profile_id", Key, nullable=False),
)


class Source(NamedTuple):
    """A row of the table."""

    source_id: bytes
    kind: str
    profile_id: bytes
    state: bytes
    value: str | None
    joined_at_ms: int
    first_ms: int
    linked_ms: int
    own_profile_id: bytes


class Member(NamedTuple):
    """A source as one of a profile's, without what was seen under it."""

    source_id: bytes
    kind: str
    profile_id: bytes
    has_value: bool
    joined_at_ms: int


_BY_ID: Final = select(sources).where(sources.c.source_id.in_(bindparam("keys", expanding=True)))
_BY_PROFILE: Final = select(sources).where(sources.c.profile_id.in_(bindparam("keys", expanding=True)))
_MEMBERS: Final = select(
    sources.c.source_id,
    sources.c.kind,
    sources.c.profile_id,
    sources.c.value.is_not(None),
    sources.c.joined_at_ms,
).where(sources.c.profile_id.in_(bindparam("keys", expanding=True)))
_VALUES: Final = select(sources.c.source_id, sources.c.value).where(
    sources.c.source_id.in_(bindparam("keys", expanding=True)), sources.c.value.is_not(None)
)
_PROFILE_OF: Final = select(sources.c.source_id, sources.c.profile_id).where(
    sources.c.source_id.in_(bindparam("keys", expanding=True))
)
_SET_VALUE: Final = (
    update(sources).where(sources.c.source_id == bindparam("source")).values(value=bindparam("text"))
)
_SET_STATE: Final = (
    update(sources).where(sources.c.source_id == bindparam("source")).values(state=bindparam("packed"))
)
_PAGE: Final = (
    select(sources.c.source_id, sources.c.profile_id)
    .where(sources.c.source_id > bindparam("after"))
    .order_by(sources.c.source_id)
    .limit(bindparam("count"))
)


def by_id(connection: Connection, keys: Iterable[bytes]) -> Iterator[Source]:
    """The sources that exist among `keys`, in no order."""
    for chunk in chunks(keys):
        for row in connection.execute(_BY_ID, {"keys": chunk}):
            yield Source(*row)


def of_profiles(connection: Connection, keys: Iterable[bytes]) -> Iterator[Source]:
    """Every source of the given profiles, in no order."""
    for chunk in chunks(keys):
        for row in connection.execute(_BY_PROFILE, {"keys": chunk}):
            yield Source(*row)


def members(connection: Connection, keys: Iterable[bytes]) -> Iterator[Member]:
    """Every source of the given profiles, in no order, without its state."""
    for chunk in chunks(keys):
        for row in connection.execute(_MEMBERS, {"keys": chunk}):
            yield Member(*row)


def values(connection: Connection, keys: Iterable[bytes]) -> dict[bytes, str]:
    """Identifiers in the clear by source id, of those that the hub was told."""
    found: dict[bytes, str] = {}
    for chunk in chunks(keys):
        found.update((row[0], row[1]) for row in connection.execute(_VALUES, {"keys": chunk}))
    return found


def profile_ids(connection: Connection, keys: Iterable[bytes]) -> dict[bytes, bytes]:
    """Profile id by source id, of those that exist."""
    found: dict[bytes, bytes] = {}
    for chunk in chunks(keys):
        found.update((row[0], row[1]) for row in connection.execute(_PROFILE_OF, {"keys": chunk}))
    return found


def person_keys(found: Iterable[Source]) -> set[bytes]:
    """Whatever a person's rows elsewhere may be filed under: each identifier, its profile, and its own one,
    which it had before a merge.
    """
    return {key for source in found for key in (source.source_id, source.profile_id, source.own_profile_id)}


def page(connection: Connection, after: bytes, count: int) -> list[tuple[bytes, bytes]]:
    """(source id, profile id) of up to `count` sources with ids above `after`, ascending."""
    rows = connection.execute(_PAGE, {"after": after, "count": count})
    return [(row[0], row[1]) for row in rows]


def save(connection: Connection, rows: Sequence[Row]) -> None:
    """Insert sources, or replace state and membership of those that exist."""
    upsert(connection, sources, rows, ("profile_id", "state", "joined_at_ms", "first_ms", "linked_ms"))


def set_states(connection: Connection, states: Sequence[tuple[bytes, bytes]]) -> None:
    """Replace the states of sources that exist: (source id, state)."""
    if states:
        rows = [{"source": source_id, "packed": state} for source_id, state in states]
        connection.execute(_SET_STATE, rows)


def set_values(connection: Connection, values: Sequence[tuple[bytes, str]]) -> None:
    """Keep identifiers in the clear: (source id, value)."""
    if values:
        connection.execute(_SET_VALUE, [{"source": source_id, "text": value} for source_id, value in values])


def remove(connection: Connection, profile_id: bytes) -> None:
    """Remove every source of a profile."""
    connection.execute(delete(sources).where(sources.c.profile_id == profile_id))


def count(connection: Connection) -> int:
    return int(connection.execute(select(func.count()).select_from(sources)).scalar_one())
