"""Every example of the metrics guide, as written there, against a real server.

What an example leaves to its reader is filled in: the component is registered first, and the
address `server:8082` is the test's server.
"""

import json
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import httpx
import psycopg
import pytest
from psycopg.types.json import Jsonb

from support.process import Process, clean_environment, running, wait_for
from support.series import of_export, series
from support.server import Server, metric, program

REPORT = """{
  "component_name": "worker-cpu-01",
  "component_type": "worker_pool",
  "metrics": [
    {
      "metric_name": "noetl_system_cpu_usage_percent",
      "metric_type": "gauge",
      "metric_value": 45.2,
      "timestamp": "2024-01-01T12:00:00Z",
      "labels": {
        "component": "worker-cpu-01",
        "hostname": "node-1"
      },
      "help_text": "CPU usage percentage",
      "unit": "percent"
    }
  ]
}"""

SNIPPET = """
import httpx
import datetime

async def report_custom_metric():
    payload = {
        "component_name": "my-worker",
        "component_type": "worker_pool",
        "metrics": [{
            "metric_name": "custom_work_items_processed",
            "metric_type": "counter",
            "metric_value": 150,
            "timestamp": datetime.datetime.now().isoformat(),
            "labels": {"worker_type": "batch_processor"},
            "help_text": "Number of work items processed",
            "unit": "items"
        }]
    }

    async with httpx.AsyncClient() as client:
        await client.post("http://server:8082/api/metrics/report", json=payload)
"""

# Column and type, as the guide's CREATE TABLE has them.
GUIDE_COLUMNS = {
    "metric_id": {"bigint"},
    "runtime_id": {"bigint"},
    "metric_name": {"character varying", "text"},
    "metric_type": {"character varying", "text"},
    "metric_value": {"double precision"},
    "labels": {"jsonb"},
    "help_text": {"text"},
    "unit": {"character varying", "text"},
    "timestamp": {"timestamp with time zone"},
    "created_at": {"timestamp with time zone"},
}


def post_report(server: Server) -> httpx.Response:
    headers = {"Content-Type": "application/json"}
    return server.http.post("/api/metrics/report", content=REPORT, headers=headers)


def test_report_body(server: Server) -> None:
    runtime_id = server.register("worker-cpu-01")

    answer = post_report(server)

    assert answer.status_code == 200, answer.text
    assert answer.json() == {"status": "ok", "runtime_id": runtime_id, "metrics_inserted": 1}
    [row] = server.rows(component_name="worker-cpu-01")
    sent = json.loads(REPORT)["metrics"][0]
    assert datetime.fromisoformat(row["timestamp"].replace("Z", "+00:00")) == datetime(
        2024, 1, 1, 12, tzinfo=timezone.utc
    )
    assert row["labels"]["hostname"] == "node-1"
    for field in ("metric_name", "metric_type", "metric_value", "help_text", "unit"):
        assert row[field] == sent[field], field


def test_report_of_a_component_that_nobody_registered(server: Server) -> None:
    answer = post_report(server)

    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "worker-cpu-01" in answer.json()["detail"]
    assert "register" in answer.json()["detail"]


def test_report_registers_the_component_where_the_server_was_told_so(start_server) -> None:
    server = start_server("--unknown-components", "register")

    answer = post_report(server)

    assert answer.status_code == 200, answer.text
    assert server.component("worker-cpu-01")["component_type"] == "worker_pool"


def test_python_snippet(server: Server, tmp_path: Path) -> None:
    """Its timestamp has no offset; it is taken as UTC, where both sides run here."""
    server.register("my-worker")
    script = tmp_path / "snippet.py"
    snippet = SNIPPET.replace("http://server:8082", server.url)
    script.write_text(f"{snippet}\nimport asyncio\nasyncio.run(report_custom_metric())\n")

    subprocess.run([sys.executable, script], check=True, timeout=30, env=clean_environment())

    [row] = server.rows(component_name="my-worker", metric_name="custom_work_items_processed")
    assert row["metric_value"] == 150
    assert row["metric_type"] == "counter"
    assert row["unit"] == "items"
    assert row["labels"] == {"worker_type": "batch_processor"}
    age = datetime.now(timezone.utc) - datetime.fromisoformat(
        row["timestamp"].replace("Z", "+00:00")
    )
    assert timedelta(0) <= age < timedelta(minutes=1)
    labels = {"component": "my-worker", "component_type": "worker_pool"}
    labels["worker_type"] = "batch_processor"
    assert of_export(server.export())[series("custom_work_items_processed", labels)] == 150


def test_query_by_component_and_name(server: Server) -> None:
    for component in ("worker-cpu-01", "worker-cpu-02"):
        server.register(component)
        server.report(component, metric("cpu_usage", "gauge", 45.2), metric("other", "gauge", 1))

    answer = server.http.get(
        "/api/metrics/query?component_name=worker-cpu-01&metric_name=cpu_usage"
    )

    assert answer.status_code == 200
    body = answer.json()
    assert body["count"] == 1
    assert body["limit"] == 1000
    [row] = body["metrics"]
    assert row["component_name"] == "worker-cpu-01"
    assert row["component_type"] == "worker_pool"
    assert row["metric_name"] == "cpu_usage"
    assert row["metric_value"] == 45.2
    assert {"metric_id", "runtime_id", "labels", "help_text", "unit"} <= row.keys()
    assert {"timestamp", "created_at"} <= row.keys()


def test_self_report(server: Server) -> None:
    runtime_id = server.register("server", "server_api")

    answer = server.http.post("/api/metrics/self-report?component_name=server")

    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["status"] == "ok"
    assert body["component_name"] == "server"
    assert int(body["runtime_id"]) == runtime_id
    assert body["metrics_reported"] > 0
    names = {row["metric_name"] for row in server.rows(component_name="server")}
    assert {"noetl_system_memory_usage_percent", "noetl_process_memory_rss_bytes"} <= names
    assert "noetl_uptime_seconds" in names


def test_export(server: Server) -> None:
    server.register("worker-cpu-01")
    post_report(server)

    answer = server.http.get("/api/metrics/prometheus")

    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    labels = {"component": "worker-cpu-01", "component_type": "worker_pool", "hostname": "node-1"}
    values = of_export(answer.text)
    assert values[series("noetl_system_cpu_usage_percent", labels)] == 45.2
    # Of several help texts for one name, the first to come is exported.
    assert "# HELP noetl_system_cpu_usage_percent " in answer.text
    assert "# TYPE noetl_system_cpu_usage_percent gauge" in answer.text


@pytest.mark.parametrize("table", ["noetl.metrics", "noetl.metric"])
def test_insert_and_select(server: Server, database_url: str, table: str) -> None:
    runtime_id = server.register("worker-cpu-01")
    at = datetime.now(timezone.utc).replace(microsecond=0)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            f"INSERT INTO {table} (metric_id, runtime_id, metric_name, metric_type, metric_value,"
            " labels, help_text, unit, timestamp) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s),"
            " (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [
                *(1, runtime_id, "queue_length", "gauge", 7.5, Jsonb({"queue": "a"}), "Jobs"),
                *("jobs", at - timedelta(seconds=1)),
                *(2, runtime_id, "queue_length", "gauge", 8.5, Jsonb({"queue": "a"}), "Jobs"),
                *("jobs", at),
            ],
        )
        found = connection.execute(
            f"SELECT metric_id, runtime_id, metric_type, metric_value, labels, help_text, unit,"
            f" timestamp, created_at FROM {table} WHERE metric_name = 'queue_length'"
            " ORDER BY timestamp DESC"
        ).fetchall()

    assert len(found) == 2
    assert found[0][0] != found[1][0]
    assert found[0][1:8] == (runtime_id, "gauge", 8.5, {"queue": "a"}, "Jobs", "jobs", at)
    assert found[0][8] is not None
    rows = server.rows(component_name="worker-cpu-01", metric_name="queue_length")
    assert [row["metric_value"] for row in rows] == [8.5, 7.5]


def test_a_report_can_be_read_by_sql(server: Server, database_url: str) -> None:
    server.register("worker-cpu-01")
    post_report(server)

    with psycopg.connect(database_url) as connection:
        found = connection.execute(
            "SELECT r.name, m.metric_value, m.labels->>'hostname', m.timestamp"
            " FROM noetl.metrics m JOIN noetl.runtime r USING (runtime_id)"
            " WHERE m.metric_name = 'noetl_system_cpu_usage_percent' AND r.name = 'worker-cpu-01'"
        ).fetchall()

    assert found == [
        ("worker-cpu-01", 45.2, "node-1", datetime(2024, 1, 1, 12, tzinfo=timezone.utc))
    ]


# The four points of the guide's integration test.


def test_integration_database_schema(server: Server, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        columns = dict(
            connection.execute(
                "SELECT column_name, data_type FROM information_schema.columns"
                " WHERE table_schema = 'noetl' AND table_name = 'metrics'"
            ).fetchall()
        )
        runtime = connection.execute(
            "SELECT column_name FROM information_schema.columns"
            " WHERE table_schema = 'noetl' AND table_name = 'runtime'"
        ).fetchall()

    assert columns.keys() >= GUIDE_COLUMNS.keys()
    for column, types in GUIDE_COLUMNS.items():
        assert columns[column] in types, column
    assert {"runtime_id", "name", "kind", "status", "heartbeat"} <= {name for (name,) in runtime}


def test_integration_endpoints(server: Server) -> None:
    server.register("test-component")
    server.report("test-component", metric("test_metric", "gauge", 42))

    calls = [
        server.http.post("/api/metrics/self-report?component_name=test-component"),
        server.http.get("/api/metrics/query?component_name=test-component"),
        server.http.get("/api/metrics/prometheus"),
        server.http.get("/api/metrics/components"),
    ]

    assert [call.status_code for call in calls] == [200] * 4, [call.text for call in calls]
    assert calls[1].json()["count"] > 1
    assert "test_metric{" in calls[2].text


def test_integration_worker_metrics(server: Server, tmp_path: Path) -> None:
    """An agent configured by the guide's variables; a worker's own values come from a text file."""
    handed_over = tmp_path / "worker.prom"
    handed_over.write_text("noetl_worker_active_tasks 2\nnoetl_worker_queue_size 5\n")
    environment = {
        "NOETL_WORKER_METRICS_INTERVAL": "1",
        "NOETL_WORKER_HEARTBEAT_INTERVAL": "1",
        "NOETL_WORKER_POOL_NAME": "worker-cpu",
        "NOETL_WORKER_ID": "unique-worker-id",
        "NOETL_SERVER_URL": server.url,
    }
    command = [program(), "agent", "--textfile-dir", str(tmp_path)]

    with running(Process(command, tmp_path / "agent.log", environment)):
        wanted = {
            "noetl_system_cpu_usage_percent",
            "noetl_system_memory_usage_percent",
            "noetl_process_memory_rss_bytes",
            "noetl_worker_active_tasks",
            "noetl_worker_queue_size",
        }
        rows = wait_for(
            "the worker's five metrics",
            lambda: (
                (rows := server.rows(component_name="unique-worker-id"))
                and wanted <= {row["metric_name"] for row in rows}
                and rows
            ),
            seconds=20,
        )

    newest = {row["metric_name"]: row["metric_value"] for row in reversed(rows)}
    assert 0 <= newest["noetl_system_cpu_usage_percent"] <= 100
    assert 0 < newest["noetl_system_memory_usage_percent"] <= 100
    assert newest["noetl_process_memory_rss_bytes"] > 100_000
    assert newest["noetl_worker_active_tasks"] == 2
    assert newest["noetl_worker_queue_size"] == 5
    assert server.component("unique-worker-id")["component_type"] in ("worker_pool", "node_agent")


def test_integration_server_metrics(start_server) -> None:
    """A server configured by the guide's variables reports on itself, with no made-up values."""
    server = start_server(NOETL_SERVER_METRICS_INTERVAL="1", NOETL_SERVER_NAME="noetl-server")
    server.register("worker-cpu-01")

    def values() -> dict[str, float]:
        rows = server.rows(component_name="noetl-server")
        newest = {row["metric_name"]: row["metric_value"] for row in reversed(rows)}
        assert newest["noetl_server_active_workers"] == 1
        # The share of a processor needs two looks at it.
        assert 0 <= newest["noetl_system_cpu_usage_percent"] <= 100
        return newest

    newest = wait_for("the server's own metrics", values, seconds=10)
    assert newest["noetl_uptime_seconds"] > 0
    assert 0 < newest["noetl_system_memory_usage_percent"] <= 100
    # Nothing here has a NoETL queue: the metric is absent, not zero.
    assert "noetl_server_queue_size" not in newest


def test_integration_export_format(server: Server) -> None:
    server.register("worker-cpu-01")
    server.report("worker-cpu-01", metric("jobs_total", "counter", 3, labels={"queue": "a"}))

    lines = server.export().splitlines()

    at = lines.index("# TYPE jobs_total counter")
    assert lines[at - 1] == "# HELP jobs_total Help of jobs_total"
    assert lines[at + 1].startswith("jobs_total{")
    assert lines[at + 1].endswith("} 3")
