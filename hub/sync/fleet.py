"""What the hub knows of its edges: who is connected, how far each is, which bundle it runs."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from hub.store import edges
from hub.store.engine import Store

EDGES_MAX: Final = 1024
COUNTS_MAX: Final = 64
ERROR_LENGTH_MAX: Final = 200
DECISIONS_DROPPED: Final = "decisions.dropped"


@dataclass
class EdgeStatus:
    """One edge, connected or not."""

    edge_id: str
    connected: bool = False
    last_seen_ms: int = 0
    sequence: int = 0
    bundle_revision: int = 0
    bundle_hash: str = ""
    bundle_error: str = ""
    journal_behind_bytes: int = 0
    counts: dict[str, int] = field(default_factory=dict)

    def row(self) -> edges.EdgeRow:
        return edges.EdgeRow(
            self.edge_id,
            self.last_seen_ms,
            self.sequence,
            self.bundle_revision,
            self.bundle_hash,
            self.bundle_error,
        )


class Fleet:
    """The status of every edge that was ever connected; what must outlive the hub is saved now and then."""

    def __init__(self, store: Store, clock: Callable[[], int]) -> None:
        self._store = store
        self._clock = clock
        self._edges: dict[str, EdgeStatus] = {}

    async def start(self) -> None:
        """Recall the edges of former runs."""
        for row in await self._store.read(edges.read):
            self._edges[row.edge_id] = EdgeStatus(
                row.edge_id,
                last_seen_ms=row.last_seen_ms,
                sequence=row.sequence,
                bundle_revision=row.bundle_revision,
                bundle_hash=row.bundle_hash,
                bundle_error=row.bundle_error,
            )

    def edges(self) -> list[EdgeStatus]:
        """Every edge, by id."""
        return [self._edges[edge_id] for edge_id in sorted(self._edges)]

    def edge(self, edge_id: str) -> EdgeStatus:
        """The status of one edge, new if need be, touched now."""
        status = self._edges.get(edge_id)
        if status is None:
            status = self._edges[edge_id] = EdgeStatus(edge_id)
        status.last_seen_ms = self._clock()
        return status

    def knows(self, edge_id: str) -> bool:
        """Whether the edge may connect: it did before, or there is room for one more."""
        return edge_id in self._edges or len(self._edges) < EDGES_MAX

    async def save(self) -> None:
        """Keep what must outlive the hub."""
        rows = [status.row() for status in self._edges.values()]
        await self._store.write(lambda connection: edges.save(connection, rows))
