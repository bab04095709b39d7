"""Where everything lies below an edge's data folder, and how files there are replaced."""

import fcntl
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge.errors import EdgeError

PRIVATE_FOLDER_MODE: Final = 0o700
PRIVATE_FILE_MODE: Final = 0o600
LOCK_POLL_SECONDS: Final = 0.02


@dataclass(frozen=True)
class Folder:
    """The data folder of one edge."""

    root: Path

    @property
    def lock(self) -> Path:
        """Held by the one supervisor of the folder."""
        return self.root / "lock"

    @property
    def running(self) -> Path:
        """There while an edge runs: found at start, the last stop was not clean."""
        return self.root / "running"

    @property
    def control(self) -> Path:
        return self.root / "control"

    @property
    def journals(self) -> Path:
        return self.root / "journals"

    def journal(self, index: int) -> Path:
        """The journal of one worker."""
        return self.journals / f"{index:03d}"

    @property
    def overlay(self) -> Path:
        return self.root / "overlay"

    @property
    def snapshots(self) -> Path:
        return self.root / "snapshots"

    @property
    def bundle(self) -> Path:
        return self.root / "bundle.active"

    @property
    def bundle_before(self) -> Path:
        """The bundle that was active before; put back if workers cannot load the new one."""
        return self.root / "bundle.before"

    @property
    def hub_keys(self) -> Path:
        """What the hub said at Welcome and workers need: the sealing key."""
        return self.root / "hub.keys"

    @property
    def decisions(self) -> Path:
        """Files of the decision log that wait for upload."""
        return self.root / "decisions"

    @property
    def status(self) -> Path:
        return self.root / "status.json"

    def make(self) -> None:
        """Create the folders that are always there."""
        for path in (self.root, self.journals, self.overlay, self.snapshots, self.decisions):
            path.mkdir(mode=PRIVATE_FOLDER_MODE, parents=True, exist_ok=True)


def replace_file(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Put a whole file in place of another: after a crash there is the old one or the new one."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_FILE_MODE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    draft.replace(path)
    if durable:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def hold_lock(path: Path, seconds: float) -> int:
    """Take an exclusive lock on a file, waiting for a holder that is just dying; its descriptor.

    Raises
    ------
    EdgeError
        Another process holds it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE_FILE_MODE)
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= deadline:
                os.close(descriptor)
                raise EdgeError(
                    expected="a folder of no other edge", got="a locked one", path=str(path)
                ) from error
            time.sleep(LOCK_POLL_SECONDS)
        else:
            return descriptor
