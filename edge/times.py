"""Moments as text."""

from datetime import UTC, datetime


def rfc3339(at_ms: int) -> str:
    """Milliseconds since 1970 as `2026-11-23T17:43:29.000Z`."""
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at_ms % 1000:03d}Z"
