"""Metrics count what closing records say, and gauges are read when somebody asks."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from customhouse.adapters.telemetry.metrics import BUCKETS_SECONDS, RecordMetrics
from customhouse.core.record import Record


def record(outcome: str, took_us: int, server: str = "notes") -> Record:
    return Record(kind="closing", at=0.0, server=server, method="tools/call", outcome=outcome, took_us=took_us)


def samples(metrics: RecordMetrics) -> dict[tuple[str, str, str], float]:
    """Value by sample name, outcome and bucket."""
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {(s.name, s.labels.get("outcome", ""), s.labels.get("le", "")): s.value for family in families for s in family.samples}


def test_exchanges_are_counted_by_server_method_and_outcome() -> None:
    metrics = RecordMetrics({})
    for outcome, took_us in (("answered", 500), ("answered", 3_000), ("UPSTREAM_DIED", 90_000_000)):
        metrics.observe(record(outcome, took_us))
    found = samples(metrics)
    assert found["customhouse_exchanges_total", "answered", ""] == 2
    assert found["customhouse_exchange_seconds_count", "answered", ""] == 2
    assert found["customhouse_exchange_seconds_sum", "answered", ""] == pytest.approx(0.0035)
    assert found["customhouse_exchange_seconds_bucket", "answered", "0.001"] == 1
    assert found["customhouse_exchange_seconds_bucket", "answered", "0.005"] == 2
    assert found["customhouse_exchange_seconds_bucket", "UPSTREAM_DIED", "60.0"] == 0
    assert found["customhouse_exchange_seconds_bucket", "UPSTREAM_DIED", "+Inf"] == 1


@pytest.mark.parametrize("bound", BUCKETS_SECONDS)
def test_a_bucket_holds_what_is_not_above_its_bound(bound: float) -> None:
    metrics = RecordMetrics({})
    metrics.observe(record("answered", round(bound * 1e6)))
    metrics.observe(record("answered", round(bound * 1e6) + 1))
    assert samples(metrics)["customhouse_exchange_seconds_bucket", "answered", str(bound)] == 1


def test_a_gauge_is_read_anew_each_time() -> None:
    values = iter((1.0, 2.0))
    metrics = RecordMetrics({"customhouse_connections": ("Client connections.", lambda: next(values))})
    assert [samples(metrics)["customhouse_connections", "", ""] for _ in range(2)] == [1.0, 2.0]


def test_strange_names_keep_to_their_label() -> None:
    metrics = RecordMetrics({})
    metrics.observe(record("answered", 1, server='a"\n\\'))
    (line,) = [line for line in metrics.exposition().decode().splitlines() if line.startswith("customhouse_exchanges_total")]
    assert r'server="a\"\n\\"' in line
