"""A PostgreSQL cluster of the tests' own, in a temporary folder, on a random port of 127.0.0.1."""

import contextlib
import os
import pwd
import shutil
import signal
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psycopg

from support.process import Process, free_port, running, unprivileged_user

ROLE = "noetl"

# Durability is not what these tests are about: others kill PostgreSQL and look.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "max_connections": "100",
    "timezone": "UTC",
}


def binaries() -> Path:
    """Folder of PostgreSQL's programs: $PG_BIN, PATH, or the newest that Debian's packages have."""
    on_path = shutil.which("initdb")
    folders = [
        *([Path(os.environ["PG_BIN"])] if "PG_BIN" in os.environ else []),
        *([Path(on_path).resolve().parent] if on_path else []),
        *sorted(
            Path("/usr/lib/postgresql").glob("*/bin"),
            key=lambda path: int(path.parent.name) if path.parent.name.isdigit() else 0,
            reverse=True,
        ),
    ]
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise AssertionError("PostgreSQL's programs are missing; run scripts/setup.sh test")


class Cluster:
    """A running cluster; hands out empty databases owned by an ordinary role."""

    def __init__(self, port: int):
        self.port = port
        self._numbers = count(1)

    def url(self, database: str, user: str = ROLE, port: int | None = None) -> str:
        """Address of a database, straight or through whatever listens on another port."""
        return f"postgres://{user}@127.0.0.1:{port or self.port}/{database}"

    def new_database(self) -> str:
        """Name of a new, empty database."""
        name = f"test_{next(self._numbers)}"
        with psycopg.connect(self.url("postgres", "postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} OWNER {ROLE}")
        return name


@contextlib.contextmanager
def cluster() -> Iterator[Cluster]:
    """A cluster for the length of a `with`; the folder goes with it."""
    user = unprivileged_user()
    # Not below pytest's own folder, which only its owner may enter. Sockets want a short path.
    with tempfile.TemporaryDirectory(
        prefix="noetl-pg-", dir=_memory(), ignore_cleanup_errors=True
    ) as name:
        folder = Path(name)
        if user is not None:
            entry = pwd.getpwnam(user)
            os.chown(folder, entry.pw_uid, entry.pw_gid)
        data, log = folder / "data", folder / "log"
        init = [binaries() / "initdb", "-D", data, "-U", "postgres", "-A", "trust"]
        init += ["-E", "UTF8", "--locale=C", "--no-sync"]
        initdb = Process([str(word) for word in init], log, user=user, cwd=folder)
        if initdb.child.wait(timeout=60) != 0:
            raise AssertionError(f"initdb failed\n{initdb.tail()}")

        port = free_port()
        command = [str(binaries() / "postgres"), "-D", str(data), "-p", str(port)]
        settings = {**SETTINGS, "unix_socket_directories": str(folder)}
        for setting, value in settings.items():
            command += ["-c", f"{setting}={value}"]
        # SIGINT is PostgreSQL's "fast" shutdown: it does not wait for clients to leave.
        with running(Process(command, log, user=user, cwd=folder), signal.SIGINT) as postgres:
            made = Cluster(port)
            postgres.wait_ready(lambda: _create_role(made))
            yield made


@contextlib.contextmanager
def unreachable(url: str, administrator: str) -> Iterator[None]:
    """A database that takes no connection, nor keeps one, for the length of a `with`."""
    name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    with psycopg.connect(administrator, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        try:
            ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
            connection.execute(ended, [name])
            yield
        finally:
            connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


def _memory() -> str | None:
    """A folder in memory, where there is one with room: thousands of small files come and go."""
    memory = Path("/dev/shm")
    if os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2 << 30:
        return str(memory)
    return None


def _create_role(made: Cluster) -> bool:
    with psycopg.connect(made.url("postgres", "postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {ROLE} LOGIN")
    return True
