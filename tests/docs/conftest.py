"""Fixtures: a PostgreSQL whose database has the program's schema."""

from collections.abc import Iterator

import pytest

from support.postgres import cluster
from support.server import run


@pytest.fixture(scope="session")
def database_url() -> Iterator[str]:
    """Address of a database with the schema, and nothing in it."""
    with cluster() as postgres:
        url = postgres.url(postgres.new_database())
        run("migrate", "--database-url", url)
        yield url
