"""A worker's figures, kept in its seat of the control page, so that any worker can show those of all.

Adding to a cell costs some tens of nanoseconds and survives the worker's death. No label says anything
about a person.
"""

from bisect import bisect_left
from typing import Final

from core.reasons import REASONS
from edge.control import SEAT_CELLS, SEAT_FIGURES

DECISIONS = 0
DECISION_US_SUM = 1
EVENTS_ACCEPTED = 2
EVENTS_DUPLICATE = 3
EVENTS_REJECTED = 4
EVENTS_DROPPED = 5  # behaviour without consent
EVENTS_FAILED = 6  # refused by disk or queue
CONSENTS = 7
SEALED_DROPPED = 8  # identifier traits dropped, since no sealing key was known yet
ROWS_LOGGED = 9
ROWS_DROPPED = 10
HTTP_4XX = 11
HTTP_5XX = 12
OVERLOADED = 13
DEADLINES_MISSED = 14
REASON_FIRST = 16
BUCKET_FIRST = REASON_FIRST + 32
#: Upper bounds of the decision time's histogram, microseconds; the last bucket has none.
BUCKETS_US: Final = (50, 100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000)
FIGURE_COUNT: Final = BUCKET_FIRST + len(BUCKETS_US) + 1
assert len(REASONS) <= BUCKET_FIRST - REASON_FIRST
assert FIGURE_COUNT <= SEAT_CELLS - SEAT_FIGURES

REASON_FIGURES: Final = {reason: REASON_FIRST + index for index, reason in enumerate(REASONS)}


class Figures:
    """The figures of one seat."""

    def __init__(self, seat: memoryview) -> None:
        self.cells = seat[SEAT_FIGURES:]

    def add(self, figure: int, count: int = 1) -> None:
        self.cells[figure] += count

    def decided(self, reasons: tuple[str, ...], took_us: int) -> None:
        """Count one decision with the reason of each placement."""
        cells = self.cells
        cells[DECISIONS] += 1
        cells[DECISION_US_SUM] += took_us
        cells[BUCKET_FIRST + bisect_left(BUCKETS_US, took_us)] += 1
        for reason in reasons:
            cells[REASON_FIGURES[reason]] += 1
