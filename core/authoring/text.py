"""Readers of the small texts inside a catalogue: durations, timestamps, times of day, shares."""

import datetime as dt
import re
from typing import Final

from core.authoring.types import CLOCK_PATTERN, DURATION_PATTERN, TIMESTAMP_PATTERN

UNITS_MS: Final[dict[str, int]] = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
DURATION_MS_MAX: Final = 36_525 * UNITS_MS["d"]  # a hundred years
MILLION: Final = 1_000_000

_DURATION = re.compile(DURATION_PATTERN)
_TIMESTAMP = re.compile(TIMESTAMP_PATTERN)
_CLOCK = re.compile(CLOCK_PATTERN)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MILLISECOND = dt.timedelta(milliseconds=1)


def duration_ms(text: str) -> int:
    """Milliseconds of "90d", "36h", "15m", "1s" or "500ms". Raises ValueError."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError('a duration such as "90d", "36h", "15m", "1s" or "500ms"')
    value = int(text[: match.start(1)]) * UNITS_MS[match[1]]
    if value > DURATION_MS_MAX:
        raise ValueError("a duration of at most 36525d")
    return value


def timestamp_ms(text: str) -> int:
    """Milliseconds since 1970 UTC of an RFC 3339 time; what is finer than a millisecond is cut. Raises
    ValueError."""
    if _TIMESTAMP.fullmatch(text) is None:
        raise ValueError("a time in RFC 3339, such as 2026-11-23T17:43:29Z")
    try:
        moment = dt.datetime.fromisoformat(text)
        return (moment - _EPOCH) // _MILLISECOND
    except (ValueError, OverflowError):
        raise ValueError("a time that exists, between the years 1 and 9999") from None


def clock_minutes(text: str) -> int:
    """Minutes since midnight of a time of day such as "21:30". Raises ValueError."""
    if _CLOCK.fullmatch(text) is None:
        raise ValueError('a time of day such as "21:30"')
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)


def millionths(share: float) -> int:
    """A share as millionths, rounded half to even."""
    return round(share * MILLION)
