"""Values of CEL's literals: strings with their escapes, whole numbers, durations, timestamps."""

import datetime as dt
import re
from fractions import Fraction
from typing import Any, Final

from core.authoring.text import timestamp_ms as _catalogue_timestamp_ms

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1
UINT_MAX: Final = 2**64 - 1
#: What the largest int becomes as a double. The specification's suite takes the two for equal.
INT_MAX_DOUBLE: Final = 2.0**63
TIMESTAMP_MS_MIN: Final = -62_135_596_800_000  # 0001-01-01T00:00:00Z
TIMESTAMP_MS_MAX: Final = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z
#: Between two timestamps: as many nanoseconds as an int has, 292 years.
SPAN_MS_MAX: Final = INT_MAX // 1_000_000
DURATION_MS_MAX: Final = 315_576_000_000_000  # ten thousand years, the range of google.protobuf.Duration

_ESCAPES: Final = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "\\": "\\", "?": "?", '"': '"', "'": "'", "`": "`",
}  # fmt: skip
_ESCAPE = re.compile(
    r"\\(?:[xX](?P<hex2>[0-9a-fA-F]{2})|u(?P<hex4>[0-9a-fA-F]{4})|U(?P<hex8>[0-9a-fA-F]{8})"
    r"|(?P<octal>[0-3][0-7]{2})|(?P<single>[abfnrtv\\?\"'`])|(?P<wrong>.?))",
    re.DOTALL,
)
_UNIT_MS: Final = {
    "h": Fraction(3_600_000),
    "m": Fraction(60_000),
    "s": Fraction(1_000),
    "ms": Fraction(1),
    "us": Fraction(1, 1_000),
    "ns": Fraction(1, 1_000_000),
}
_DURATION = re.compile(r"([+-]?)((?:(?:[0-9]{1,20}(?:\.[0-9]{0,20})?|\.[0-9]{1,20})(?:h|ms|us|ns|m|s))+)")
_PART = re.compile(r"([0-9]*\.?[0-9]*)(h|ms|us|ns|m|s)")
_FRACTION = re.compile(r"\.([0-9]+)")


def string_value(text: str) -> str:
    """The value of a string literal with its quotes and prefix. Raises ValueError on an unknown escape."""
    raw = text[0] in "rR"
    body = text[1:] if raw else text
    quotes = 3 if body[:3] in ('"""', "'''") and len(body) >= 6 else 1
    body = body[quotes:-quotes]
    return body if raw or "\\" not in body else _ESCAPE.sub(_unescape, body)


def _unescape(match: re.Match[str]) -> str:
    kind = match.lastgroup
    digits = match[kind] if kind else ""
    if kind == "single":
        return _ESCAPES[digits]
    if kind == "wrong":
        raise ValueError(f"the escape \\{digits}")
    code = int(digits, 8 if kind == "octal" else 16)
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise ValueError(f"the escape {match[0]}, which is no character")
    return chr(code)


def bytes_value(text: str) -> bytes:
    """The value of a bytes literal: what is written is UTF-8, escapes are bytes. Raises ValueError."""
    prefix = 2 if text[1] in "bBrR" else 1
    raw = prefix == 2
    body = text[prefix:]
    quotes = 3 if body[:3] in ('"""', "'''") and len(body) >= 6 else 1
    body = body[quotes:-quotes]
    if raw:
        return body.encode()
    parts, at = [], 0
    for match in _ESCAPE.finditer(body):
        parts += [body[at : match.start()].encode(), _unescaped_byte(match)]
        at = match.end()
    return b"".join([*parts, body[at:].encode()])


def _unescaped_byte(match: re.Match[str]) -> bytes:
    if match.lastgroup in ("hex4", "hex8"):
        raise ValueError(f"the escape {match[0]}, which bytes do not have")
    return _unescape(match).encode("latin-1")


def int_value(text: str) -> int:
    """The value of an integer literal; its sign is an operator of its own, so 2^63 may come."""
    return int(text, 16) if text[:2] == "0x" else int(text)


def fitted(number: Any, other: Any) -> Any:
    """A number as it compares with another one: by its value, but for 2^63 beside the largest int."""
    return INT_MAX if number == INT_MAX_DOUBLE and type(other) is int and other == INT_MAX else number


def uint_value(text: str) -> int:
    """The value of an unsigned literal such as 42u or 0xFFu. Raises ValueError."""
    value = int_value(text[:-1])
    if value > UINT_MAX:
        raise ValueError(f"{text}, which is too large")
    return value


def duration_ms(text: str) -> int:
    """Milliseconds of a CEL duration such as "1h30m" or "-1.5s". Raises ValueError."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError('a duration in h, m, s and ms, such as "36h" or "1h30m"')
    total = sum((Fraction(number) * _UNIT_MS[unit] for number, unit in _PART.findall(match[2])), Fraction(0))
    if total.denominator != 1:
        raise ValueError("a duration of whole milliseconds")
    if total > DURATION_MS_MAX:
        raise ValueError("a duration of at most ten thousand years")
    return -int(total) if match[1] == "-" else int(total)


def timestamp_ms(text: str) -> int:
    """Milliseconds since 1970 UTC of an RFC 3339 time of whole milliseconds. Raises ValueError."""
    fraction = _FRACTION.search(text)
    if fraction is not None and fraction[1][3:].strip("0"):
        raise ValueError("a time of whole milliseconds")
    return _catalogue_timestamp_ms(text)


def timestamp_text(ms: int) -> str:
    """RFC 3339 of milliseconds since 1970, for people."""
    moment = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(milliseconds=ms)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
