"""Events kept aside are taken in again once a bundle knows their names."""

from typing import Final

from hub.data.changes import Changes, ChangeSet
from hub.data.ingestor import FAILED, TOO_LARGE, UNKNOWN_NAME, UNKNOWN_PURPOSE, Ingestor, decode
from hub.data.view import BundleView
from hub.errors import InvalidError
from hub.store import quarantine
from hub.store.engine import Connection

STEP: Final = 200
#: What a later bundle, or a repaired hub, may well accept. Bytes that are no event stay aside.
RELEASABLE: Final = (UNKNOWN_NAME, UNKNOWN_PURPOSE, TOO_LARGE, FAILED)
ID_MAX: Final = (1 << 63) - 1


async def release(changes: Changes, ingestor: Ingestor, view: BundleView, reason: str) -> int:
    """Take in again what was kept aside for a reason; returns how many no longer are.

    What is still refused is kept aside anew, behind the last one of this run, so the run ends.
    """
    if reason not in RELEASABLE:
        expected = "one of " + ", ".join(RELEASABLE)
        raise InvalidError(expected=expected, got="another reason", path="$.reason")
    released, before = 0, ID_MAX
    while True:
        step, before = await changes.write(_step, ingestor, view, reason, before)
        released += step
        if not before:
            return released


def _step(
    connection: Connection, changes: ChangeSet, ingestor: Ingestor, view: BundleView, reason: str, before: int
) -> tuple[int, int]:
    """(how many were released, where the next step begins; 0: nothing is left)."""
    rows = quarantine.page(connection, before=before, count=STEP, reason=reason)
    incoming = [decode(row.body, row.edge_id) for row in reversed(rows)]
    quarantine.remove(connection, [row.id for row in rows])
    refused = ingestor.take(connection, changes, view, incoming, again=True)
    return len(rows) - refused, rows[-1].id if len(rows) == STEP else 0
