"""Links between identifiers, crossings, numbered identity history; profiles of before get their links."""

import os
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
KEY = sa.LargeBinary(length=16)
#: As they were when this was written; a migration does not follow the code.
STRENGTH = {"id": 0, "loyalty": 1, "email": 2, "phone": 3, "anon": 4, "device": 5}
KNOWN_TYPES = ("id", "loyalty", "email", "phone")


def upgrade() -> None:
    _make_links()
    _make_crossings()
    _extend_sources()
    _renew_history()


def _make_links() -> None:
    op.create_table(
        "identity_links",
        sa.Column("stronger", KEY, nullable=False),
        sa.Column("weaker", KEY, nullable=False),
        sa.Column("seen_ms", sa.BigInteger(), nullable=False),
        sa.Column("said_ms", sa.BigInteger(), nullable=False),
        sa.Column("decision", sa.String(length=8), nullable=False),
        sa.Column("decided_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("stronger", "weaker", name="pk_identity_links"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_identity_links_weaker", "identity_links", ["weaker"], unique=False)


def _make_crossings() -> None:
    op.create_table(
        "crossings",
        sa.Column("losing_key", KEY, nullable=False),
        sa.Column("winning_key", KEY, nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("losing_key", "winning_key", name="pk_crossings"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_crossings_winning_key", "crossings", ["winning_key"], unique=False)


def _extend_sources() -> None:
    op.add_column("sources", sa.Column("first_ms", sa.BigInteger(), nullable=True))
    op.add_column("sources", sa.Column("linked_ms", sa.BigInteger(), nullable=True))
    op.add_column("sources", sa.Column("own_profile_id", KEY, nullable=True))
    _fill_sources()
    with op.batch_alter_table("sources") as batch:
        for name, kind in (
            ("first_ms", sa.BigInteger()),
            ("linked_ms", sa.BigInteger()),
            ("own_profile_id", KEY),
        ):
            batch.alter_column(name, existing_type=kind, nullable=False)


def _fill_sources() -> None:
    """Give each source a profile of its own, and each profile the links that hold it together."""
    connection = op.get_bind()
    sources = sa.table("sources", *map(sa.column, ("source_id", "kind", "profile_id", "joined_at_ms")))
    profiles = sa.table("profiles", *map(sa.column, ("profile_id", "unit_key", "created_at_ms")))
    query = (
        sa.select(*sources.c, profiles.c.unit_key, profiles.c.created_at_ms)
        .join(profiles, profiles.c.profile_id == sources.c.profile_id)
        .order_by(sources.c.profile_id)
    )
    people: dict[bytes, list[Any]] = {}
    for row in connection.execute(query):
        people.setdefault(row.profile_id, []).append(row)
    filled, links = [], []
    for rows in people.values():
        filled += [_own(row) for row in rows]
        links += list(_links(rows))
    if filled:
        connection.execute(
            sa.text(
                "UPDATE sources SET first_ms = :first, linked_ms = :linked, own_profile_id = :own "
                "WHERE source_id = :source"
            ),
            filled,
        )
    if links:
        names = ("stronger", "weaker", "seen_ms", "said_ms", "decision", "decided_ms")
        connection.execute(sa.insert(sa.table("identity_links", *map(sa.column, names))), links)


def _own(row: Any) -> dict[str, object]:
    leads = row.unit_key == row.source_id
    own = row.profile_id if leads else row.profile_id[:6] + os.urandom(10)
    first_ms = row.created_at_ms if leads else row.joined_at_ms
    return {"source": row.source_id, "first": first_ms, "linked": row.joined_at_ms, "own": own}


def _links(rows: list[Any]) -> Iterator[dict[str, object]]:
    """Links under which the profile comes out as it was, its key included."""
    ordered = sorted(rows, key=lambda row: (STRENGTH[row.kind], row.source_id))
    first, *others = ordered
    for row in others:
        link = {"stronger": first.source_id, "weaker": row.source_id, "said_ms": 0}
        if row.kind in KNOWN_TYPES:
            at_ms = max(row.joined_at_ms, first.joined_at_ms) + 1
            yield {**link, "seen_ms": 0, "decision": "merged", "decided_ms": at_ms}
        elif row.unit_key == row.source_id:
            # The device's key was inherited: its link is that of the log-in which made the person known.
            yield {**link, "seen_ms": first.joined_at_ms, "decision": "", "decided_ms": 0}
        else:
            at_ms = max(row.joined_at_ms, first.joined_at_ms) + 1
            yield {**link, "seen_ms": at_ms, "decision": "", "decided_ms": 0}


def _renew_history() -> None:
    op.execute("CREATE TABLE identity_history_old AS SELECT * FROM identity_history")
    op.drop_table("identity_history")
    op.create_table(
        "identity_history",
        sa.Column("id", NUMBER, autoincrement=True, nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("operation", sa.String(length=16), nullable=False),
        sa.Column("source_id", KEY, nullable=False),
        sa.Column("profile_id", KEY, nullable=False),
        sa.Column("other_source_id", KEY, nullable=True),
        sa.Column("other_profile_id", KEY, nullable=True),
        sa.Column("message_id", sa.String(length=128), nullable=False),
        sa.Column("who", sa.String(length=80), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_identity_history"),
    )
    op.execute(
        "INSERT INTO identity_history (at_ms, operation, source_id, profile_id, other_source_id, "
        "other_profile_id, message_id, who) SELECT at_ms, operation, source_id, profile_id, "
        "CASE WHEN operation = 'claimed' THEN other END, "
        "CASE WHEN operation IN ('kept_apart', 'merge_pending') THEN other END, message_id, '' "
        "FROM identity_history_old ORDER BY id"
    )
    op.drop_table("identity_history_old")
    op.create_index("ix_identity_history_profile_id", "identity_history", ["profile_id"], unique=False)
    op.create_index("ix_identity_history_source_id", "identity_history", ["source_id"], unique=False)
    met, claim = sa.text("other_source_id IS NOT NULL"), sa.text("operation = 'claimed'")
    op.create_index(
        "ix_identity_history_other_source_id",
        "identity_history",
        ["other_source_id"],
        unique=False,
        sqlite_where=met,
        postgresql_where=met,
    )
    op.create_index(
        "uq_identity_history_claim",
        "identity_history",
        ["source_id", "other_source_id"],
        unique=True,
        sqlite_where=claim,
        postgresql_where=claim,
    )
