"""What is stored is sent on to VictoriaMetrics' cluster version, whatever of it ends."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from conftest import StartServer
from support.process import Process, free_port, running, wait_for
from support.server import program
from test_archive import at
from test_forwarding import report, verify

PROGRAMS = os.environ.get("VM_CLUSTER_BIN")
TENANT = "7:1"

pytestmark = pytest.mark.skipif(
    not PROGRAMS,
    reason="VM_CLUSTER_BIN names no folder with VictoriaMetrics' cluster, which no registry serves",
)


class Node:
    """One program of the cluster; started again, it has the ports and data that it had."""

    def __init__(self, name: str, folder: Path, *flags: str):
        self.name, self.folder = name, folder
        self.port = free_port()
        self.command = [
            f"{PROGRAMS}/{name}",
            f"-httpListenAddr=127.0.0.1:{self.port}",
            "-loggerLevel=WARN",
            *flags,
        ]
        folder.mkdir()

    def start(self) -> Process:
        process = Process(self.command, self.folder / "log", cwd=self.folder)
        process.wait_ready(self.is_ready)
        return process

    def is_ready(self) -> bool:
        health = httpx.get(f"http://127.0.0.1:{self.port}/health", timeout=5)
        return health.status_code == 200


class Cluster:
    """Two of vmstorage, which have every sample twice; vminsert and vmselect before them."""

    def __init__(self, folder: Path):
        self.storages = []
        inserts, selects = [], []
        for number in range(2):
            insert, select = free_port(), free_port()
            inserts.append(f"127.0.0.1:{insert}")
            selects.append(f"127.0.0.1:{select}")
            flags = [f"-vminsertAddr={inserts[-1]}", f"-vmselectAddr={selects[-1]}"]
            flags.append("-storageDataPath=data")
            storage = Node("vmstorage", folder / f"storage-{number}", *flags)
            self.storages.append(storage)
        nodes, twice = ",".join(inserts), ["-replicationFactor=2", "-dedup.minScrapeInterval=1ms"]
        self.insert = Node("vminsert", folder / "insert", f"-storageNode={nodes}", twice[0])
        nodes = ",".join(selects)
        late = "-search.latencyOffset=0s"
        self.select = Node("vmselect", folder / "select", f"-storageNode={nodes}", *twice, late)
        self.write_url = (
            f"http://127.0.0.1:{self.insert.port}/insert/{TENANT}/prometheus/api/v1/write"
        )
        self.read_url = f"http://127.0.0.1:{self.select.port}/select/{TENANT}/prometheus"


@contextlib.contextmanager
def started(*nodes: Node) -> Iterator[list[Process]]:
    """The programs for the length of a `with`."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(running(node.start())) for node in nodes]


def same(database_url: str, start: float, url: str) -> int:
    """How many samples both have, once neither has another."""
    found = verify(database_url, start, url)
    counts = [found[what] for what in ("missing", "different", "more")]
    assert counts == [0, 0, 0], found["examples"][:5]
    return found["same"]


@pytest.mark.timeout(600)
def test_a_cluster_has_all_though_parts_of_it_end(
    start_server: StartServer, database_url: str, tmp_path: Path
) -> None:
    start = time.time() - 4 * 3600
    cluster = Cluster(tmp_path)
    server = start_server(f"--forward-url=cluster={cluster.write_url}")
    server.register("w-1")
    server.register("w-2")

    def has(samples: int) -> bool:
        return same(database_url, start, cluster.read_url) >= samples

    with started(*cluster.storages, cluster.insert, cluster.select) as processes:
        for turn in range(5):
            report(server, turn)
        wait_for("all of it", lambda: has(5 * 24), 60)
        # One of the two that store dies: the other one takes all, and it gets its part afterwards.
        processes[0].stop(signal.SIGKILL)
        for turn in range(5, 10):
            report(server, turn)
        with started(cluster.storages[0]):
            for turn in range(10, 15):
                report(server, turn)
            wait_for("all of it again", lambda: has(15 * 24), 90)
            # Nobody takes anything for a while.
            processes[2].stop(signal.SIGKILL)
            for turn in range(15, 20):
                report(server, turn)
            with started(cluster.insert):
                wait_for("all that waited", lambda: has(20 * 24), 90)
                history_of_another_tenant(database_url, start, cluster)


def history_of_another_tenant(database_url: str, start: float, cluster: Cluster) -> None:
    """History goes there by `export`, and is the same."""
    write = cluster.write_url.replace(TENANT, "8:1")
    span = ["--start", at(start), "--match", '{component=~"w-.*"}']
    command = [program(), "export", "--database-url", database_url, *span]
    subprocess.run([*command, "--remote-write-url", write], check=True, timeout=120)
    read = cluster.read_url.replace(TENANT, "8:1")
    wait_for("history", lambda: same(database_url, start, read) >= 20 * 24, 60)
