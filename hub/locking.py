"""One hub a data folder: a second one would sign the same revisions and number the same changes."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hub.errors import SettingsError


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; the kernel lets go of it when the process ends, however it ends."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder / "hub.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            message = (
                f"ONEVOICE_DATA_DIR: expected a folder of its own, got {folder}, where a hub runs already"
            )
            raise SettingsError(message, code="in_use") from error
        yield
    finally:
        os.close(descriptor)
