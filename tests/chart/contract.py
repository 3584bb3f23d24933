"""What running programs export: the other side of every selector in dashboards and rules."""

import contextlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from dashboards import METRIC, Selector
from support.postgres import cluster
from support.process import Process, running, wait_for
from support.server import Server, metric, program

Labels = dict[str, str]

# The operator needs a cluster to run in; the end-to-end tests compare this file with a running one.
OPERATOR = Path(__file__).parent / "operator.prom"
# What a scraper adds to each series.
SCRAPED = {"job": "noetl", "instance": "metrics"}

WORKER = [
    metric("noetl_worker_active_tasks", "gauge", 3),
    metric("noetl_worker_queue_size", "gauge", 5),
    metric("noetl_process_cpu_percent", "gauge", 12.5),
    metric("noetl_process_memory_rss_bytes", "gauge", 5e7),
    metric("noetl_process_start_time_seconds", "gauge", 1.7e9),
    metric("noetl_system_cpu_usage_percent", "gauge", 40),
    metric("noetl_system_memory_usage_percent", "gauge", 30),
    metric("noetl_uptime_seconds", "gauge", 100),
]
SHOP = [metric(METRIC, "counter", 7, labels={"shop": "north"})]
QUEUE = [metric("noetl_server_queue_size", "gauge", 2)]

AS_NODE = ["--worker-id", "node-1", "--component-type", "node_agent"]


@dataclass(frozen=True)
class Exports:
    """A running server, and the series that a scraper of all endpoints would have."""

    server: Server

    def series(self) -> list[Labels]:
        """All series with their names as the label `__name__`, and with what a scraper adds."""
        texts = [self.server.export(), self.server.http.get("/metrics").text]
        texts.append(OPERATOR.read_text())
        return [labels | SCRAPED for text in texts for labels in series(text)]


def series(text: str) -> Iterator[Labels]:
    """The series of an exposition in the text format."""
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            yield {**sample.labels, "__name__": sample.name}


def meets(labels: Labels, selector: Selector) -> bool:
    """Whether a series is one that the selector selects."""
    for name, operator, value in selector.matchers:
        has = labels.get(name, "")
        wanted = re.fullmatch(value, has) is not None if "~" in operator else has == value
        if wanted != (not operator.startswith("!")):
            return False
    return True


def unmet(selectors: Iterable[Selector], exported: list[Labels]) -> list[Selector]:
    """Those selectors that no series meets."""
    return [one for one in selectors if not any(meets(labels, one) for labels in exported)]


@contextlib.contextmanager
def exports(folder: Path) -> Iterator[Exports]:
    """A server and what reports to it: this machine's agent, a worker, NoETL's server, a shop."""
    with cluster() as postgres, contextlib.ExitStack() as stack:
        database = postgres.url(postgres.new_database())
        server = Server(database, folder / "server.log", "--metrics-interval", "1s")
        stack.enter_context(running(server.process))
        stack.callback(server.http.close)
        server.wait_ready()
        reporters = {
            "worker-1": ("worker_pool", WORKER),
            "noetl": ("server_api", QUEUE),
            "shop": ("application", SHOP),
        }
        for name, (kind, metrics) in reporters.items():
            server.register(name, kind)
            server.report(name, *metrics)
        command = [program(), "agent", "--server-url", server.url, "--metrics-interval", "1s"]
        agent = Process([*command, *AS_NODE], folder / "agent.log")
        stack.enter_context(running(agent))
        wait_for("the agent's and the server's second report", lambda: _reported(server), 30)
        yield Exports(server)


def _reported(server: Server) -> bool:
    text = server.export()
    of_node = 'noetl_system_cpu_usage_percent{component="node-1"'
    return of_node in text and 'noetl_process_cpu_percent{component="noetl-server"' in text
