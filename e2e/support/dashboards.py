"""The chart's dashboards, asked of a store as Grafana would ask."""

import httpx
from dashboards import DASHBOARDS, METRIC, queries, selectors

from support import collector
from support.kube import Object
from support.operator import SYSTEM, Installation
from support.victoria import series

# What only some installations have: reported here, so that every panel has something to show.
WORKER = {
    "noetl_worker_active_tasks": 3,
    "noetl_worker_queue_size": 5,
    "noetl_worker_concurrent_dispatches": 1,
    "noetl_process_cpu_percent": 12.5,
    "noetl_process_memory_rss_bytes": 5e7,
    "noetl_process_start_time_seconds": 1.7e9,
    "noetl_system_cpu_usage_percent": 40,
    "noetl_system_memory_usage_percent": 30,
    "noetl_uptime_seconds": 100,
}


# What unmodified NoETL exposes and agents scrape: counters and histograms with their labels.
NOETL_WORKER = {
    "noetl_worker_dispatch_errors_total": {"tool_kind": "python"},
    "noetl_worker_pulls_total": {"outcome": "claimed"},
    "noetl_worker_dispatch_duration_seconds": {"tool_kind": "python"},
    "noetl_worker_event_emit_duration_seconds": {"event_type": "call.done"},
    "noetl_worker_pull_duration_seconds": {},
}
NOETL_SERVER = {
    "noetl_command_publish_total": {"pool": "shared"},
    "noetl_events_ingested_total": {"event_type": "call.done", "status": "ok"},
    "noetl_execute_outcomes_total": {"entry": "single", "outcome": "new"},
    "noetl_write_requests_total": {"endpoint": "runtime_register", "status": "ok"},
    "noetl_event_ingest_duration_seconds": {"event_type": "call.done"},
    "noetl_write_request_duration_seconds": {"endpoint": "runtime_register"},
}
# What an agent says of a target.
TARGET = {
    "noetl_agent_scrape_errors_total": {"target": "http://w:9090/metrics", "reason": "timeout"}
}


def exposed(families: dict[str, dict[str, str]]) -> list[Object]:
    """Samples of counters, and of histograms where the name does not say a counter."""
    made: list[Object] = []
    for name, labels in families.items():
        if name.endswith("_total"):
            made.append(collector.gauge(name, 1, **labels) | {"metric_type": "counter"})
        else:
            whole = {"buckets": {"+Inf": 1}, "sum": 1, "count": 1}
            kind = {"metric_name": name, "metric_type": "histogram", "labels": labels}
            made.append(kind | whole)
    return made


def report_what_they_show(installation: Installation, server: httpx.Client) -> None:
    """A worker's metrics, NoETL's server's, and those of an application."""
    server.headers["Authorization"] = f"Bearer {installation.token()}"
    gauges = [collector.gauge(name, value) for name, value in WORKER.items()]
    order = collector.gauge(METRIC, 7, shop="north") | {"metric_type": "counter"}
    for name, kind, samples in (
        ("worker-1", "worker_pool", [*gauges, *exposed(NOETL_WORKER)]),
        (
            "noetl",
            "server_api",
            [collector.gauge("noetl_server_queue_size", 2), *exposed(NOETL_SERVER)],
        ),
        ("shop", "application", [order, *exposed(TARGET)]),
    ):
        # A worker_pool is registered at the path of its own; the others say what they are.
        collector.register(server, name, component_type=kind)
        collector.report(server, name, *samples)


def unanswered(store: httpx.Client, dashboard: str) -> list[str]:
    """Queries that the store refuses, and selectors that no series of it meets."""
    found = []
    for query in queries(DASHBOARDS[dashboard]):
        answer = store.get("/api/v1/query", params={"query": query.expression})
        if answer.status_code != 200 or answer.json()["status"] != "success":
            found.append(f"{query.where}: {answer.text[:300]}")
            continue
        for selector in selectors(query.expression):
            written = ",".join(f"{n}{op}{_quoted(v)}" for n, op, v in selector.matchers)
            if not series(store, f"count({{{written}}})"):
                found.append(f"{query.where}: nothing is {{{written}}}")
    return found


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def reader(space: str) -> str:
    """Name of the binding by which a scraper of that namespace finds the operator's pods."""
    return f"{space}-scraper"


def read_the_operator(space: str, account: str) -> Object:
    """That binding, in the operator's namespace."""
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": reader(space), "namespace": SYSTEM.name},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": space}],
    }
