"""A PostgreSQL in a pod, with a password, and SQL in it."""

import contextlib
import secrets
from urllib.parse import quote

from support.kube import Namespace
from support.pods import container, partner, pod_spec, scratch, service, workload

USER = "noetl"


class Postgres:
    """Runs as Deployment and Service `postgres` of a namespace; the data ends with the pod."""

    def __init__(self, space: Namespace):
        self.space = space
        self.password = secrets.token_urlsafe(12)

    @property
    def url(self) -> str:
        """Address for pods of the same cluster."""
        host = f"postgres.{self.space.name}.svc.cluster.local"
        return f"postgres://{USER}:{quote(self.password, safe='')}@{host}:5432/{USER}"

    def start(self) -> "Postgres":
        """Starts it, and waits until it takes connections over TCP."""
        volumes, mounts = scratch("/var/lib/postgresql", "/tmp")
        ready = ["pg_isready", "--host=127.0.0.1", f"--username={USER}"]
        server = container(
            "postgres",
            partner("postgres"),
            [],
            env=[
                {"name": "POSTGRES_USER", "value": USER},
                {"name": "POSTGRES_PASSWORD", "value": self.password},
            ],
            ports=[{"name": "postgres", "containerPort": 5432}],
            volumeMounts=mounts,
            readinessProbe={"exec": {"command": ready}, "periodSeconds": 1, "timeoutSeconds": 5},
        )
        self.space.apply(
            workload("Deployment", "postgres", pod_spec(server, volumes=volumes)),
            service("postgres", 5432, "postgres"),
        )
        self.space.rolled_out("deployment/postgres")
        return self

    def sql(self, statement: str, database: str = USER) -> list[list[str]]:
        """Rows of a statement, as text."""
        printed = self.space.kubectl(
            "exec",
            "deployment/postgres",
            "--",
            "psql",
            "--host=/tmp",
            f"--username={USER}",
            f"--dbname={database}",
            "--no-align",
            "--tuples-only",
            "--field-separator=\t",
            "--set=ON_ERROR_STOP=1",
            f"--command={statement}",
        )
        return [line.split("\t") for line in printed.splitlines()]

    def scale(self, replicas: int) -> None:
        """Takes it away, or gives it back (empty)."""
        self.space.kubectl("scale", "deployment/postgres", f"--replicas={replicas}")
        with contextlib.suppress(AssertionError):
            self.space.rolled_out("deployment/postgres")
