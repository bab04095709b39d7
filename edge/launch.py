"""What a spawned process runs. Each imports its own world here and nowhere else, so that only the sync
process holds grpc.
"""

import socket
from collections.abc import Sequence

from edge.bell import Bell
from edge.folder import Folder
from edge.seat import Seat
from edge.settings import Settings


def run_worker(settings: Settings, seat: Seat, listener: socket.socket, supervisor_pid: int) -> None:
    """A worker process."""
    from edge import worker

    worker.run_worker(settings, seat, listener, supervisor_pid)


def run_sync(
    settings: Settings, folder: Folder, bell: Bell, bells: Sequence[Bell], supervisor_pid: int
) -> None:
    """The sync process."""
    from edge.sync import process

    process.run_sync(settings, folder, bell, bells, supervisor_pid)
