"""Fixtures: one PostgreSQL for a worker of the run; a database, a port and a server for a test."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.postgres import Cluster, cluster
from support.process import running
from support.server import Server

StartServer = Callable[..., Server]


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A PostgreSQL cluster, shared by the tests of one worker."""
    with cluster() as started:
        yield started


@pytest.fixture
def database_url(postgres: Cluster) -> str:
    """Address of an empty database of this test's own."""
    return postgres.url(postgres.new_database())


@pytest.fixture
def start_server(database_url: str, tmp_path: Path) -> Iterator[StartServer]:
    """Starts servers, by default on the test's database; they end with the test."""
    with ExitStack() as stack:

        def start(
            *flags: str,
            url: str = database_url,
            port: int | None = None,
            tls: ssl.SSLContext | None = None,
            **env: str,
        ) -> Server:
            log = tmp_path / "server.log"
            server = Server(url, log, *flags, port=port, tls=tls, **env)
            stack.enter_context(running(server.process))
            stack.callback(server.http.close)
            return server.wait_ready()

        yield start


@pytest.fixture
def server(start_server: StartServer) -> Server:
    """A server at its defaults."""
    return start_server()
