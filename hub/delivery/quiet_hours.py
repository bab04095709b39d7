"""Quiet hours: whether it is night where the person is, and when that ends."""

from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from core.bundle import Outbound

MINUTE_MS: Final = 60_000
DAY_MINUTES: Final = 24 * 60
ZONES_MAX: Final = 1_024
NAME_LENGTH_MAX: Final = 64


def quiet_until(outbound: Outbound, channel: str, time_zone: object, now_ms: int) -> int | None:
    """The moment (ms) at which the quiet hours that now is in end; None outside of them.

    `time_zone`: the person's own, as her profile says it; the catalogue's is used where that is none. Spans
    that touch count as one.
    """
    spans = [(one.start, one.end) for one in outbound.quiet_hours if channel in one.channels]
    if not spans:
        return None
    zone = zone_of(time_zone) or zone_of(outbound.time_zone) or UTC
    until_ms = now_ms
    for _ in range(len(spans) + 1):
        later = max((_end_of(span, zone, until_ms) for span in spans), default=until_ms)
        if later == until_ms:
            break
        until_ms = later
    return until_ms if until_ms > now_ms else None


def _end_of(span: tuple[int, int], zone: tzinfo, at_ms: int) -> int:
    """The end of a span that a moment lies in; the moment itself if it does not."""
    start, end = span
    local = datetime.fromtimestamp(at_ms / 1000, zone)
    minute = local.hour * 60 + local.minute
    inside = start <= minute < end if start < end else minute >= start or minute < end
    if not inside:
        return at_ms
    # On the wall clock, so that a night with a change of the clock ends when people say it does.
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    day = midnight if minute < end else midnight + timedelta(days=1)
    ended = day.replace(hour=end // 60, minute=end % 60)
    return max(round(ended.timestamp() * 1000), at_ms + 1)


def zone_of(name: object) -> ZoneInfo | None:
    """A time zone by its IANA name, such as Europe/Berlin; None for anything else."""
    return _zone(name) if isinstance(name, str) and 0 < len(name) <= NAME_LENGTH_MAX else None


@lru_cache(maxsize=ZONES_MAX)
def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        # Not a zone: what a trait says need not be one, and a name may also be a path's.
        return None
