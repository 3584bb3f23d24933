"""The chart's dashboards, asked of a store as Grafana would ask."""

import httpx
from dashboards import DASHBOARDS, METRIC, queries, selectors
from prometheus_client.parser import text_string_to_metric_families
from shown import NOETL_SERVER, NOETL_WORKER, REPORTED_BY_WORKER

from support import collector
from support.kube import Object
from support.operator import SYSTEM, Installation
from support.victoria import series

# What an agent says of a target.
TARGET = collector.gauge(
    "noetl_agent_scrape_errors_total", 1, target="http://w:9090/metrics", reason="timeout"
) | {"metric_type": "counter"}


def exposed(text: str) -> list[Object]:
    """An exposition's samples, each as a report has it."""
    made: list[Object] = []
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            one = collector.gauge(sample.name, sample.value, **sample.labels)
            made.append(one | {"metric_type": family.type})
    return made


def report_what_they_show(installation: Installation, server: httpx.Client) -> None:
    """A worker's metrics, NoETL's server's, and those of an application."""
    server.headers["Authorization"] = f"Bearer {installation.token()}"
    gauges = [collector.gauge(name, value) for name, value in REPORTED_BY_WORKER.items()]
    order = collector.gauge(METRIC, 7, shop="north") | {"metric_type": "counter"}
    for name, kind, samples in (
        ("worker-1", "worker_pool", [*gauges, *exposed(NOETL_WORKER)]),
        (
            "noetl",
            "server_api",
            [collector.gauge("noetl_server_queue_size", 2), *exposed(NOETL_SERVER)],
        ),
        ("shop", "application", [order, TARGET]),
    ):
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
