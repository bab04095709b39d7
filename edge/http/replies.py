"""Replies: the one error shape of the contract, and the few headers that every answer has."""

import re
from typing import Any, Final

import msgspec

from core.errors import CoreError

JSON_TYPE: Final = (b"content-type", b"application/json")
NO_STORE: Final = (b"cache-control", b"no-store")
RETRY_AFTER_SECONDS: Final = 1
_json = msgspec.json.Encoder()
#: How msgspec says what was wrong: "Expected `str`, got `int` - at `$.placements[0]`".
_MSGSPEC = re.compile(r"(?P<what>.*?)(?: - at `(?P<path>[^`]*)`)?", re.DOTALL)
_EXPECTED = re.compile(r"[Ee]xpected (?P<expected>.+?), got (?P<got>.+)")

Header = tuple[bytes, bytes]


class HttpError(CoreError):
    """An answer other than success."""

    def __init__(
        self,
        status: int,
        code: str,
        *,
        message: str = "",
        path: str = "",
        expected: str = "",
        got: str = "",
        retry_after: int | None = None,
        headers: tuple[Header, ...] = (),
    ) -> None:
        super().__init__(message, path=path, expected=expected, got=got)
        self.status = status
        self.code = code
        self.retry_after = retry_after
        self.extra_headers = headers

    @property
    def body(self) -> bytes:
        return error_body(self.code, str(self), self.path, self.expected, self.got)

    def headers(self) -> list[Header]:
        headers = [JSON_TYPE, NO_STORE, *self.extra_headers]
        if self.retry_after is not None:
            headers.append((b"retry-after", b"%d" % self.retry_after))
        return headers


def error_body(code: str, message: str, path: str = "", expected: str = "", got: str = "") -> bytes:
    """`{"error": {"code", "message", "path", "expected", "got"}}`."""
    fields = {"code": code, "message": message, "path": path, "expected": expected, "got": got}
    return _json.encode({"error": fields})


def bad_request(path: str, expected: str, got: str, code: str = "invalid") -> HttpError:
    return HttpError(400, code, path=path, expected=expected, got=got)


def unavailable(code: str, message: str, retry_after: int = RETRY_AFTER_SECONDS) -> HttpError:
    return HttpError(503, code, message=message, retry_after=retry_after)


def from_core(error: CoreError, status: int = 400, code: str = "invalid") -> HttpError:
    """A refusal of the core, said to the caller."""
    return HttpError(
        status, code, message=str(error), path=error.path, expected=error.expected, got=error.got
    )


def from_msgspec(error: msgspec.MsgspecError) -> HttpError:
    """Malformed JSON, or JSON of another shape. msgspec names types and places, never values."""
    if not isinstance(error, msgspec.ValidationError):
        return invalid_json()
    found = _MSGSPEC.fullmatch(str(error))
    what, path = (found["what"], found["path"] or "$") if found else (str(error), "$")
    said = _EXPECTED.fullmatch(what.replace("`", ""))
    if said is not None:
        return bad_request(path, said["expected"], said["got"])
    missing = re.fullmatch(r"Object missing required field (\w+)", what.replace("`", ""))
    if missing is not None:
        return bad_request(f"{path}.{missing[1]}", "a value", "nothing")
    expected = what.replace("`", "").removeprefix("Expected ").removeprefix("expected ")
    return bad_request(path, expected, "another value")


def invalid_json() -> HttpError:
    return HttpError(
        400, "invalid_json", message="the body is not JSON", path="$", expected="JSON", got="other bytes"
    )


def encode(value: Any) -> bytes:
    """JSON bytes."""
    return _json.encode(value)
