"""The hub's log: one JSON object a line on standard error, without personal data.

What an exception says may quote a person's data, so of an exception only its type and its places are logged.
"""

import logging
import sys
import traceback
from typing import Final

import structlog
from structlog.typing import EventDict, WrappedLogger

FRAMES_MAX: Final = 12
#: Libraries that have something to say only when it matters.
QUIET: Final = ("alembic", "asyncio", "grpc", "nats", "uvicorn", "sqlalchemy")


def configure(level: str) -> None:
    """Send structlog and the standard library's logging to standard error as JSON."""
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _without_text,
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(level=number, handlers=[handler], force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))


def _without_text(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Replace an exception by its type and the places it passed."""
    info = event.pop("exc_info", None)
    error = sys.exc_info()[1] if info is True else info[1] if isinstance(info, tuple) else info
    if isinstance(error, BaseException):
        frames = traceback.extract_tb(error.__traceback__)[-FRAMES_MAX:]
        event["error"] = type(error).__name__
        event["at"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    return event
