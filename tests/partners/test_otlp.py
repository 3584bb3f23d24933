"""OpenTelemetry's own SDK reports to the server: what it counted is what is stored and exported."""

import psycopg
import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    MetricExportResult,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from support.series import OPENMETRICS, of_export
from support.server import Server

RESOURCE = {"service.name": "shop", "service.instance.id": "a", "host.name": "n1"}


class Exporter(OTLPMetricExporter):
    """The SDK's exporter, which also remembers what became of each export."""

    def __init__(self, server: Server, **options: object) -> None:
        super().__init__(endpoint=f"{server.url}/v1/metrics", **options)
        self.results: list[MetricExportResult] = []

    def export(self, *arguments: object, **options: object) -> MetricExportResult:
        self.results.append(super().export(*arguments, **options))
        return self.results[-1]


def provider(exporter: Exporter, *views: View) -> MeterProvider:
    # It exports when it is told to.
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=float("inf"))
    return MeterProvider([reader], Resource(RESOURCE), views=views)


def value_of(server: Server, metric: str, **labels: str) -> float:
    """The value of the one series that has this name and these labels among its own."""
    found = [
        value
        for (name, pairs), value in of_export(server.export()).items()
        if name == metric and labels.items() <= dict(pairs).items()
    ]
    assert len(found) == 1, (metric, labels, found)
    return float(found[0])


@pytest.mark.parametrize("temporality", ["cumulative", "delta"])
def test_what_the_sdk_counts_is_exported(server: Server, temporality: str) -> None:
    kind = AggregationTemporality[temporality.upper()]
    exporter = Exporter(server, preferred_temporality={Counter: kind, Histogram: kind})
    meters = provider(exporter)
    meter = meters.get_meter("test")
    jobs = meter.create_counter("jobs", "{job}", "Jobs that were done.")
    took = meter.create_histogram("took", "s", explicit_bucket_boundaries_advisory=[0.5, 1])
    queue = meter.create_up_down_counter("queue.size")
    meter.create_observable_gauge("heat", [lambda _: []], "Cel")
    for turn in range(1, 4):
        jobs.add(2, {"kind": "a"})
        took.record(0.2)
        took.record(0.7)
        queue.add(1)
        meters.force_flush()
        assert exporter.results == [MetricExportResult.SUCCESS] * turn
        assert value_of(server, "jobs_total", kind="a", component="shop") == 2 * turn
        assert value_of(server, "took_seconds_bucket", le="0.5") == turn
        assert value_of(server, "took_seconds_count") == 2 * turn
        assert value_of(server, "queue_size") == turn
    assert value_of(server, "target_info", host_name="n1", instance="a") == 1
    rows = server.rows(metric_name="jobs_total")
    assert [row["metric_value"] for row in rows] == [6, 4, 2]
    meters.shutdown()


def test_exponential_histograms_become_classic_ones(server: Server) -> None:
    exporter = Exporter(server)
    view = View(instrument_name="took", aggregation=ExponentialBucketHistogramAggregation())
    meters = provider(exporter, view)
    took = meters.get_meter("test").create_histogram("took", "s")
    values = [0.0, 0.3, 0.7, 1.5, 3.0, 100.0]
    for value in values:
        took.record(value)
    meters.force_flush()
    for bound in (0.5, 1, 2, 4, 128):
        expected = sum(value <= bound for value in values)
        assert value_of(server, "took_seconds_bucket", le=str(float(bound))) == expected, bound
    assert value_of(server, "took_seconds_count") == len(values)
    assert value_of(server, "took_seconds_sum") == pytest.approx(sum(values))
    meters.shutdown()


def test_the_trace_and_the_execution_of_a_measurement_are_found(
    server: Server, database_url: str
) -> None:
    exporter = Exporter(server)
    # What a view leaves out of the labels, exemplars still have.
    meters = provider(exporter, View(instrument_name="*", attribute_keys={"kind"}))
    meter = meters.get_meter("test")
    tracer = TracerProvider().get_tracer("test")
    attributes = {"kind": "a", "noetl.execution_id": "42"}
    with tracer.start_as_current_span("work") as span:
        meter.create_counter("jobs").add(1, attributes)
        meter.create_histogram("took", "s").record(0.2, attributes)
        meter.create_up_down_counter("waiting").add(1, attributes)
    meters.force_flush()
    trace_id = trace.format_trace_id(span.get_span_context().trace_id)
    with psycopg.connect(database_url) as database:
        found = database.execute("select exemplar_labels->>'trace_id' from noetl.exemplars")
        assert found.fetchall() == [(trace_id,)] * 3
    for filters in ({"trace_id": trace_id}, {"execution_id": "42"}):
        answer = server.http.get("/api/metrics/exemplars", params=filters).json()
        names = sorted(one["metric_name"] for one in answer["exemplars"])
        assert names == ["jobs_total", "took_seconds_bucket", "waiting"], filters
        assert all(one["labels"]["kind"] == "a" for one in answer["exemplars"])
        assert not any("execution" in str(one["labels"]) for one in answer["exemplars"])
    [exported] = [line for line in server.export(OPENMETRICS).splitlines() if "jobs_total{" in line]
    assert f'trace_id="{trace_id}"' in exported.partition(" # ")[2]
    meters.shutdown()
