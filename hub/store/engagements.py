"""Engagement: opens and clicks of messages as they came, and whether a person or a machine made them."""

from typing import Final

from sqlalchemy import Boolean, Column, String, Table

from hub.store.metadata import Millis, Number, metadata

OPEN: Final = "open"
CLICK: Final = "click"
LINK_LENGTH_MAX: Final = 512

engagements: Final = Table(
    "engagements",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("message_id", String(32), nullable=False, index=True),
    Column("kind", String(8), nullable=False),
    Column("at_ms", Millis, nullable=False),
    # Null: not judged yet.
    Column("machine", Boolean),
    # Of a click; empty for an open.
    Column("link", String(LINK_LENGTH_MAX), nullable=False),
)
