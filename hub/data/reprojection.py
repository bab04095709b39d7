"""When a bundle asks for other attributes on the edges, every profile is projected anew, in the background.

It goes through the change log like any change, in steps short enough for ingestion to get its turn, and goes
on where it was after a restart.
"""

import asyncio
from typing import Final

import structlog

from core.frame import PUT_RECORD
from core.record import project, restamp
from hub.data.changes import Changes, ChangeSet, entry_digest
from hub.data.tasks import SteadyTask
from hub.data.view import BundleView
from hub.store import log_state, profiles
from hub.store.engine import Connection

STEP: Final = 200

log = structlog.get_logger(__name__)


class Reprojection:
    """Brings all records to the projection of the bundle in use."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._view: BundleView | None = None
        self._wake = asyncio.Event()
        self._task = SteadyTask("reprojection", self._run)
        self.done = 0  # the projection that all records have, as far as this process knows

    def use(self, view: BundleView) -> None:
        """Work towards this bundle's projection."""
        self._view = view
        self._wake.set()

    def start(self) -> None:
        self._task.start()

    async def stop(self) -> None:
        await self._task.stop()

    async def _run(self) -> None:
        while True:
            view = self._view
            if view is None or self.done == view.projection:
                self._wake.clear()
                await self._wake.wait()
            elif await self._changes.write(_step, view):
                self.done = view.projection
                log.info("records projected", slots=len(view.edge_slots))


def _step(connection: Connection, changes: ChangeSet, view: BundleView) -> bool:
    """Project some records; True when there are no more."""
    state = changes.state
    if state.projection == view.projection:
        return True
    cursor = bytes.fromhex(state.projection_cursor) if state.projection_next == view.projection else b""
    rows = profiles.page(connection, cursor, STEP)
    changed = [row for row in rows if project(row.record, view.edge_slots) != row.edge_record]
    profiles.save(connection, [_projected(row, changes, view) for row in changed])
    finished = len(rows) < STEP
    log_state.write(
        connection,
        projection=view.projection if finished else state.projection,
        projection_next=view.projection,
        projection_cursor="" if finished else rows[-1].profile_id.hex(),
    )
    return finished


def _projected(row: profiles.Profile, changes: ChangeSet, view: BundleView) -> dict[str, object]:
    sequence = changes.number(PUT_RECORD, row.profile_id)
    record = restamp(row.record, sequence, changes.now_ms)
    edge_record = project(record, view.edge_slots)
    changes.put(PUT_RECORD, row.profile_id, edge_record, entry_digest(row.profile_id, row.edge_record))
    return {
        **row._asdict(),
        "record": record,
        "edge_record": edge_record,
        "sequence": sequence,
        "packed_at_ms": changes.now_ms,
    }
