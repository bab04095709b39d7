"""What the tasks of the sync process share."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from edge.bell import Bell
from edge.control import Control
from edge.folder import Folder
from edge.overlay import Overlay
from edge.settings import Settings
from edge.status import Status
from edge.sync.bundles import BundleKeeper
from edge.sync.frames import SnapshotKeeper
from edge.sync.journals import JournalUploads
from edge.sync.rows import RowUploads


@dataclass
class Parts:
    """Made by the composition root, used by the stream and the housekeeping."""

    settings: Settings
    folder: Folder
    control: Control
    bells: Sequence[Bell]
    overlay: Overlay
    snapshot: SnapshotKeeper
    bundles: BundleKeeper
    journals: JournalUploads
    rows: RowUploads
    status: Status
    #: Held while the snapshot is written or read as a whole: its writer is for one thread at a time.
    disk: asyncio.Lock = field(default_factory=asyncio.Lock)
    uploads_due: asyncio.Event = field(default_factory=asyncio.Event)
    watermark_moved: asyncio.Event = field(default_factory=asyncio.Event)

    def ring_workers(self) -> None:
        for bell in self.bells:
            bell.ring()
