"""What running programs export: the other side of every selector in dashboards and rules."""

import contextlib
import re
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from dashboards import METRIC, Selector
from shown import NOETL_SERVER, NOETL_WORKER, REPORTED_BY_WORKER
from support.postgres import cluster
from support.process import Process, running, wait_for
from support.server import Server, metric, program

Labels = dict[str, str]

# The operator needs a cluster to run in; the end-to-end tests compare this file with a running one.
OPERATOR = Path(__file__).parent / "operator.prom"
# What a scraper adds to each series.
SCRAPED = {"job": "noetl", "instance": "metrics"}

WORKER = [metric(name, "gauge", value) for name, value in REPORTED_BY_WORKER.items()]
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
        for text in (NOETL_WORKER, NOETL_SERVER):
            command += ["--scrape", stack.enter_context(served(text))]
        agent = Process([*command, *AS_NODE], folder / "agent.log")
        stack.enter_context(running(agent))
        wait_for("the agent's and the server's second report", lambda: _reported(server), 30)
        yield Exports(server)


@contextlib.contextmanager
def served(text: str) -> Iterator[str]:
    """The address of a server that answers each GET with this text, as a target does."""

    class Target(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = text.encode()
            self.send_response(200)
            self.send_header("content-type", "text/plain; version=0.0.4")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Target) as target:
        threading.Thread(target=target.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{target.server_port}/metrics"
        finally:
            target.shutdown()


def _reported(server: Server) -> bool:
    text = server.export()
    parts = (
        'noetl_system_cpu_usage_percent{component="node-1"',
        'noetl_process_cpu_percent{component="noetl-server"',
        "noetl_worker_pulls_total{",
        "noetl_events_ingested_total{",
        "noetl_agent_scrape_errors_total{",
    )
    return all(part in text for part in parts)
