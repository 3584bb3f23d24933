"""What is stored is sent on to a real VictoriaMetrics as it comes, whatever ends meanwhile."""

import json
import signal
import subprocess
import time
from pathlib import Path

import httpx

from conftest import StartServer
from support.process import Process, free_port, running, tool, wait_for
from support.server import Server, histogram, metric, program
from test_archive import at


class Store:
    """A VictoriaMetrics that is sent to; its data outlive it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        folder.mkdir()

    def process(self) -> Process:
        command = [
            tool("victoria-metrics"),
            f"-storageDataPath={self.folder / 'data'}",
            f"-httpListenAddr=127.0.0.1:{self.port}",
            "-search.latencyOffset=0s",
            "-loggerLevel=WARN",
        ]
        return Process(command, self.folder / "log", cwd=self.folder)

    def is_ready(self) -> bool:
        return httpx.get(f"{self.url}/health", timeout=5).status_code == 200


def report(server: Server, turn: int) -> None:
    """What a worker says at a time, and something of hours ago."""
    jobs = [
        metric("jobs_total", "counter", turn, labels={"queue": f'"{queue}"'}) for queue in range(20)
    ]
    took = histogram("took_seconds", {"0.1": turn, "1": 2 * turn}, 0.1 * turn)
    server.report("w-1", metric("heat_celsius", "gauge", 0.1 + turn / 3), took, *jobs)
    moment = time.time() - 7200 + turn
    server.report("w-2", metric("heat_celsius", "gauge", -turn, timestamp=at(moment)))
    # Replaced by the next turn.
    server.report("w-2", metric("late_celsius", "gauge", turn, timestamp=at(moment - 3600 - turn)))


def verify(database_url: str, start: float, url: str) -> dict:
    """What both have of it."""
    span = ["--start", at(start), "--match", '{component=~"w-.*"}']
    command = [program(), "verify", "--database-url", database_url, *span]
    ended = subprocess.run(
        [*command, "--victoriametrics-url", url, "-o", "json"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.stdout, ended.stderr
    return json.loads(ended.stdout)


def test_victoriametrics_has_all_though_it_and_the_server_end(
    start_server: StartServer, database_url: str, tmp_path: Path
) -> None:
    start = time.time() - 4 * 3600
    port = free_port()
    store, other = Store(tmp_path / "vm"), Store(tmp_path / "other")
    targets = [
        f"--forward-url={name}={of.url}/api/v1/write"
        for name, of in (("vm", store), ("other", other))
    ]
    server = start_server(*targets, port=port)
    server.register("w-1")
    server.register("w-2")

    def check_same(url: str) -> int:
        found = verify(database_url, start, url)
        counts = [found[what] for what in ("missing", "different", "more")]
        assert counts == [0, 0, 0], found["examples"][:5]
        return found["same"]

    # The other one is away: this one is not hurt.
    with running(store.process()) as process:
        process.wait_ready(store.is_ready)
        for turn in range(10):
            report(server, turn)
        assert wait_for("all of it", lambda: check_same(store.url), 60) >= 10 * 24
    # Nobody is there.
    for turn in range(10, 15):
        report(server, turn)
    # A server that is killed while it has something to send.
    server.process.stop(signal.SIGKILL)
    server = start_server(*targets, port=port)
    with running(store.process()) as process, running(other.process()) as another:
        process.wait_ready(store.is_ready)
        another.wait_ready(other.is_ready)
        for turn in range(15, 20):
            report(server, turn)
        same = wait_for("all of it again", lambda: check_same(store.url), 90)
        assert same >= 20 * 24
        assert wait_for("all of it there too", lambda: check_same(other.url), 90) == same
    dropped = [
        line
        for line in server.http.get("/metrics").text.splitlines()
        if line.startswith("noetl_metrics_forward_samples_dropped_total{")
    ]
    assert [line.split()[-1] for line in dropped] == ["0", "0"]
