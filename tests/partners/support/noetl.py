"""NoETL itself, as it is published: NATS, its server and its workers, as processes of a test.

What e2e/noetl/build.sh built is used; nothing is built here.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from support.process import ROOT, Process, free_port, running, wait_for

NOETL = ROOT / "e2e" / "noetl"
#: Tasks that a worker runs at once.
AT_ONCE = 4
STREAM = "noetl_commands"
# What is made visible of NoETL's programs; e2e and the partner tests expect the same.
_VISIBLE = json.loads((NOETL / "metrics.json").read_text())
OF_ALL = set(_VISIBLE["all"])
OF_WORKER = OF_ALL | set(_VISIBLE["worker"])
OF_SERVER = OF_ALL | set(_VISIBLE["server"])
# Workers of a pool share a queue, and one of them carries its size.
OF_POOL = _VISIBLE["one_worker_of_a_pool"]


def programs() -> Path:
    """The folder of NoETL's programs; skips the test, with the reason, where they are not built."""
    ready = subprocess.run([NOETL / "build.sh", "--ready"], capture_output=True, text=True)
    if ready.returncode != 0:
        said = ready.stdout.strip() or ready.stderr.strip()
        pytest.skip(f"NoETL: {said}; make noetl builds it, in about twenty minutes")
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "noetl-metrics-e2e" / "bin"


class Worker:
    """A worker that has registered with NoETL's server, and serves its metrics."""

    def __init__(self, name: str, pool: str, port: int, process: Process, held_until: Path):
        self.name, self.pool, self.port, self.process = name, pool, port, process
        #: Its held tasks end once this file is there.
        self.held_until = held_until
        self.metrics = f"http://127.0.0.1:{port}/metrics"

    def end_tasks(self) -> None:
        """Its held tasks may end, those to come too."""
        self.held_until.touch()

    def kill(self) -> None:
        """SIGKILL: it says good-bye to nobody."""
        self.process.child.kill()
        self.process.child.wait()


class Noetl:
    """NATS and NoETL's server; workers come as a test asks for them.

    A pool is a segment of NoETL's command subjects with a consumer of its name: `system` takes the
    playbooks whose path begins so, `shared` all others.
    """

    def __init__(self, folder: Path, database_url: str, stack: ExitStack):
        self._folder, self._stack, self._programs = folder, stack, programs()
        self.database_url = database_url
        self._nats_port, self._monitor_port, self.port = free_port(), free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = stack.enter_context(httpx.Client(base_url=self.url, timeout=20))
        self._monitor = stack.enter_context(
            httpx.Client(base_url=f"http://127.0.0.1:{self._monitor_port}", timeout=20)
        )

    def start(self) -> "Noetl":
        """Starts NATS, then the server on a database with NoETL's tables."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            connection.execute((NOETL / "schema.sql").read_text())
        ports = ["-a", "127.0.0.1", "-p", str(self._nats_port), "-m", str(self._monitor_port)]
        nats = self._run("nats-server", ["-js", "-sd", str(self._folder / "nats"), *ports], {})
        nats.wait_ready(lambda: self._monitor.get("/healthz").status_code == 200)
        database = psycopg.conninfo.conninfo_to_dict(self.database_url)
        server = self._run("noetl-control-plane", [], self._server_variables(database))
        server.wait_ready(lambda: self.http.get("/api/worker/pools").status_code == 200)
        return self

    def _server_variables(self, database: dict) -> dict[str, str]:
        return {
            "NOETL_HOST": "127.0.0.1",
            "NOETL_PORT": str(self.port),
            "NOETL_NATS_URL": f"nats://127.0.0.1:{self._nats_port}",
            "NOETL_PUBLIC_SERVER_URL": self.url,
            "NOETL_ALLOW_INSECURE_DEFAULT_KEY": "true",
            # Otherwise a worker that runs WebAssembly has to say which step is next.
            "NOETL_ORCHESTRATE_PLUGIN_DRIVE": "false",
            "POSTGRES_HOST": database["host"],
            "POSTGRES_PORT": str(database["port"]),
            "POSTGRES_USER": database["user"],
            "POSTGRES_PASSWORD": "none",
            "POSTGRES_DATABASE": database["dbname"],
        }

    def start_worker(
        self, name: str, pool: str, port: int | None = None, *, heartbeat: int = 1
    ) -> Worker:
        """Starts a worker, and waits until it serves its metrics: then it has registered."""
        port = port or free_port()
        held_until = self._folder / f"{name}.go"
        variables = {
            "NOETL_SERVER_URL": self.url,
            "NATS_URL": f"nats://127.0.0.1:{self._nats_port}",
            "NATS_CONSUMER": pool,
            "NATS_FILTER_SUBJECT": f"noetl.commands.{pool}.>",
            "WORKER_ID": name,
            "WORKER_POOL_NAME": pool,
            "WORKER_HEARTBEAT_INTERVAL": str(heartbeat),
            "WORKER_MAX_CONCURRENT": str(AT_ONCE),
            "WORKER_METRICS_BIND": f"127.0.0.1:{port}",
            "WORKER_NATS_LAG_POLL_INTERVAL": "1",
            "HELD_UNTIL": str(held_until),
        }
        process = self._run("noetl-worker", [], variables, log=f"{name}.log")
        worker = Worker(name, pool, port, process, held_until)
        # Tasks of a worker that was killed go on without it.
        self._stack.callback(worker.end_tasks)
        process.wait_ready(lambda: httpx.get(worker.metrics).status_code == 200)
        return worker

    def _run(
        self, program: str, arguments: list[str], variables: dict[str, str], log: str | None = None
    ) -> Process:
        command = [str(self._programs / program), *arguments]
        quiet = {"RUST_LOG": "info", "NO_COLOR": "1"}
        log_file = self._folder / (log or f"{program}.log")
        process = Process(command, log_file, {**quiet, **variables})
        self._stack.enter_context(running(process))
        return process

    def register(self, path: str) -> None:
        """Registers the playbook of one held task under this path."""
        self.register_text((NOETL / "playbooks" / "held.yaml").read_text().replace("PATH", path))

    def register_text(self, text: str) -> None:
        """Registers a playbook."""
        body = {"content": text, "resource_type": "Playbook"}
        answer = self.http.post("/api/catalog/register", json=body)
        assert answer.status_code == 200, answer.text

    def execute(self, path: str, times: int, **payload: object) -> None:
        """Asks for so many runs of a playbook."""
        for _ in range(times):
            answer = self.http.post("/api/execute", json={"path": path, "payload": payload})
            assert answer.status_code == 200, answer.text

    def waiting(self) -> dict[str, int]:
        """What NATS says that waits for each pool's consumer."""
        told = self._monitor.get("/jsz", params={"consumers": "true"}).json()
        streams = [
            stream for account in told["account_details"] for stream in account["stream_detail"]
        ]
        return {
            consumer["name"]: consumer["num_pending"]
            for stream in streams
            if stream["name"] == STREAM
            for consumer in stream.get("consumer_detail") or []
        }

    def rows(self, statement: str) -> list[tuple]:
        """Rows of a statement in NoETL's database."""
        with psycopg.connect(self.database_url) as connection:
            return connection.execute(statement).fetchall()

    def at_work(self) -> dict[str, int]:
        """Tasks by worker that NoETL's database has as begun and not as ended."""
        return dict(self.rows((NOETL / "at_work.sql").read_text()))


@contextmanager
def noetl(folder: Path, database_url: str) -> Iterator[Noetl]:
    """NoETL without workers, on an empty database, for the length of a `with`."""
    folder.mkdir()
    with ExitStack() as stack:
        yield Noetl(folder, database_url, stack).start()


def settled(made: Noetl, waiting: dict[str, int]) -> None:
    """Waits until NATS says that this waits for each consumer."""
    wait_for(f"NATS to have {waiting}", lambda: made.waiting() == waiting, seconds=30)
