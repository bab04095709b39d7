"""A process's place in an edge: which worker it is, the shared page, and the bells between it and the sync
process.
"""

import time
from dataclasses import dataclass

from edge.bell import Bell
from edge.control import Control, make_control
from edge.folder import Folder


@dataclass(frozen=True)
class Seat:
    """What the supervisor hands a worker at spawn. `bell`: the worker hears it; `sync_bell`: the sync
    process does.
    """

    index: int
    folder: Folder
    bell: Bell
    sync_bell: Bell

    def open_control(self) -> Control:
        """Map the control page."""
        return Control(self.folder.control)


def lone_seat(folder: Folder) -> Seat:
    """A seat without a supervisor: one worker alone on a folder of its own."""
    folder.make()
    make_control(folder.control, 1, time.time_ns() // 1_000_000).close()
    return Seat(0, folder, Bell(), Bell())
