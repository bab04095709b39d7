"""Timestamps and durations: their text, and the parts of them that an expression can ask for."""

import datetime as dt
import re
from collections.abc import Callable
from typing import Final

from core.cel.general.run import Zones, no_zones
from core.cel.general.values import (
    SECOND_NS,
    Duration,
    Timestamp,
    Value,
    checked_duration,
    checked_timestamp,
)
from core.errors import EvaluationError

_EPOCH: Final = dt.datetime(1970, 1, 1)  # noqa: DTZ001  # all arithmetic is in UTC
_FIRST_DAY: Final = dt.datetime(1, 1, 2)  # noqa: DTZ001
_LAST_DAY: Final = dt.datetime(9999, 12, 30)  # noqa: DTZ001
_UNIT_NS: Final = {
    "h": 3_600 * SECOND_NS,
    "m": 60 * SECOND_NS,
    "s": SECOND_NS,
    "ms": 1_000_000,
    "us": 1_000,
    "µs": 1_000,
    "ns": 1,
}
_NUMBER: Final = r"[0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30}"
_UNIT: Final = r"h|ms|us|µs|ns|m|s"
_DURATION: Final = re.compile(rf"([+-]?)((?:(?:{_NUMBER})(?:{_UNIT}))+|0)")
_PART: Final = re.compile(rf"({_NUMBER})({_UNIT})")
_TIMESTAMP: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,30}))?"
    r"(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)
_OFFSET: Final = re.compile(r"([+-]?)([0-9]{1,2}):([0-9]{2})")


def parse_duration(text: str) -> Duration:
    """The duration of a text such as "1h30m" or "-1.5s"."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise EvaluationError('expected a duration in h, m, s, ms, us and ns, such as "1h30m"')
    ns = sum(_nanoseconds(number, _UNIT_NS[unit]) for number, unit in _PART.findall(match[2]))
    return checked_duration(-ns if match[1] == "-" else ns)


def _nanoseconds(number: str, unit_ns: int) -> int:
    """The part below a nanosecond is cut off."""
    whole, _, fraction = number.partition(".")
    return int(whole or "0") * unit_ns + int(int(fraction or "0") * unit_ns // 10 ** len(fraction))


def parse_timestamp(text: str) -> Timestamp:
    """The moment of an RFC 3339 text."""
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        raise EvaluationError("expected a time in RFC 3339, such as 2026-11-23T17:43:29Z")
    try:
        moment = dt.datetime(*(int(part) for part in match.groups()[:6]))  # type: ignore[arg-type]  # noqa: DTZ001
    except ValueError as error:
        raise EvaluationError("expected a time that exists, between the years 1 and 9999") from error
    seconds = (moment - _EPOCH) // dt.timedelta(seconds=1)
    if match[8]:
        seconds -= _offset_seconds(match[8], match[9], match[10])
    return checked_timestamp(seconds * SECOND_NS + int((match[7] or "0")[:9].ljust(9, "0")))


def _offset_seconds(sign: str, hours: str, minutes: str) -> int:
    if int(hours) > 23 or int(minutes) > 59:
        raise EvaluationError(f"expected an offset of at most 23:59, got {hours}:{minutes}")
    seconds = int(hours) * 3_600 + int(minutes) * 60
    return -seconds if sign == "-" else seconds


def timestamp_text(value: Timestamp) -> str:
    """RFC 3339 in UTC, with as many digits of the second as there are."""
    seconds, ns = divmod(value.ns, SECOND_NS)
    moment = _EPOCH + dt.timedelta(seconds=seconds)
    return f"{moment.isoformat()}{_fraction(ns)}Z"


def duration_text(value: Duration) -> str:
    """Seconds, such as "90s" or "-1.5s"."""
    seconds, ns = divmod(abs(value.ns), SECOND_NS)
    return f"{'-' if value.ns < 0 else ''}{seconds}{_fraction(ns)}s"


def _fraction(ns: int) -> str:
    return f".{ns:09d}".rstrip("0") if ns else ""


def local_time(value: Timestamp, zone: str, zones: Zones) -> dt.datetime:
    """Date and time of day in a zone: a name of the time-zone database, or an offset such as "-02:30"."""
    moment = _EPOCH + dt.timedelta(seconds=value.ns // SECOND_NS)
    match = _OFFSET.fullmatch(zone)
    if match is not None:
        offset = dt.timedelta(seconds=_offset_seconds(match[1], match[2], match[3]))
    elif zone in ("UTC", "Z", ""):
        offset = dt.timedelta(0)
    else:
        offset = _zone_offset(moment, zone, zones)
    try:
        return moment + offset
    except OverflowError as error:
        raise EvaluationError("out of the range of timestamp") from error


def check_offset(zone: str) -> None:
    """Raise EvaluationError for a zone that only a time-zone database knows."""
    try:
        local_time(Timestamp(0), zone, no_zones)
    except EvaluationError as error:
        raise EvaluationError(expected='UTC or an offset such as "+02:00"', got="another zone") from error


def _zone_offset(moment: dt.datetime, name: str, zones: Zones) -> dt.timedelta:
    zone = zones(name)
    if zone is None:
        raise EvaluationError("unknown time zone")
    # A day inside the range of dates, where zones do not change, so that the zone can compute.
    inside = min(max(moment, _FIRST_DAY), _LAST_DAY)
    offset = inside.replace(tzinfo=dt.UTC).astimezone(zone).utcoffset()
    return offset or dt.timedelta(0)


#: What a timestamp answers; months, days of the week and of the year count from 0, Sunday is 0.
TIMESTAMP_PARTS: Final[dict[str, Callable[[dt.datetime], int]]] = {
    "getFullYear": lambda at: at.year,
    "getMonth": lambda at: at.month - 1,
    "getDate": lambda at: at.day,
    "getDayOfMonth": lambda at: at.day - 1,
    "getDayOfWeek": lambda at: at.isoweekday() % 7,
    "getDayOfYear": lambda at: at.timetuple().tm_yday - 1,
    "getHours": lambda at: at.hour,
    "getMinutes": lambda at: at.minute,
    "getSeconds": lambda at: at.second,
}
#: The whole of a duration in a unit, towards zero; milliseconds are those of the last second.
DURATION_PARTS: Final[dict[str, Callable[[int], int]]] = {
    "getHours": lambda ns: ns // _UNIT_NS["h"],
    "getMinutes": lambda ns: ns // _UNIT_NS["m"],
    "getSeconds": lambda ns: ns // SECOND_NS,
    "getMilliseconds": lambda ns: ns // 1_000_000 % 1_000,
}


def part(name: str, value: Value, zone: str, zones: Zones) -> int | None:
    """A part of a timestamp in a zone, or of a duration; None if it has no such part."""
    if type(value) is Duration and name in DURATION_PARTS:
        amount = DURATION_PARTS[name](abs(value.ns))
        return -amount if value.ns < 0 else amount
    if type(value) is not Timestamp:
        return None
    at = local_time(value, zone, zones)
    if name == "getMilliseconds":
        return int(value.ns // 1_000_000 % 1_000)
    return TIMESTAMP_PARTS[name](at) if name in TIMESTAMP_PARTS else None


PARTS: Final = frozenset({*TIMESTAMP_PARTS, *DURATION_PARTS})
