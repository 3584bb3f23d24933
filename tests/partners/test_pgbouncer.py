"""The server behind a real PgBouncer in transaction mode, as many installations have it.

Debian's PgBouncer 1.18 does not know prepared statements, and hands each transaction whichever of
its two connections is free: nothing that lives in a session may be relied on.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from support.postgres import ROLE, Cluster
from support.process import Process, free_port, running, tool, unprivileged_user, wait_for
from support.series import of_component, of_export, of_rows, series
from support.server import histogram, metric

CONFIG = """
[databases]
* = host=127.0.0.1 port={postgres}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = transaction
default_pool_size = 2
max_client_conn = 200
{user}
"""


@pytest.fixture
def bouncer_url(postgres: Cluster, tmp_path: Path) -> Iterator[str]:
    """Address of an empty database, behind PgBouncer."""
    port = free_port()
    users = tmp_path / "users.txt"
    users.write_text(f'"{ROLE}" ""\n')
    # As root, PgBouncer reads its files and then becomes this user.
    user = unprivileged_user()
    config = tmp_path / "pgbouncer.ini"
    config.write_text(
        CONFIG.format(
            postgres=postgres.port, port=port, users=users, user=f"user = {user}" if user else ""
        )
    )
    url = postgres.url(postgres.new_database(), port=port)
    with running(Process([tool("pgbouncer"), str(config)], tmp_path / "pgbouncer.log")) as process:

        def answers() -> bool:
            # Without prepared statements, which this PgBouncer does not know.
            with psycopg.connect(url, prepare_threshold=None) as connection:
                return connection.execute("SELECT 1").fetchone() == (1,)

        process.wait_ready(answers)
        yield url


def series_of(component: str, name: str) -> tuple:
    return series(name, {"component": component, "component_type": "worker_pool"})


def test_a_server_behind_pgbouncer(bouncer_url: str, start_server) -> None:
    flags = ("--stale-after", "4s")
    environment = {"NOETL_SERVER_METRICS_INTERVAL": "1"}
    server = start_server(*flags, url=bouncer_url, **environment)
    components = [f"worker-{number}" for number in range(8)]

    def work(component: str) -> None:
        """Registers, reports old and new samples, and reads them back."""
        server.register(component)
        for turn in range(1, 11):
            server.report(
                component,
                metric("jobs_total", "counter", turn),
                histogram("job_duration_seconds", {"0.1": turn, "1": 2 * turn}, 3.5 * turn),
                metric("old_jobs_count", "gauge", turn, timestamp=f"2024-01-{turn:02}T12:00:00Z"),
            )
            newest = of_rows(server.rows(component_name=component, metric_name="jobs_total"))
            assert newest == {series_of(component, "jobs_total"): turn}
        assert len(server.rows(component_name=component, metric_name="jobs_total")) == 10
        assert len(server.rows(component_name=component, metric_name="old_jobs_count")) == 10

    # More at once than PgBouncer has connections.
    with ThreadPoolExecutor(len(components)) as pool:
        list(pool.map(work, components))

    values = of_export(server.export())
    for component in components:
        assert values[series_of(component, "jobs_total")] == 10
        assert len(of_component(values, component)) == 2 + 3 + 2
    # The server reports on itself each second, in a cycle of its own.
    wait_for("the server's own rows", lambda: len(own_rows(server)) > 1)

    check_log(server)

    # It stops in order, and the next one goes on with what it finds.
    assert server.process.stop() == 0
    server = start_server(*flags, url=bouncer_url, **environment)
    kept = {f"jobs_total of {name}": newest_jobs(server, name) for name in components}
    assert set(kept.values()) == {10.0}, kept
    server.report(components[0], metric("jobs_total", "counter", 11))
    assert newest_jobs(server, components[0]) == 11

    def swept() -> bool:
        server.report(components[0], metric("jobs_total", "counter", 11))
        exported = of_export(server.export())
        return all(not of_component(exported, name) for name in components[1:])

    wait_for("the silent components to leave the export", swept)
    assert of_component(of_export(server.export()), components[0])
    check_log(server)


def test_many_samples_of_one_time_behind_pgbouncer(bouncer_url: str, start_server) -> None:
    """They are stored by a statement that is kept prepared, and PgBouncer may give its values to a
    session that does not have it. The second server may find sessions that have the first one's."""
    components = [f"worker-{number}" for number in range(8)]
    for start in range(2):
        server = start_server(url=bouncer_url)
        for component in components:
            server.register(component)

        def work(component: str, server=server, start=start) -> None:
            for turn in range(60):
                values = [metric(f"value_{number}", "gauge", turn + start) for number in range(20)]
                server.report(component, *values)
                if turn % 10 == 0:
                    server.rows(component_name=component, metric_name="value_3")

        with ThreadPoolExecutor(len(components)) as pool:
            list(pool.map(work, components))
        for component in components:
            rows = server.rows(component_name=component, metric_name="value_3")
            # Reports of one millisecond have one row.
            assert rows[0]["metric_value"] == 59 + start
            assert len(rows) > 30 * (1 + start)
        check_log(server)
        assert server.process.stop() == 0


def check_log(server) -> None:
    """Nothing went wrong on the way, not even what was tried again and worked then."""
    lines = server.process.log.read_text().splitlines()
    bad = [line for line in lines if json.loads(line)["level"] in ("WARN", "ERROR")]
    assert not bad, "\n".join(bad)


def own_rows(server) -> list[dict]:
    kinds = {row["name"] for row in components_of(server) if row["component_type"] == "server_api"}
    return [row for name in kinds for row in server.rows(component_name=name)]


def components_of(server) -> list[dict]:
    return server.http.get("/api/metrics/components").json()["components"]


def newest_jobs(server, component: str) -> float | str:
    rows = server.rows(component_name=component, metric_name="jobs_total", limit=1)
    return rows[0]["metric_value"]


def test_the_tables_of_the_guide_behind_pgbouncer(bouncer_url: str, start_server) -> None:
    server = start_server(url=bouncer_url)
    runtime_id = server.register("worker-1")
    with psycopg.connect(bouncer_url, autocommit=True, prepare_threshold=None) as connection:
        for number in range(5):
            connection.execute(
                "INSERT INTO noetl.metrics (metric_id, runtime_id, metric_name, metric_type,"
                " metric_value, timestamp) VALUES (%s, %s, 'by_sql', 'gauge', %s,"
                # A series has one sample a millisecond.
                " now() - %s * interval '1 second')",
                [number, runtime_id, number, number],
            )
        found = connection.execute(
            "SELECT count(*), count(DISTINCT metric_id), sum(metric_value) FROM noetl.metrics"
            " WHERE metric_name = 'by_sql'"
        ).fetchone()

    assert found == (5, 5, 10.0)
    assert len(server.rows(metric_name="by_sql")) == 5
    check_log(server)
