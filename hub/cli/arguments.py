"""Arguments that several commands share."""

import argparse
import time
from collections.abc import Callable
from datetime import UTC, datetime

from core.errors import CoreError
from core.identifiers import parse


def json_option() -> argparse.ArgumentParser:
    """The option that every command has."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser


def person(text: str) -> str:
    """A person, `type:value`; checked here so that a typing error needs no hub."""
    try:
        parse(text)
    except CoreError as error:
        raise argparse.ArgumentTypeError(f"expected {error.expected}, got {error.got}") from error
    return text


def number_between(low: int, high: int) -> Callable[[str], int]:
    """A whole number within limits."""

    def read(text: str) -> int:
        if not text.lstrip("-").isascii() or not text.lstrip("-").isdigit() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"expected a number from {low} to {high}, got {text!r}")
        return int(text)

    return read


def moment(text: str) -> int:
    """Milliseconds since 1970 UTC, or an RFC 3339 time."""
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"expected ms since 1970 or an RFC 3339 time, got {text!r}"
        ) from error
    return round(found.replace(tzinfo=found.tzinfo or UTC).timestamp() * 1000)


def shown_time(at_ms: int) -> str:
    """A moment as people read it."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.") + f"{at_ms % 1000:03d}Z"


def now_ms() -> int:
    """This machine's clock."""
    return time.time_ns() // 1_000_000
