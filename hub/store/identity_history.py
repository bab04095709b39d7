"""What happened to identities: profiles made, identifiers joined, claims, merges that wait."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Column, String, Table, UniqueConstraint, delete, or_, select
from sqlalchemy.engine import Connection

from hub.store.metadata import Key, Millis, Number, metadata
from hub.store.statements import Row, insert_new

CREATED: Final = "created"  # a profile was made for this source
JOINED: Final = "joined"  # this source joined an existing profile
CLAIMED: Final = "claimed"  # an unverified statement that `other` is the same person as this source
MERGE_PENDING: Final = "merge_pending"  # both have profiles and one is anonymous: waits to be merged
KEPT_APART: Final = "kept_apart"  # both have profiles and both are known people: never merged by this rule

identity_history: Final = Table(
    "identity_history",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("at_ms", Millis, nullable=False),
    Column("operation", String(16), nullable=False),
    Column("source_id", Key, nullable=False, index=True),
    Column("profile_id", Key, nullable=False, index=True),
    # The other identifier's hash for a claim, the other profile for a merge that waits, else empty.
    Column("other", Key, nullable=False),
    Column("message_id", String(128), nullable=False),
    # The same observation again adds nothing.
    UniqueConstraint("operation", "source_id", "profile_id", "other"),
)


class IdentityChange(NamedTuple):
    """One line of the history."""

    at_ms: int
    operation: str
    source_id: bytes
    profile_id: bytes
    other: bytes


_COLUMNS: Final = [identity_history.c[name] for name in IdentityChange._fields]


def add(connection: Connection, rows: Sequence[Row]) -> None:
    insert_new(connection, identity_history, rows)


def of_profile(
    connection: Connection, profile_id: bytes, source_ids: Iterable[bytes]
) -> list[IdentityChange]:
    """Lines about a profile or any of its sources, oldest first."""
    about = _about(profile_id, source_ids)
    rows = connection.execute(select(*_COLUMNS).where(about).order_by(identity_history.c.id))
    return [IdentityChange(*row) for row in rows]


def remove(connection: Connection, profile_id: bytes, source_ids: Iterable[bytes]) -> None:
    """Remove the lines that name a profile or one of its sources, on either side."""
    keys = [profile_id, *source_ids]
    connection.execute(
        delete(identity_history).where(or_(_about(profile_id, keys), identity_history.c.other.in_(keys)))
    )


def _about(profile_id: bytes, source_ids: Iterable[bytes]):  # type: ignore[no-untyped-def]
    return or_(
        identity_history.c.profile_id == profile_id, identity_history.c.source_id.in_(list(source_ids))
    )
