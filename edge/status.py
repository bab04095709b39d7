"""What each stage of an edge last did: kept by the sync process in one file, shown by every worker's
/readyz.
"""

import time
from pathlib import Path

import msgspec

from edge.folder import replace_file

STATUS_BYTES_MAX = 64 * 1024


class Stage(msgspec.Struct):
    """One stage: times are ms since 1970, 0 for never; `error` is a code, empty after a success."""

    last_request_ms: int = 0
    last_success_ms: int = 0
    error: str = ""

    def begin(self) -> None:
        self.last_request_ms = now_ms()

    def succeed(self) -> None:
        self.last_success_ms = now_ms()
        self.error = ""

    def fail(self, code: str) -> None:
        self.error = code


class Status(msgspec.Struct):
    """The stages of the sync process."""

    stream: Stage = msgspec.field(default_factory=Stage)
    bundle: Stage = msgspec.field(default_factory=Stage)
    snapshot: Stage = msgspec.field(default_factory=Stage)
    frames: Stage = msgspec.field(default_factory=Stage)
    journal: Stage = msgspec.field(default_factory=Stage)
    decisions: Stage = msgspec.field(default_factory=Stage)
    epoch: str = ""
    sequence: int = 0
    bundle_revision: int = 0
    #: Newest frame's way, ms: from the log's acknowledgement to each stage, and to being applied here.
    frame_stages_ms: list[int] = []


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def write_status(path: Path, status: Status) -> None:
    """Replace the file; it need not survive a power loss."""
    replace_file(path, msgspec.json.encode(status), durable=False)


def read_status(path: Path) -> Status:
    """The file's content; nothing done yet if there is none."""
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(STATUS_BYTES_MAX), type=Status)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return Status()
