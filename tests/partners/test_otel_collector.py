"""OpenTelemetry's Collector in between: what the SDK counts arrives, whoever is killed."""

import contextlib
import json
import os
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from conftest import StartServer
from support.process import Process, free_port, running, wait_for
from test_otlp import value_of

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def collector() -> str:
    """$OTELCOL, what `e2e/cluster/build.sh otelcol` built, or what is installed."""
    built = CACHE / "noetl-metrics-e2e" / "bin" / "otelcol"
    for path in (os.environ.get("OTELCOL"), built, shutil.which("otelcol")):
        if path and Path(path).exists():
            return str(path)
    if os.environ.get("E2E_PROGRAMS") == "built":
        pytest.fail(f"{built} is missing")
    pytest.skip("OpenTelemetry's Collector is not there; e2e/cluster/build.sh otelcol builds it")


@contextlib.contextmanager
def collecting(url: str, folder: Path, senders: int) -> Iterator[str]:
    """A Collector that sends on to a server, so much at once; where it takes metrics."""
    address = f"127.0.0.1:{free_port()}"
    pauses = {"initial_interval": "100ms", "max_interval": "1s", "max_elapsed_time": "0s"}
    pipeline = {"receivers": ["otlp"], "processors": ["batch"], "exporters": ["otlp_http"]}
    exporter = {
        "endpoint": url,
        "retry_on_failure": pauses,
        "sending_queue": {"num_consumers": senders},
    }
    configuration = {
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": address}}}},
        "processors": {"batch": {"timeout": "50ms"}},
        "exporters": {"otlp_http": exporter},
        "service": {
            "telemetry": {"metrics": {"level": "none"}},
            "pipelines": {"metrics": pipeline},
        },
    }
    file = folder / "collector.yaml"
    file.write_text(json.dumps(configuration))
    process = Process([collector(), f"--config={file}"], folder / "collector.log", cwd=folder)
    with running(process):
        host, port = address.split(":")
        process.wait_ready(lambda: socket.create_connection((host, int(port)), 1).close() is None)
        yield f"http://{address}/v1/metrics"


@pytest.mark.parametrize("temporality", ["cumulative", "delta"])
def test_all_arrives_though_the_server_is_killed(
    start_server: StartServer, tmp_path: Path, temporality: str
) -> None:
    port = free_port()
    server = start_server(port=port)
    # Several at once overtake each other, and a delta that comes after a newer one can't be added.
    with collecting(server.url, tmp_path, 1 if temporality == "delta" else 10) as endpoint:
        kind = AggregationTemporality[temporality.upper()]
        exporter = OTLPMetricExporter(
            endpoint, preferred_temporality={Counter: kind, Histogram: kind}
        )
        # It exports when it is told to.
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=float("inf"))
        meters = MeterProvider([reader], Resource({"service.name": "shop"}))
        meter = meters.get_meter("test")
        jobs = meter.create_counter("jobs", "{job}", "Jobs that were done.")
        took = meter.create_histogram("took", "s", explicit_bucket_boundaries_advisory=[0.5, 1])

        def count(turns: range) -> None:
            for _ in turns:
                jobs.add(2, {"kind": "a"})
                took.record(0.2)
                assert meters.force_flush()

        def has(turns: int) -> bool:
            assert value_of(server, "jobs_total", kind="a", component="shop") == 2 * turns
            assert value_of(server, "took_seconds_count") == turns
            assert value_of(server, "took_seconds_bucket", le="0.5") == turns
            return True

        count(range(5))
        wait_for("what was counted", lambda: has(5))
        server.process.stop(signal.SIGKILL)
        count(range(5))
        server = start_server(port=port)
        # Killed while the Collector sends what it kept: it sends that again.
        server.process.stop(signal.SIGKILL)
        server = start_server(port=port)
        count(range(5))
        wait_for("all of it", lambda: has(15), 60)

        def has_history() -> bool:
            rows = server.rows(metric_name="jobs_total")
            assert [row["metric_value"] for row in rows] == [2 * turn for turn in range(15, 0, -1)]
            return True

        wait_for("all that was counted in between", has_history, 60)
        meters.shutdown()
