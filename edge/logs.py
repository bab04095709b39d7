"""Log lines: one JSON object each on standard error. Fields are ids, codes and counts, never anything about
a person. What an exception says may quote a person's data, so of an exception only its type and its places
are logged.

Small on purpose: every process of an edge starts anew after a death, and a logging library's import would
be a third of that start.
"""

import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
FRAMES_MAX: Final = 12
MESSAGE_SHOWN_MAX: Final = 200
_json = msgspec.json.Encoder(enc_hook=repr)


class Log:
    """The log of one process; `configure` says which and from what level on."""

    def __init__(self) -> None:
        self._process = ""
        self._least = LEVELS["info"]

    def configure(self, process: str, level: str) -> None:
        self._process, self._least = process, LEVELS[level]

    def debug(self, event: str, **fields: Any) -> None:
        self._write("debug", event, fields)

    def info(self, event: str, **fields: Any) -> None:
        self._write("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        self._write("warning", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        self._write("error", event, fields)

    def exception(self, event: str, **fields: Any) -> None:
        """An error, with type and places of the exception that is being handled."""
        self._write("error", event, {**fields, **_outline(sys.exception())})

    def _write(self, level: str, event: str, fields: dict[str, Any]) -> None:
        if LEVELS[level] < self._least:
            return
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = {"at": at, "level": level, "process": self._process, "event": event, **fields}
        sys.stderr.buffer.write(_json.encode(line) + b"\n")
        sys.stderr.buffer.flush()


class Libraries(logging.Handler):
    """Takes what libraries say through the standard library into the same log, without their tracebacks'
    texts.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """One record as one line."""
        error = record.exc_info[1] if record.exc_info else None
        # Arguments may be values or an exception's text, and so may lines after the first (asyncio's are).
        said = str(record.msg).partition("\n")[0][:MESSAGE_SHOWN_MAX]
        log.error("library failed", logger=record.name, message=said, **_outline(error))


def _outline(error: BaseException | None) -> dict[str, Any]:
    if error is None:
        return {}
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES_MAX:]
    places = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    return {"error": type(error).__name__, "places": places}


log: Final = Log()
