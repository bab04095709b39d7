"""What a durable write costs here: said beside every durable figure, because it differs by disk."""

import os
import statistics
import time
from pathlib import Path
from typing import Final

WRITES: Final = 9
WRITE_BYTES: Final = 4096


def fdatasync_ms(folder: Path) -> float:
    """Median time of a small write that is forced to the disk of a folder, in ms."""
    path = folder / f".fdatasync.{os.getpid()}"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        times = []
        for _ in range(WRITES):
            os.write(descriptor, bytes(WRITE_BYTES))
            began = time.perf_counter()
            os.fdatasync(descriptor)
            times.append((time.perf_counter() - began) * 1000)
        return statistics.median(times)
    finally:
        os.close(descriptor)
        path.unlink()
