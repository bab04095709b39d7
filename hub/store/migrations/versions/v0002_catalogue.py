"""Submissions, approvals and revisions of the catalogue, the record's layout, the audit record."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("number", NUMBER, autoincrement=True, nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.String(length=80), nullable=False),
        sa.Column("action", sa.String(length=40), nullable=False),
        sa.Column("subject", sa.String(length=160), nullable=False),
        sa.Column("before", sa.Text(), nullable=False),
        sa.Column("after", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_audit"),
    )
    op.create_index("ix_audit_at_ms", "audit", ["at_ms"], unique=False)
    op.create_table(
        "catalogue_submissions",
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("sources", sa.LargeBinary(), nullable=False),
        sa.Column("submitted_by", sa.String(length=80), nullable=False),
        sa.Column("submitted_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("base_revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("content_hash", name="pk_catalogue_submissions"),
    )
    op.create_table(
        "catalogue_approvals",
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("user", sa.String(length=80), nullable=False),
        sa.Column("role", sa.String(length=80), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["content_hash"],
            ["catalogue_submissions.content_hash"],
            name="fk_catalogue_approvals_content_hash",
        ),
        sa.PrimaryKeyConstraint("content_hash", "user", name="pk_catalogue_approvals"),
    )
    op.create_table(
        "catalogue_revisions",
        sa.Column("revision", NUMBER, autoincrement=False, nullable=False),
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("approvals", sa.Text(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("published_by", sa.String(length=80), nullable=False),
        sa.Column("published_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("rollback_of", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["content_hash"],
            ["catalogue_submissions.content_hash"],
            name="fk_catalogue_revisions_content_hash",
        ),
        sa.PrimaryKeyConstraint("revision", name="pk_catalogue_revisions"),
    )
    op.create_table(
        "record_layout",
        sa.Column("slot", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(length=160), nullable=False),
        sa.Column("fingerprint", sa.String(length=256), nullable=False),
        sa.PrimaryKeyConstraint("slot", name="pk_record_layout"),
        sa.UniqueConstraint("name", "fingerprint", name="uq_record_layout_name_fingerprint"),
    )
