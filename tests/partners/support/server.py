"""The program under test: its server as a process, and its HTTP interface."""

import os
import ssl
import subprocess
from pathlib import Path
from typing import Any

import httpx

from support.process import ROOT, Process, free_port


def program() -> str:
    """Path of noetl-metrics: $NOETL_METRICS_BIN, else what cargo built, debug before release."""
    if given := os.environ.get("NOETL_METRICS_BIN"):
        return given
    target = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
    for profile in ("debug", "release"):
        built = target / profile / "noetl-metrics"
        if built.exists():
            return str(built)
    raise AssertionError("noetl-metrics is not built; run cargo build")


def run(*arguments: str, **options: Any) -> str:
    """Runs the program to its end and returns what it printed."""
    done = subprocess.run(
        [program(), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        **options,
    )
    assert done.returncode == 0, f"{arguments} ended with {done.returncode}: {done.stderr}"
    return done.stdout


class Server:
    """A server that is ready, and calls of its endpoints."""

    def __init__(
        self,
        database_url: str,
        log: Path,
        *flags: str,
        port: int | None = None,
        tls: ssl.SSLContext | None = None,
        **env: str,
    ):
        self.port = port or free_port()
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        command = [program(), "server", "--listen", f"127.0.0.1:{self.port}"]
        self.process = Process([*command, "--database-url", database_url, *flags], log, env=env)
        self.http = httpx.Client(base_url=self.url, timeout=20, verify=tls or True)

    def wait_ready(self) -> "Server":
        """Waits until the server takes requests."""
        self.process.wait_ready(lambda: self.http.get("/readyz").status_code == 200)
        return self

    def register(self, name: str, component_type: str = "worker_pool") -> int:
        """Registers a component; its runtime id."""
        body = {"name": name, "component_type": component_type}
        answer = self.http.post("/api/worker/pool/register", json=body)
        assert answer.status_code == 200, answer.text
        return int(answer.json()["runtime_id"])

    def report(self, component_name: str, *metrics: dict, **fields: Any) -> dict:
        """Reports metrics of a registered component; all of them must be taken."""
        body = {"component_name": component_name, **fields, "metrics": list(metrics)}
        answer = self.http.post("/api/metrics/report", json=body)
        assert answer.status_code == 200, answer.text
        taken = answer.json()
        assert taken["status"] == "ok", taken
        assert not taken.get("rejected"), taken
        return taken

    def rows(self, **filters: str | int) -> list[dict]:
        """All rows that the query endpoint has for the filters, newest first."""
        rows: list[dict] = []
        page: dict[str, str | int] = {}
        while True:
            answer = self.http.get("/api/metrics/query", params={**filters, **page})
            assert answer.status_code == 200, answer.text
            body = answer.json()
            assert body["count"] == len(body["metrics"])
            rows += body["metrics"]
            if not body.get("next_page_token"):
                return rows
            page = {"page_token": body["next_page_token"]}

    def export(self, accept: str | None = None, **filters: str) -> str:
        """The export for scrapers; `accept` asks for a format."""
        headers = {"Accept": accept} if accept else {}
        answer = self.http.get("/api/metrics/prometheus", headers=headers, params=filters)
        assert answer.status_code == 200, answer.text
        return answer.text

    def component(self, name: str) -> dict:
        """What the server says of a component."""
        answer = self.http.get("/api/metrics/components")
        assert answer.status_code == 200, answer.text
        return next(row for row in answer.json()["components"] if row["name"] == name)


def metric(name: str, kind: str, number: float | str, **more: Any) -> dict:
    """One entry of a report's list."""
    help_text = f"Help of {name}"
    entry = {"metric_name": name, "metric_type": kind, "metric_value": number}
    return {**entry, "help_text": help_text, **more}


def histogram(name: str, buckets: dict[str, int], total: float, **more: Any) -> dict:
    """A whole histogram; `buckets` are cumulative, without the last one."""
    count = max(buckets.values(), default=0) + 1
    whole = {"buckets": {**buckets, "+Inf": count}, "sum": total, "count": count}
    entry = {"metric_name": name, "metric_type": "histogram", "help_text": f"Help of {name}"}
    return {**entry, **whole, **more}


def summary(name: str, quantiles: dict[str, float], total: float, count: int, **more: Any) -> dict:
    """A whole summary."""
    whole = {"quantiles": quantiles, "sum": total, "count": count}
    entry = {"metric_name": name, "metric_type": "summary", "help_text": f"Help of {name}"}
    return {**entry, **whole, **more}
