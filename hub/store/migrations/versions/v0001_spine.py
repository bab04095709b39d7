"""The spine: profiles and their sources, identity, consents, change log, positions, quarantine, decisions."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "change_log",
        sa.Column("sequence", NUMBER, autoincrement=False, nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("key", sa.LargeBinary(length=16), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_change_log"),
    )
    op.create_table(
        "consents",
        sa.Column("id", NUMBER, autoincrement=True, nullable=False),
        sa.Column("source_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("purpose", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("effective_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("received_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("text_version", sa.String(length=128), nullable=False),
        sa.Column("source", sa.String(length=128), nullable=False),
        sa.Column("node", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_consents"),
    )
    op.create_index("ix_consents_source_id", "consents", ["source_id"], unique=False)
    op.create_table(
        "counters",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_counters"),
    )
    op.create_table(
        "decisions",
        sa.Column("id", NUMBER, autoincrement=True, nullable=False),
        sa.Column("person_key", sa.LargeBinary(length=16), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("decision_id", sa.String(length=64), nullable=False),
        sa.Column("node", sa.String(length=64), nullable=False),
        sa.Column("row", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_decisions"),
        sa.UniqueConstraint(
            "person_key", "at_ms", "decision_id", name="uq_decisions_person_key_at_ms_decision_id"
        ),
    )
    op.create_table(
        "edges",
        sa.Column("edge_id", sa.String(length=64), nullable=False),
        sa.Column("last_seen_ms", sa.BigInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("bundle_revision", sa.BigInteger(), nullable=False),
        sa.Column("bundle_hash", sa.String(length=64), nullable=False),
        sa.Column("bundle_error", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("edge_id", name="pk_edges"),
    )
    op.create_table(
        "event_ids",
        sa.Column("event_key", sa.LargeBinary(length=16), nullable=False),
        sa.Column("received_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("event_key", name="pk_event_ids"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "identity_history",
        sa.Column("id", NUMBER, autoincrement=True, nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("operation", sa.String(length=16), nullable=False),
        sa.Column("source_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("profile_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("other", sa.LargeBinary(length=16), nullable=False),
        sa.Column("message_id", sa.String(length=128), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_identity_history"),
        sa.UniqueConstraint(
            "operation",
            "source_id",
            "profile_id",
            "other",
            name="uq_identity_history_operation_source_id_profile_id_other",
        ),
    )
    op.create_index("ix_identity_history_profile_id", "identity_history", ["profile_id"], unique=False)
    op.create_index("ix_identity_history_source_id", "identity_history", ["source_id"], unique=False)
    op.create_table(
        "journal_positions",
        sa.Column("journal_id", sa.String(length=32), nullable=False),
        sa.Column("edge_id", sa.String(length=64), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("moved_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("journal_id", name="pk_journal_positions"),
    )
    op.create_table(
        "log_state",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.String(length=32), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("log_floor", sa.BigInteger(), nullable=False),
        sa.Column("stream", sa.String(length=64), nullable=False),
        sa.Column("stream_sequence", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.BigInteger(), nullable=False),
        sa.Column("digest_entries", sa.BigInteger(), nullable=False),
        sa.Column("projection", sa.BigInteger(), nullable=False),
        sa.Column("projection_next", sa.BigInteger(), nullable=False),
        sa.Column("projection_cursor", sa.String(length=32), nullable=False),
        sa.Column("made_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_log_state"),
    )
    op.create_table(
        "profiles",
        sa.Column("profile_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("unit_key", sa.LargeBinary(length=16), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("known", sa.Boolean(), nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.Column("edge_record", sa.LargeBinary(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("packed_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("profile_id", name="pk_profiles"),
    )
    op.create_table(
        "quarantine",
        sa.Column("id", NUMBER, autoincrement=True, nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("source_id", sa.LargeBinary(length=16), nullable=True),
        sa.Column("edge_id", sa.String(length=64), nullable=False),
        sa.Column("received_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("detail", sa.String(length=200), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_quarantine"),
    )
    op.create_index("ix_quarantine_reason", "quarantine", ["reason"], unique=False)
    op.create_index("ix_quarantine_source_id", "quarantine", ["source_id"], unique=False)
    op.create_table(
        "sources",
        sa.Column("source_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("profile_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=False),
        sa.Column("value", sa.String(length=256), nullable=True),
        sa.Column("joined_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["profile_id"], ["profiles.profile_id"], name="fk_sources_profile_id"),
        sa.PrimaryKeyConstraint("source_id", name="pk_sources"),
    )
    op.create_index("ix_sources_profile_id", "sources", ["profile_id"], unique=False)
