"""NoETL itself, as it is published, in pods: NATS, its server and its workers.

A pool is a segment of NoETL's command subjects with a consumer of its name: `system` takes the
playbooks whose path begins so, `shared` all others.
"""

import json
import subprocess
from pathlib import Path

import httpx

from support.kube import Namespace, Object
from support.pods import container, partner, pod_spec, ready_at, scratch, service, workload
from support.postgres import USER, Postgres

NOETL = Path(__file__).resolve().parents[1] / "noetl"
PORT, METRICS_PORT, NATS_PORT, MONITOR_PORT = 8082, 9090, 4222, 8222
#: Tasks that a worker runs at once.
AT_ONCE = 4
STREAM = "noetl_commands"
DATABASE, SERVER = "platform", "control-plane"
# What is made visible of NoETL's programs; e2e and the partner tests expect the same.
_VISIBLE = json.loads((NOETL / "metrics.json").read_text())
OF_ALL = set(_VISIBLE["all"])
OF_WORKER = OF_ALL | set(_VISIBLE["worker"])
OF_SERVER = OF_ALL | set(_VISIBLE["server"])
# Workers of a pool share a queue, and one of them carries its size.
OF_POOL = _VISIBLE["one_worker_of_a_pool"]
HELD_UNTIL = "/tmp/go"


def not_built() -> str:
    """Why there is no image of NoETL; nothing where there is one."""
    ready = [str(NOETL / "build.sh"), "--ready"]
    done = subprocess.run(ready, capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stdout.strip() or done.stderr.strip()


def variables(**values: str) -> list[Object]:
    return [{"name": name, "value": value} for name, value in values.items()]


class Noetl:
    """NATS and NoETL's server as Deployments and Services; workers as pods of their own.

    Its database is beside that of NoETL Metrics, in the same PostgreSQL.
    """

    def __init__(self, space: Namespace, postgres: Postgres):
        self.space, self.postgres = space, postgres

    def start(self) -> "Noetl":
        """Starts both."""
        self.postgres.sql(f"create database {DATABASE}")
        with (NOETL / "schema.sql").open() as schema:
            self.postgres.sql(schema.read(), DATABASE)
        self.space.apply(*_nats())
        # Its server ends where it does not find NATS, and is started again ever later.
        self.space.rolled_out("deployment/nats")
        self.space.apply(*self._server())
        self.space.rolled_out(f"deployment/{SERVER}")
        return self

    def _server(self) -> list[Object]:
        env = variables(
            NOETL_HOST="0.0.0.0",
            NOETL_PORT=str(PORT),
            NOETL_NATS_URL=f"nats://nats:{NATS_PORT}",
            NOETL_PUBLIC_SERVER_URL=f"http://{SERVER}:{PORT}",
            NOETL_ALLOW_INSECURE_DEFAULT_KEY="true",
            # Otherwise a worker that runs WebAssembly has to say which step is next.
            NOETL_ORCHESTRATE_PLUGIN_DRIVE="false",
            POSTGRES_HOST="postgres",
            POSTGRES_PORT="5432",
            POSTGRES_USER=USER,
            POSTGRES_PASSWORD=self.postgres.password,
            POSTGRES_DATABASE=DATABASE,
        )
        server = _program(
            "noetl-control-plane",
            [],
            env=env,
            ports=[{"name": "http", "containerPort": PORT}],
            readinessProbe=ready_at("http", "/api/health"),
        )
        made = workload("Deployment", SERVER, pod_spec(server))
        made["spec"]["template"]["metadata"]["labels"]["component"] = "server"
        return [made, service(SERVER, PORT, "http")]

    def start_worker(self, name: str, pool: str) -> None:
        """A worker as a pod that stays dead where it was killed; ready, it has registered.

        Labels, names of ports and variables are those of NoETL's own manifests.
        """
        named = {"name": "WORKER_ID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
        env = variables(
            NOETL_SERVER_URL=f"http://{SERVER}:{PORT}",
            NATS_URL=f"nats://nats:{NATS_PORT}",
            NATS_CONSUMER=pool,
            NATS_FILTER_SUBJECT=f"noetl.commands.{pool}.>",
            WORKER_POOL_NAME=pool,
            WORKER_HEARTBEAT_INTERVAL="1",
            WORKER_MAX_CONCURRENT=str(AT_ONCE),
            WORKER_NATS_LAG_POLL_INTERVAL="1",
            HELD_UNTIL=HELD_UNTIL,
        )
        volumes, mounts = scratch("/tmp")
        worker = _program(
            "noetl-worker",
            [],
            env=[named, *env],
            ports=[{"name": "metrics", "containerPort": METRICS_PORT}],
            readinessProbe=ready_at("metrics", "/metrics"),
            volumeMounts=mounts,
        )
        pod: Object = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": {"app": "noetl-worker", "component": "worker"}},
            "spec": pod_spec(worker, volumes=volumes, restartPolicy="Never"),
        }
        self.space.apply(pod)
        self.space.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=90s")

    def end_tasks(self, worker: str) -> None:
        """The worker's held tasks may end, those to come too."""
        self.space.kubectl("exec", worker, "--", "/bin/touch", HELD_UNTIL)

    def at_work(self) -> dict[str, int]:
        """Tasks by worker that NoETL's database has as begun and not as ended."""
        with (NOETL / "at_work.sql").open() as statement:
            rows = self.postgres.sql(statement.read(), DATABASE)
        return {worker: int(count) for worker, count in rows}


def waiting(monitor: httpx.Client) -> dict[str, int]:
    """What NATS says that waits for each pool's consumer."""
    told = monitor.get("/jsz", params={"consumers": "true"}).raise_for_status().json()
    streams = [s for account in told["account_details"] for s in account["stream_detail"]]
    return {
        consumer["name"]: consumer["num_pending"]
        for stream in streams
        if stream["name"] == STREAM
        for consumer in stream.get("consumer_detail") or []
    }


def register(http: httpx.Client, path: str) -> None:
    """Registers the playbook of one held task under this path."""
    with (NOETL / "playbooks" / "held.yaml").open() as playbook:
        text = playbook.read().replace("PATH", path)
    body = {"content": text, "resource_type": "Playbook"}
    http.post("/api/catalog/register", json=body).raise_for_status()


def execute(http: httpx.Client, path: str, times: int) -> None:
    """Asks for so many runs of a playbook."""
    for _ in range(times):
        http.post("/api/execute", json={"path": path, "payload": {}}).raise_for_status()


def _program(name: str, args: list[str], **more: object) -> Object:
    return container(name, partner("noetl"), args, command=[f"/bin/{name}"], **more)


def _nats() -> list[Object]:
    volumes, mounts = scratch("/data")
    args = ["-js", "-sd", "/data", "-p", str(NATS_PORT), "-m", str(MONITOR_PORT)]
    nats = _program(
        "nats-server",
        args,
        ports=[{"name": "nats", "containerPort": NATS_PORT}],
        volumeMounts=mounts,
        readinessProbe=ready_at(MONITOR_PORT, "/healthz"),
    )
    made = workload("Deployment", "nats", pod_spec(nats, volumes=volumes))
    return [made, service("nats", NATS_PORT, "nats")]
