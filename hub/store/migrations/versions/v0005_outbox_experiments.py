"""The variants with which a message was decided on: handing it over exposes the person to them."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("outbox", sa.Column("experiments", sa.Text(), server_default="", nullable=False))
