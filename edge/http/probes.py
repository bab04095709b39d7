"""`/healthz`, `/readyz`, `/metrics`: any worker tells of the whole edge, from the control page and the
status file.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from core.reasons import REASONS
from edge import control as c
from edge import figures as f
from edge.control import Control
from edge.folder import Folder
from edge.http.events import json_reply
from edge.node import Node
from edge.status import now_ms, read_status

_NO_STORE: Final = {"cache-control": "no-store"}
_COUNTERS: Final = (
    ("events_accepted", "Events answered as accepted", f.EVENTS_ACCEPTED),
    ("events_duplicate", "Events that had been taken before", f.EVENTS_DUPLICATE),
    ("events_rejected", "Messages that are no events", f.EVENTS_REJECTED),
    ("events_dropped", "Behaviour that the person does not allow", f.EVENTS_DROPPED),
    ("events_failed", "Events that disk or queue refused", f.EVENTS_FAILED),
    ("consents", "Consent changes kept", f.CONSENTS),
    ("sealed_dropped", "Identifier traits dropped for want of a sealing key", f.SEALED_DROPPED),
    ("decision_rows", "Decision log rows kept", f.ROWS_LOGGED),
    ("decision_rows_dropped", "Decision log rows dropped by workers", f.ROWS_DROPPED),
    ("http_client_errors", "Answers with a status of 400 to 499", f.HTTP_4XX),
    ("http_server_errors", "Answers with a status of 500 to 599", f.HTTP_5XX),
    ("overloaded", "Decisions not made because the worker was busy", f.OVERLOADED),
    ("deadlines_missed", "Decisions not made because the deadline had passed", f.DEADLINES_MISSED),
)
_EDGE_COUNTERS: Final = (
    ("frames", "Frames applied", c.CELL_FRAMES),
    ("frames_refused", "Frames refused", c.CELL_FRAMES_REFUSED),
    ("bundles_refused", "Bundles refused", c.CELL_BUNDLES_REFUSED),
    ("snapshots", "Snapshots taken", c.CELL_SNAPSHOTS),
    ("journal_uploaded_bytes", "Journal bytes that the hub has acknowledged", c.CELL_UPLOADED_BYTES),
    ("reconnects", "Times that the stream to the hub was begun", c.CELL_RECONNECTS),
    ("process_deaths", "Processes of this edge that died unasked", c.CELL_DEATHS),
    ("decision_rows_uploaded", "Decision log rows that the hub has acknowledged", c.CELL_ROWS_UPLOADED),
    ("decision_rows_lost", "Decision log rows dropped before upload", c.CELL_ROWS_DROPPED),
)
_EDGE_GAUGES: Final = (
    ("sequence", "Change-log sequence of the snapshot", c.CELL_SEQUENCE),
    ("connected", "Whether the stream to the hub is up", c.CELL_CONNECTED),
    ("journal_behind_bytes", "Journal bytes that the hub has not acknowledged", c.CELL_JOURNAL_BEHIND_BYTES),
    ("snapshot_set_aside", "Whether the snapshot was damaged and is being fetched", c.CELL_SET_ASIDE),
)


class EdgeCollector(Collector):
    """Reads the control page at each scrape."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def describe(self) -> list[Metric]:
        """Nothing before the first scrape."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Every figure, summed over the workers."""
        seats, cells = self._control.seats(), self._control.cells
        for name, text, figure in _COUNTERS:
            yield CounterMetricFamily(f"onevoice_edge_{name}", text, value=_sum(seats, figure))
        for name, text, cell in _EDGE_COUNTERS:
            yield CounterMetricFamily(f"onevoice_edge_{name}", text, value=cells[cell])
        for name, text, cell in _EDGE_GAUGES:
            yield GaugeMetricFamily(f"onevoice_edge_{name}", text, value=cells[cell])
        heard_ms = cells[c.CELL_HUB_HEARD_MS]
        if heard_ms:
            age = max(0, now_ms() - heard_ms) / 1000
            yield GaugeMetricFamily(
                "onevoice_edge_hub_heard_seconds", "Time since the hub was heard", value=age
            )
        placements = CounterMetricFamily("onevoice_edge_decisions", "Decided placements", labels=("reason",))
        for index, reason in enumerate(REASONS):
            placements.add_metric((reason,), _sum(seats, f.REASON_FIRST + index))
        yield placements
        yield _histogram(seats)
        revisions = GaugeMetricFamily(
            "onevoice_edge_bundle_revision", "Revision that a worker has active", labels=("worker",)
        )
        for index, seat in enumerate(seats):
            revisions.add_metric((str(index),), seat[c.SEAT_BUNDLE_REVISION])
        yield revisions


class Probes:
    """Handlers of the three."""

    def __init__(self, control: Control, folder: Folder, node: Node, node_name: str) -> None:
        self._control = control
        self._folder = folder
        self._node = node
        self._node_name = node_name
        self._registry = CollectorRegistry()
        self._registry.register(EdgeCollector(control))

    def routes(self) -> list[Route]:
        """All of them."""
        return [
            Route("/healthz", self.health, methods=["GET"]),
            Route("/readyz", self.ready, methods=["GET"]),
            Route("/metrics", self.metrics, methods=["GET"]),
        ]

    async def health(self, _: Request) -> Response:
        """The worker runs and its event loop turns."""
        return json_reply({"status": "ok"})

    async def ready(self, _: Request) -> Response:
        """200 if this edge can decide from a bundle and a snapshot; whether the hub is there does not
        matter.
        """
        engine, snapshot = self._node.engine, self._node.snapshot
        reader = snapshot.reader
        missing = [
            name
            for name, there in (("bundle", engine is not None), ("snapshot", reader is not None))
            if not there
        ]
        bundle = None if engine is None else {"revision": engine.revision, "hash": engine.content_hash}
        content: dict[str, Any] = {
            "ready": not missing,
            "node": self._node_name,
            "missing": missing,
            "bundle": bundle,
            "sequence": self._control.cells[c.CELL_SEQUENCE],
            "connected": bool(self._control.cells[c.CELL_CONNECTED]),
            "stages": msgspec.to_builtins(read_status(self._folder.status)),
        }
        reply = json_reply(content)
        if missing:
            reply.status_code = 503
            reply.headers["retry-after"] = "1"
        return reply

    async def metrics(self, _: Request) -> Response:
        """Prometheus' text format."""
        return Response(
            generate_latest(self._registry), headers={"content-type": CONTENT_TYPE_LATEST, **_NO_STORE}
        )


def _sum(seats: list[memoryview], figure: int) -> int:
    return sum(seat[c.SEAT_FIGURES + figure] for seat in seats)


def _histogram(seats: list[memoryview]) -> HistogramMetricFamily:
    buckets, total = [], 0
    bounds = [*(str(bound / 1e6) for bound in f.BUCKETS_US), "+Inf"]
    for index, bound in enumerate(bounds):
        total += _sum(seats, f.BUCKET_FIRST + index)
        buckets.append((bound, float(total)))
    seconds = _sum(seats, f.DECISION_US_SUM) / 1e6
    return HistogramMetricFamily(
        "onevoice_edge_decision_seconds",
        "Time of a decision in the worker",
        buckets=buckets,
        sum_value=seconds,
    )
