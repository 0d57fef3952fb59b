"""Metrics as a reader of closing records, so that they cannot disagree with the ledger.

Counted by server, method and outcome, all from closed sets, so the number of series is bounded by the deployment and not by what callers
send.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from customhouse.core.record import Record

BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


@dataclass(slots=True)
class _Series:
    count: int = 0
    seconds: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_SECONDS) + 1))


class RecordMetrics(Collector):
    """Counts exchanges; `gauges` are read when somebody asks."""

    def __init__(self, gauges: Mapping[str, tuple[str, Callable[[], float]]]) -> None:
        self._gauges = gauges
        self._exchanges: dict[tuple[str, str, str], _Series] = {}
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def observe(self, record: Record) -> None:
        """Count one closing record."""
        key = (record.server, record.method, record.outcome)
        series = self._exchanges.get(key)
        if series is None:
            series = self._exchanges[key] = _Series()
        seconds = record.took_us / 1e6
        series.count += 1
        series.seconds += seconds
        series.buckets[bisect_left(BUCKETS_SECONDS, seconds)] += 1

    def exposition(self) -> bytes:
        """All metrics in the Prometheus text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterable[Metric]:
        """See `prometheus_client.registry.Collector`."""
        labels = ("server", "method", "outcome")
        total = CounterMetricFamily("customhouse_exchanges", "Exchanges that were closed.", labels=labels)
        took = HistogramMetricFamily("customhouse_exchange_seconds", "First byte in to record, seconds.", labels=labels)
        for key, series in self._exchanges.items():
            total.add_metric(key, series.count)
            took.add_metric(key, _cumulative(series.buckets), series.seconds)
        yield total
        yield took
        for name, (text, read) in self._gauges.items():
            gauge = GaugeMetricFamily(name, text)
            gauge.add_metric((), read())
            yield gauge


def _cumulative(buckets: Iterable[int]) -> list[tuple[str, float]]:
    names = [*map(str, BUCKETS_SECONDS), "+Inf"]
    running = 0
    rows: list[tuple[str, float]] = []
    for name, count in zip(names, buckets, strict=True):
        running += count
        rows.append((name, running))
    return rows
