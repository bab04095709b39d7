"""What happened to identities: profiles made, joined, merged, split, kept apart; claims."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Column, ColumnElement, Index, String, Table, and_, delete, or_, select
from sqlalchemy.engine import Connection

from hub.store.metadata import Key, Millis, Number, metadata
from hub.store.statements import Row, insert_new

CREATED: Final = "created"  # a profile was made for this source
JOINED: Final = "joined"  # this source, new, joined the profile of the other source
MERGED: Final = "merged"  # the other profile became part of this one, through the two sources
SPLIT: Final = "split"  # the other profile was taken out of this one
MOVED: Final = "moved"  # late news: this source belongs to this profile, not to the other one
CLAIMED: Final = "claimed"  # an unverified statement that both sources are one person
KEPT_APART: Final = "kept_apart"  # the two sources met, and their profiles are never merged by that

WHO_LENGTH_MAX: Final = 80

identity_history: Final = Table(
    "identity_history",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("at_ms", Millis, nullable=False),
    Column("operation", String(16), nullable=False),
    Column("source_id", Key, nullable=False, index=True),
    Column("profile_id", Key, nullable=False, index=True),
    Column("other_source_id", Key),
    Column("other_profile_id", Key),
    # The event, or the operator, that caused it.
    Column("message_id", String(128), nullable=False),
    Column("who", String(WHO_LENGTH_MAX), nullable=False),
)
# Most lines say that a profile was made, and name nobody else.
Index(
    "ix_identity_history_other_source_id",
    identity_history.c.other_source_id,
    sqlite_where=identity_history.c.other_source_id.is_not(None),
    postgresql_where=identity_history.c.other_source_id.is_not(None),
)
# The same claim again adds nothing; of everything else the links tell whether it is new.
Index(
    "uq_identity_history_claim",
    identity_history.c.source_id,
    identity_history.c.other_source_id,
    unique=True,
    sqlite_where=identity_history.c.operation == CLAIMED,
    postgresql_where=identity_history.c.operation == CLAIMED,
)


class IdentityChange(NamedTuple):
    """One line of the history."""

    id: int
    at_ms: int
    operation: str
    source_id: bytes
    profile_id: bytes
    other_source_id: bytes | None
    other_profile_id: bytes | None
    who: str


_COLUMNS: Final = [identity_history.c[name] for name in IdentityChange._fields]


def add(connection: Connection, rows: Sequence[Row]) -> None:
    insert_new(connection, identity_history, rows)


def of_profile(
    connection: Connection, profile_id: bytes, source_ids: Iterable[bytes]
) -> list[IdentityChange]:
    """Lines about a profile or any of its sources, oldest first."""
    about = _about(profile_id, list(source_ids))
    rows = connection.execute(select(*_COLUMNS).where(about).order_by(identity_history.c.id))
    return [IdentityChange(*row) for row in rows]


def by_id(connection: Connection, number: int) -> IdentityChange | None:
    """One line by its number."""
    row = connection.execute(select(*_COLUMNS).where(identity_history.c.id == number)).first()
    return None if row is None else IdentityChange(*row)


def remove(connection: Connection, profile_id: bytes, source_ids: Iterable[bytes]) -> None:
    """Remove the lines that name a profile or one of its sources, on either side."""
    keys = [profile_id, *source_ids]
    named = [
        column.in_(keys)
        for column in (
            identity_history.c.profile_id,
            identity_history.c.source_id,
            identity_history.c.other_source_id,
            identity_history.c.other_profile_id,
        )
    ]
    connection.execute(delete(identity_history).where(or_(*named)))


def _about(profile_id: bytes, source_ids: Sequence[bytes]) -> ColumnElement[bool]:
    # Whom a claim names did not make it: it is no news of hers.
    met = and_(identity_history.c.other_source_id.in_(source_ids), identity_history.c.operation != CLAIMED)
    own = or_(identity_history.c.profile_id == profile_id, identity_history.c.source_id.in_(source_ids))
    return or_(own, met)
