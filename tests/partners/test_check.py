"""`noetl-metrics check` finds what is wrong with a server or its database, and says what to do.

Each case is an installation that is broken in one way; docs/troubleshooting.md lists them.
"""

import contextlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from conftest import StartServer
from support.checking import Report, as_people_see_it, write
from support.postgres import Cluster, unreachable
from support.process import Process, clean_environment, free_port, running, wait_for
from support.server import Server, metric, program, run

GAUGE = metric("noetl_worker_active_tasks", "gauge", 1)


def check(server: Server, *flags: str, **env: str) -> Report:
    return Report("--server-url", server.url, *flags, **env)


def test_a_healthy_installation_has_no_failure(server: Server, database_url: str) -> None:
    server.http.post("/api/metrics/self-report").raise_for_status()
    server.http.post("/api/metrics/cleanup", json={}).raise_for_status()
    server.register("w-1")
    server.report("w-1", GAUGE)
    report = check(server, "--database-url", database_url)
    assert not report.of("failed") | report.of("warning"), report
    for id_ in ("database-lease", "exported", "reporting", "series-limit", "schema", "active"):
        assert id_ in report.of("passed"), report
    text = as_people_see_it("--server-url", server.url)
    assert "✓ scrapers get it: noetl_metrics_check_time_seconds" in text
    assert "✗" not in text


# The database, seen directly.


def on_database(url: str) -> Report:
    """A report on a database; the server is not what is asked about."""
    return Report("--database-url", url, "--server-url", f"http://127.0.0.1:{free_port()}")


def test_database_password_is_wrong(postgres: Cluster) -> None:
    with psycopg.connect(postgres.url("postgres", "postgres"), autocommit=True) as connection:
        connection.execute("CREATE ROLE guarded LOGIN PASSWORD 'right'")
        (folder,) = connection.execute("SHOW data_directory").fetchone()
        rules = Path(folder) / "pg_hba.conf"
        asked = "host all guarded 127.0.0.1/32 scram-sha-256\n"
        rules.write_text(asked + rules.read_text())
        connection.execute("SELECT pg_reload_conf()")
        url = postgres.url("postgres", "guarded:wrong")

        def refused() -> Report:
            return on_database(url).finds(
                "database-reached", "failed", "password authentication failed"
            )

        report = wait_for("PostgreSQL to ask for passwords", refused)
    assert "database-schema" in report.of("left-out")


def test_database_does_not_listen() -> None:
    url = f"postgres://noetl@127.0.0.1:{free_port()}/noetl"
    on_database(url).finds("database-reached", "failed", "refused")


@pytest.fixture
def migrated(database_url: str) -> str:
    """A database with the schema, and without a server."""
    run("migrate", "--database-url", database_url)
    return database_url


def test_schema_is_too_old(migrated: str) -> None:
    forget_newest_step(migrated)
    on_database(migrated).finds("database-schema", "failed", "this program's is")


def forget_newest_step(url: str) -> None:
    newest = "(SELECT max(version) FROM noetl_metrics.migration)"
    with psycopg.connect(url) as connection:
        connection.execute(f"DELETE FROM noetl_metrics.migration WHERE version = {newest}")


def test_no_server_holds_the_lease(migrated: str) -> None:
    on_database(migrated).finds("database-lease", "failed", "no server holds it")


# The way to the server.


def test_server_does_not_listen() -> None:
    report = Report("--server-url", f"http://127.0.0.1:{free_port()}")
    report.finds("connects", "failed", "refused")
    assert {"stored", "silent", "retention"} <= report.of("left-out")


def test_name_is_not_known() -> None:
    Report("--server-url", "http://nobody.invalid:8082").finds(
        "name-known", "failed", "nobody.invalid"
    )


def test_another_program_answers() -> None:
    with another_program() as port:
        report = Report("--server-url", f"http://127.0.0.1:{port}")
    report.finds("answers", "failed", "404")


@contextlib.contextmanager
def another_program() -> Iterator[int]:
    """Something that speaks HTTP and knows none of our paths."""

    class Quiet(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Quiet) as other:
        thread = threading.Thread(target=other.serve_forever)
        thread.start()
        try:
            yield other.server_port
        finally:
            other.shutdown()
            thread.join()


def test_tls_is_spoken_to_a_server_without() -> None:
    with another_program() as port:
        report = Report("--server-url", f"https://127.0.0.1:{port}")
    report.finds("tls-trusted", "failed", "does not speak TLS")


def test_interval_of_the_environment_is_no_duration(server: Server) -> None:
    report = check(server, NOETL_WORKER_METRICS_INTERVAL="often")
    report.finds("intervals", "failed", "NOETL_WORKER_METRICS_INTERVAL=often")


# Who may do what.


@pytest.fixture
def tokens(tmp_path: Path) -> str:
    return write(tmp_path / "tokens", "right-token\n")


def test_token_is_missing(start_server: StartServer, tokens: str) -> None:
    report = check(start_server("--auth-token-file", tokens))
    report.finds("token", "failed", "401").finds("wrong-token", "passed", "401")
    assert {"registers", "stored"} <= report.of("left-out")


def test_token_is_wrong(start_server: StartServer, tokens: str, tmp_path: Path) -> None:
    wrong = write(tmp_path / "wrong", "wrong-token\n")
    check(start_server("--auth-token-file", tokens), "--auth-token-file", wrong).finds(
        "token", "failed", "401"
    )


def test_token_may_only_read(start_server: StartServer, tmp_path: Path) -> None:
    readers = write(tmp_path / "readers", "a-token rights=read\n")
    given = write(tmp_path / "given", "a-token\n")
    report = check(start_server("--auth-token-file", readers), "--auth-token-file", given)
    report.finds("token", "failed", "403")


def test_reading_is_closed(start_server: StartServer, tmp_path: Path) -> None:
    writers = write(tmp_path / "writers", "a-token rights=write\n")
    given = write(tmp_path / "given", "a-token\n")
    server = start_server("--auth-token-file", writers, "--auth-read", "required")
    report = check(server, "--auth-token-file", given)
    report.finds("reading", "failed", "403").finds("read-back", "failed", "403")
    assert "silent" in report.of("left-out")


def test_reading_is_closed_and_the_token_may_read(start_server: StartServer, tokens: str) -> None:
    server = start_server("--auth-token-file", tokens, "--auth-read", "required")
    report = check(server, "--auth-token-file", tokens)
    report.finds("reading", "passed", "can be read").finds("exported", "passed", "")


# What the server can do.


def test_database_is_away(server: Server, postgres: Cluster, database_url: str) -> None:
    with unreachable(database_url, postgres.url("postgres", "postgres")):
        check(server).finds("ready", "failed", "[-]database failed")


def test_server_does_not_bring_its_schema_forward(migrated: str, tmp_path: Path) -> None:
    forget_newest_step(migrated)
    server = Server(migrated, tmp_path / "server.log", "--no-migrate")
    with running(server.process), server.http:
        server.process.wait_ready(lambda: server.http.get("/livez").status_code == 200)

        def told() -> Report:
            return check(server).finds("ready", "failed", "migrate")

        wait_for("the server to say why it is not ready", told)


# Components and their samples.


def test_nothing_reports(server: Server) -> None:
    check(server).finds("reporting", "warning", "none but the server")


def test_a_component_never_reported(server: Server) -> None:
    server.register("w-mute")
    check(server).finds("reporting", "warning", "w-mute")


def test_a_component_fell_silent(start_server: StartServer) -> None:
    server = start_server("--stale-after", "1s")
    server.register("w-gone")
    server.report("w-gone", GAUGE)
    wait_for("it to be silent", lambda: server.component("w-gone")["status"] == "silent")
    check(server).finds("silent", "warning", "w-gone")


def test_a_component_is_unknown(server: Server) -> None:
    body = {"component_name": "w-unknown", "metrics": [GAUGE]}
    assert server.http.post("/api/metrics/report", json=body).status_code == 404
    check(server).finds("unknown-components", "warning", "1 reports")


def test_a_reporter_has_no_token(start_server: StartServer, tokens: str) -> None:
    server = start_server("--auth-token-file", tokens)
    assert server.http.post("/api/metrics/report", json={}).status_code == 401
    report = check(server, "--auth-token-file", tokens)
    report.finds("unauthorised-reports", "warning", "1 reports")


def test_samples_are_refused(server: Server) -> None:
    server.register("w-bad")
    bad = {**GAUGE, "metric_name": "no name"}
    body = {"component_name": "w-bad", "metrics": [GAUGE, bad]}
    assert server.http.post("/api/metrics/report", json=body).json()["rejected"]

    def told() -> Report:
        return check(server).finds("refused-samples", "warning", "w-bad: ")

    wait_for("the server to count them", told, 40)


def test_a_component_reports_too_much(start_server: StartServer) -> None:
    server = start_server("--max-component-samples", "1")
    server.register("w-much")
    # As many as it may send at once.
    many = [metric(f"much_{n}", "gauge", n) for n in range(60)]
    body = {"component_name": "w-much", "metrics": many}

    def refused() -> bool:
        return server.http.post("/api/metrics/report", json=body).status_code == 429

    wait_for("a report to be too much", refused)
    check(server).finds("limited-reports", "warning", "their component sends too much")


def test_the_limit_of_series_is_reached(start_server: StartServer) -> None:
    server = start_server("--max-component-series", "10")
    server.register("w-many")
    server.report("w-many", *(metric(f"many_{n}", "gauge", n) for n in range(10)))
    report = check(server)
    report.finds("series-limit", "failed", "10 of 10 (--max-component-series)")


def test_retention_failed(server: Server, database_url: str) -> None:
    columns = "(started_at, finished_at, error) VALUES (now(), now(), %s)"
    with psycopg.connect(database_url) as connection:
        insert = f"INSERT INTO noetl_metrics.maintenance_run {columns}"
        connection.execute(insert, ["canceling statement due to lock timeout"])
    check(server).finds("retention", "failed", "lock timeout")


def test_retention_never_ran(server: Server) -> None:
    check(server).finds("retention", "warning", "not run yet")


def test_a_store_that_samples_are_sent_on_to_is_away(start_server: StartServer) -> None:
    store = f"127.0.0.1:{free_port()}"
    server = start_server(f"--forward-url=vm=http://{store}/api/v1/write")
    server.register("w-1")
    server.report("w-1", GAUGE)

    def told() -> Report:
        return check(server).finds("forwarding", "warning", f"vm ({store}) does not take")

    wait_for("the server to have tried", told, 30)


# What agents say.


def agent_says(server: Server, *metrics: dict) -> None:
    server.register("node-1", "node_agent")
    server.report("node-1", *metrics)


def test_a_target_is_down(server: Server) -> None:
    target = f"http://127.0.0.1:{free_port()}"
    command = [program(), "agent", "--server-url", server.url, "--scrape", target]
    paces = ["--metrics-interval", "1s", "--heartbeat-interval", "1s", "--scrape-interval", "1s"]
    log = server.process.log.with_name("agent.log")
    with running(Process([*command, *paces, "--worker-id", "a-1"], log, env=clean_environment())):

        def told() -> Report:
            return check(server).finds(
                "targets", "warning", f"{target}/metrics of a-1 is down (connect)"
            )

        wait_for("the agent to say so", told, 30)


def test_a_metric_of_the_guide_is_absent(server: Server) -> None:
    about = {
        "target": "http://w:9090",
        "metric": "noetl_worker_queue_size",
        "reason": "not_exposed",
    }
    up = metric("noetl_agent_scrape_up", "gauge", 1, labels={"target": "http://w:9090"})
    agent_says(server, up, metric("noetl_agent_scrape_absent", "gauge", 1, labels=about))
    report = check(server)
    report.finds(
        "absent-metrics", "warning", "noetl_worker_queue_size of http://w:9090: not_exposed"
    )


def test_a_spool_cannot_be_used(server: Server) -> None:
    agent_says(server, metric("noetl_agent_spool_up", "gauge", 0))
    check(server).finds("spools", "warning", "node-1 can't use its spool")


def test_a_text_file_cannot_be_read(server: Server) -> None:
    agent_says(server, metric("node_textfile_scrape_error", "gauge", 1))
    check(server).finds("textfiles", "warning", "node-1 could not read")
