"""Times and durations as text."""

import re
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Final

from core.errors import ExpressionError

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DURATION: Final = re.compile(r"([+-]?)((?:\d+\.?\d*|\.\d+)(?:ns|us|µs|ms|s|m|h)|0)+")
_PART: Final = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)")
_UNIT_NS: Final = {
    "ns": 1, "us": 1_000, "µs": 1_000, "ms": 1_000_000,
    "s": 1_000_000_000, "m": 60_000_000_000, "h": 3_600_000_000_000,
}  # fmt: skip
_TIMESTAMP: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)


def duration_ms(text: str) -> int:
    """Milliseconds of a duration literal such as `36h`, `-1.5h` or `1h30m`."""
    match = _DURATION.fullmatch(text)
    if not match:
        raise ExpressionError(f"{text!r} is no duration")
    nanoseconds = sum(
        (Fraction(number) * _UNIT_NS[unit] for number, unit in _PART.findall(text)), Fraction(0)
    )
    milliseconds = int(nanoseconds / 1_000_000)
    return -milliseconds if match[1] == "-" else milliseconds


def timestamp_ms(text: str) -> int:
    """Milliseconds since 1970 of an RFC 3339 time; what is finer than a millisecond is cut off."""
    match = _TIMESTAMP.fullmatch(text)
    if not match:
        raise ExpressionError(f"{text!r} is no RFC 3339 time")
    year, month, day, hour, minute, second = (int(match[i]) for i in range(1, 7))
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError as error:
        raise ExpressionError(f"{text!r} is no RFC 3339 time: {error}") from error
    milliseconds = int((match[7] or ".0")[1:].ljust(3, "0")[:3])
    return (moment - EPOCH) // timedelta(milliseconds=1) + milliseconds - _offset_ms(match[8])


def _offset_ms(text: str) -> int:
    if text in "Zz":
        return 0
    hours, minutes = int(text[1:3]), int(text[4:6])
    if hours > 23 or minutes > 59:
        raise ExpressionError(f"{text!r} is no offset from UTC")
    return (hours * 60 + minutes) * (-60_000 if text[0] == "-" else 60_000)


def timestamp_ms_or_none(text: str) -> int | None:
    """The same of text from outside, where another form is no fault but no value."""
    try:
        return timestamp_ms(text)
    except ExpressionError:
        return None


def timestamp_text(ms: int) -> str | None:
    """RFC 3339 in UTC with milliseconds; None outside the years 1 to 9999."""
    try:
        moment = EPOCH + timedelta(milliseconds=ms)
    except OverflowError:
        return None
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z".rjust(24, "0")
