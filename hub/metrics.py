"""Figures of the hub for Prometheus. Labels are methods, codes and stages; never anything about a person."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

SECONDS_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

Gauges = Callable[[], Mapping[str, float]]


class Metrics:
    """One registry a hub: counted calls and decisions, and gauges read at each scrape."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._calls = Counter(
            "onevoice_hub_rpc",
            "gRPC calls by method and status",
            ("method", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "onevoice_hub_rpc_seconds",
            "Time of gRPC calls by method",
            ("method",),
            buckets=SECONDS_BUCKETS,
            registry=self.registry,
        )
        self._decisions = Counter(
            "onevoice_hub_decisions", "Decided placements by reason", ("reason",), registry=self.registry
        )

    def call(self, method: str, status: str, seconds: float) -> None:
        """Count one gRPC call."""
        self._calls.labels(method, status).inc()
        self._seconds.labels(method).observe(seconds)

    def decided(self, reasons: tuple[str, ...]) -> None:
        """Count the placements of one decision."""
        for reason in reasons:
            self._decisions.labels(reason).inc()

    def watch(self, prefix: str, gauges: Gauges) -> None:
        """Read the gauges at each scrape, each as `PREFIX_NAME`."""
        self.registry.register(_Gauges(prefix, gauges))

    def render(self) -> bytes:
        """The text format of Prometheus."""
        return generate_latest(self.registry)


class _Gauges(Collector):
    def __init__(self, prefix: str, gauges: Gauges) -> None:
        self._prefix = prefix
        self._gauges = gauges

    def describe(self) -> list[Metric]:
        """Nothing before the first scrape: the parts may not run yet."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The values of this moment."""
        for name, value in self._gauges().items():
            yield GaugeMetricFamily(f"{self._prefix}_{name}", name.replace("_", " "), value=value)
