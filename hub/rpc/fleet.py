"""Fleet: where the hub and each of its edges stand."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from hub.data.intake import Intake
from hub.data.plane import DataPlane
from hub.decisioning.bundles import BundleSource
from hub.decisioning.decision_log import DecisionLog
from hub.errors import UnavailableError
from hub.rpc.interceptor import Context
from hub.store import counters, profiles, quarantine, revisions
from hub.store.engine import Connection
from hub.sync.fleet import EdgeStatus
from hub.sync.fleet import Fleet as Edges
from onevoice.v1 import fleet_pb2, fleet_pb2_grpc

Report = Callable[[], Awaitable[fleet_pb2.StatusResponse]]

#: Counting rows takes longer the more there are, and nobody needs them fresher than this.
COUNTS_SECONDS: Final = 2.0
LOG_SECONDS_MAX: Final = 0.5


class FleetReport:
    """Gathers what is known of the hub and its edges; row counts are a little old."""

    def __init__(
        self,
        node: str,
        plane: DataPlane,
        bundles: BundleSource,
        edges: Edges,
        intake: Intake,
        decision_log: DecisionLog,
        delivery: Callable[[], Mapping[str, int]],
    ) -> None:
        self._node = node
        self._plane = plane
        self._bundles = bundles
        self._edges = edges
        self._intake = intake
        self._decision_log = decision_log
        self._delivery = delivery
        self._counted: dict[str, int] = {"profiles": 0, "quarantined": 0}
        self._counted_until = 0.0

    def gauges(self) -> dict[str, float]:
        """Figures of this moment that cost nothing to read, for Prometheus."""
        bundle = self._bundles.active()
        edges = self._edges.edges()
        latest = self._plane.changes.latest
        return {
            "bundle_revision": bundle.revision if bundle else 0,
            "change_log_sequence": latest,
            "event_log_sequence_applied": self._plane.ingestion.stream_sequence,
            "event_log_restarts": self._plane.event_log.restarts,
            "intake_waiting_bytes": self._intake.waiting_bytes,
            "decision_log_waiting_rows": self._decision_log.waiting,
            "decision_log_dropped_rows": self._decision_log.dropped,
            "edges_connected": sum(edge.connected for edge in edges),
            "edges_behind_max": max((latest - edge.sequence for edge in edges if edge.connected), default=0),
            "profiles": self._counted["profiles"],
            "quarantined": self._counted["quarantined"],
        }

    async def status(self) -> fleet_pb2.StatusResponse:
        """The report."""
        if time.monotonic() > self._counted_until:
            self._counted = await self._plane.store.read(_count)
            self._counted_until = time.monotonic() + COUNTS_SECONDS
        bundle = self._bundles.active()
        counts = {
            **self._counted,
            **self._delivery(),
            "intake.waiting_bytes": self._intake.waiting_bytes,
            "decision_log.waiting_rows": self._decision_log.waiting,
            "decision_log.dropped_rows": self._decision_log.dropped,
        }
        hub = fleet_pb2.HubStatus(
            node=self._node,
            bundle_revision=bundle.revision if bundle else 0,
            bundle_hash=bundle.content_hash if bundle else "",
            epoch=self._plane.changes.epoch,
            sequence=self._plane.changes.latest,
            log_pending=await self._pending(),
            profiles=counts.pop("profiles"),
            quarantined=counts.pop("quarantined"),
            counts=counts,
        )
        return fleet_pb2.StatusResponse(hub=hub, edges=[_edge(edge) for edge in self._edges.edges()])

    async def _pending(self) -> int:
        """Messages that ingestion has not applied; 0 where the log does not say at once."""
        try:
            async with asyncio.timeout(LOG_SECONDS_MAX):
                last, _ = await self._plane.event_log.size()
        except (UnavailableError, TimeoutError):
            return 0
        return max(0, last - self._plane.ingestion.stream_sequence)


def _count(connection: Connection) -> dict[str, int]:
    return {
        **counters.read(connection),
        "profiles": profiles.count(connection),
        "quarantined": sum(quarantine.counts(connection).values()),
        "catalogue.pending": revisions.count_pending(connection),
    }


def _edge(edge: EdgeStatus) -> fleet_pb2.EdgeStatus:
    return fleet_pb2.EdgeStatus(
        edge_id=edge.edge_id,
        connected=edge.connected,
        last_seen_ms=edge.last_seen_ms,
        sequence=edge.sequence,
        bundle_revision=edge.bundle_revision,
        bundle_hash=edge.bundle_hash,
        bundle_error=edge.bundle_error,
        journal_behind_bytes=edge.journal_behind_bytes,
        counts=edge.counts,
    )


class Fleet(fleet_pb2_grpc.FleetServicer):
    """The same report as on the status page."""

    def __init__(self, report: Report) -> None:
        self._report = report

    async def Status(self, request: fleet_pb2.StatusRequest, context: Context) -> fleet_pb2.StatusResponse:
        """Everything known of the fleet."""
        return await self._report()
