"""Outbound messages: signals, journeys, the outbox, suppressions, engagements."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
KEY = sa.LargeBinary(length=16)


def upgrade() -> None:
    _suppressions()
    _signals()
    _journeys()
    _outbox()


def _suppressions() -> None:
    op.create_table(
        "suppressions",
        sa.Column("source_id", KEY, nullable=False),
        sa.Column("channel", sa.String(length=80), nullable=False),
        sa.Column("reason", sa.String(length=16), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.String(length=128), nullable=False),
        sa.PrimaryKeyConstraint("source_id", "channel", "reason", name="pk_suppressions"),
    )
    op.create_table(
        "engagements",
        sa.Column("number", NUMBER, autoincrement=True, nullable=False),
        sa.Column("message_id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("machine", sa.Boolean(), nullable=True),
        sa.Column("link", sa.String(length=512), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_engagements"),
    )
    op.create_index("ix_engagements_message_id", "engagements", ["message_id"], unique=False)


def _signals() -> None:
    op.create_table(
        "signals",
        sa.Column("number", NUMBER, autoincrement=True, nullable=False),
        sa.Column("source_id", KEY, nullable=False),
        sa.Column("event", sa.String(length=128), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("properties", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_signals"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_signals_source_id", "signals", ["source_id"], unique=False)
    op.create_table(
        "signal_cursors",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_signal_cursors"),
    )


def _journeys() -> None:
    op.create_table(
        "journey_instances",
        sa.Column("instance_id", KEY, nullable=False),
        sa.Column("journey_id", sa.String(length=80), nullable=False),
        sa.Column("version", sa.String(length=32), nullable=False),
        sa.Column("source_id", KEY, nullable=False),
        sa.Column("entry", sa.Integer(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("visit", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("due_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("waits_for", sa.String(length=128), nullable=False),
        sa.Column("entered_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("ended_reason", sa.String(length=32), nullable=False),
        sa.Column("lease_owner", sa.String(length=100), nullable=False),
        sa.Column("lease_until_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("instance_id", name="pk_journey_instances"),
    )
    for column in ("source_id", "due_at_ms", "ended_at_ms"):
        op.create_index(f"ix_journey_instances_{column}", "journey_instances", [column], unique=False)
    op.create_table(
        "journey_entries",
        sa.Column("source_id", KEY, nullable=False),
        sa.Column("journey_id", sa.String(length=80), nullable=False),
        sa.Column("entries", sa.Integer(), nullable=False),
        sa.Column("last_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("source_id", "journey_id", name="pk_journey_entries"),
    )
    op.create_table(
        "journey_versions",
        sa.Column("version", sa.String(length=32), nullable=False),
        sa.Column("journey_id", sa.String(length=80), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("version", name="pk_journey_versions"),
    )


def _outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("message_id", sa.String(length=32), nullable=False),
        sa.Column("instance_id", KEY, nullable=True),
        sa.Column("origin", sa.String(length=80), nullable=False),
        sa.Column("source_id", KEY, nullable=False),
        sa.Column("channel", sa.String(length=80), nullable=False),
        sa.Column("placement", sa.String(length=80), nullable=False),
        sa.Column("template", sa.String(length=80), nullable=False),
        sa.Column("provider", sa.String(length=80), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("not_before_ms", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(length=32), nullable=False),
        sa.Column("detail", sa.String(length=200), nullable=False),
        sa.Column("decision_id", sa.String(length=64), nullable=False),
        sa.Column("offer", sa.String(length=80), nullable=False),
        sa.Column("treatment", sa.String(length=80), nullable=False),
        sa.Column("handed_over_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("changed_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("impression", sa.SmallInteger(), nullable=True),
        sa.Column("lease_owner", sa.String(length=100), nullable=False),
        sa.Column("lease_until_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("message_id", name="pk_outbox"),
    )
    for column in ("instance_id", "source_id", "not_before_ms", "state", "changed_at_ms", "impression"):
        op.create_index(f"ix_outbox_{column}", "outbox", [column], unique=False)
