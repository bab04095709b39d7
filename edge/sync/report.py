"""What an edge tells the hub of itself: counters only, nothing about a person."""

from typing import Final

from core.reasons import REASONS
from edge import figures as f
from edge.control import (
    CELL_BUNDLES_REFUSED,
    CELL_DEATHS,
    CELL_FRAMES_REFUSED,
    CELL_SNAPSHOTS,
    SEAT_FIGURES,
    Control,
)

_FIGURES: Final = {
    "decisions": f.DECISIONS,
    "events.accepted": f.EVENTS_ACCEPTED,
    "events.duplicate": f.EVENTS_DUPLICATE,
    "events.rejected": f.EVENTS_REJECTED,
    "events.dropped": f.EVENTS_DROPPED,
    "events.failed": f.EVENTS_FAILED,
    "consents": f.CONSENTS,
    "sealed.dropped": f.SEALED_DROPPED,
    "decisions.dropped": f.ROWS_DROPPED,
    "overloaded": f.OVERLOADED,
    "deadlines_missed": f.DEADLINES_MISSED,
}
_CELLS: Final = {
    "deaths": CELL_DEATHS,
    "frames.refused": CELL_FRAMES_REFUSED,
    "bundles.refused": CELL_BUNDLES_REFUSED,
    "snapshots": CELL_SNAPSHOTS,
}


def counts(control: Control) -> dict[str, int]:
    """Totals since the edge's start, by name."""
    seats = control.seats()
    found = {name: sum(seat[SEAT_FIGURES + figure] for seat in seats) for name, figure in _FIGURES.items()}
    found.update({name: control.cells[cell] for name, cell in _CELLS.items()})
    for index, reason in enumerate(REASONS):
        total = sum(seat[SEAT_FIGURES + f.REASON_FIRST + index] for seat in seats)
        if total:
            found[f"reason.{reason}"] = total
    return found
