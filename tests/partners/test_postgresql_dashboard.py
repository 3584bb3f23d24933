"""The dashboard for Grafana's PostgreSQL data source: each statement has rows, as its role asks.

Macros and variables are put in as the data source does it; no Grafana is run.
"""

import json
import re
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import psycopg
import pytest

from support.postgres import Cluster
from support.process import ROOT, Process, running, wait_for
from support.server import Server, metric, program, run

FOLDER = ROOT / "docs" / "examples" / "grafana"
DASHBOARD = json.loads((FOLDER / "postgresql.json").read_text())
VARIABLES = {one["name"]: one for one in DASHBOARD["templating"]["list"]}
METRIC = "noetl_worker_active_tasks"
# Of what is asked for a counter there is growth.
COUNTER = "jobs_total"
HOURS = 4
STEP = 60


def targets() -> list[tuple[str, str]]:
    """Title and statement of each panel."""
    return [
        (panel["title"], target["rawSql"])
        for panel in DASHBOARD["panels"]
        for target in panel.get("targets", [])
    ]


def expanded(statement: str, components: list[str], chosen: str) -> str:
    """What the data source sends, for the hours up to now in steps of a minute."""
    now = time.time()
    for name, value in {
        "${component:sqlstring}": ",".join(f"'{name}'" for name in components),
        "${metric}": chosen,
        "$__timeFrom()": f"'{utc(now - HOURS * 3600)}'",
        # What came in this second belongs to it.
        "$__timeTo()": f"'{utc(now + 1)}'",
        "$__interval_ms": str(STEP * 1000),
        "$__interval": f"{STEP}s",
    }.items():
        statement = statement.replace(name, value)
    group = rf"floor(extract(epoch from \1)/{STEP})*{STEP}"
    statement = re.sub(rf"\$__timeGroup\((.+?), {STEP}s\)", group, statement)
    assert "$" not in statement, statement
    return statement


def utc(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture
def grafana(postgres: Cluster, database_url: str, server: Server) -> Iterator[psycopg.Connection]:
    """A connection of Grafana's role to the server's database."""
    database = psycopg.conninfo.conninfo_to_dict(database_url)["dbname"]
    with psycopg.connect(postgres.url(database, "postgres"), autocommit=True) as administrator:
        # It is the whole cluster's, and each test has a database of its own.
        if administrator.execute("select 1 from pg_roles where rolname = 'grafana'").fetchone():
            administrator.execute("drop owned by grafana; drop role grafana")
        administrator.execute((FOLDER / "role.sql").read_text())
        with psycopg.connect(postgres.url(database, "grafana"), autocommit=True) as connection:
            yield connection
        administrator.execute("drop owned by grafana")


@pytest.fixture
def history(database_url: str, server: Server, tmp_path: Path) -> None:
    """Hours of a worker up to now, an agent, and a component that fell silent."""
    server.register("worker-1")
    server.register("silent")
    now = time.time()
    for turn in range(HOURS * 6, -1, -1):
        moment = {"timestamp": utc(now - turn * 600)}
        server.report(
            "worker-1",
            metric(METRIC, "gauge", turn % 4 + 1, **moment),
            metric("noetl_worker_queue_size", "gauge", turn % 3, labels={"queue": "a"}, **moment),
            metric(COUNTER, "counter", (HOURS * 6 - turn) * 5, **moment),
        )
    run("maintenance", "--database-url", database_url, "--retention-raw", "30d")
    agent = [program(), "agent", "--server-url", server.url, "--metrics-interval", "1s"]
    with running(Process(agent, tmp_path / "agent.log")):
        wait_for("the network's second look", lambda: several(server), 60)
    with psycopg.connect(database_url, autocommit=True) as connection:
        ago = "update noetl.runtime set heartbeat = now() - interval '1 hour' where name = 'silent'"
        connection.execute(ago)


def several(server: Server) -> bool:
    rows = server.rows(metric_name="node_network_receive_bytes_total")
    return len({row["timestamp"] for row in rows}) > 1


def test_every_panel_has_rows(grafana: psycopg.Connection, history: None) -> None:
    components = [name for (name,) in grafana.execute(VARIABLES["component"]["query"])]
    metrics = {name for (name,) in grafana.execute(VARIABLES["metric"]["query"])}
    assert {"worker-1", "silent", "noetl-server"} <= set(components)
    assert {METRIC, COUNTER} <= metrics
    statements = targets()
    assert len(statements) > 15
    for title, statement in statements:
        chosen = COUNTER if "Growth" in title else METRIC
        answer = grafana.execute(expanded(statement, components, chosen))
        rows = answer.fetchall()
        assert rows, title
        names = [column.name for column in answer.description]
        if names == ["time", "metric", "value"]:
            assert all(None not in row for row in rows), (title, rows)
            assert [row[0] for row in rows] == sorted(row[0] for row in rows), title


def test_figures_are_those_that_were_reported(grafana: psycopg.Connection, history: None) -> None:
    statements = dict(targets()[:6]) | {"Growth": dict(targets())["Growth of ${metric} a second"]}

    def value(title: str, *components: str) -> float:
        [(found,)] = grafana.execute(expanded(statements[title], list(components), COUNTER))
        return float(found)

    assert value("Components heard", "worker-1", "silent") == 1
    assert value("Components silent", "worker-1", "silent") == 1
    # The newest values: those of turn 0.
    assert value("Tasks in hand", "worker-1") == 1
    rows = grafana.execute(expanded(statements["Growth"], ["worker-1"], COUNTER)).fetchall()
    # 5 each ten minutes, all in the step in which it is seen.
    assert {round(row[2], 6) for row in rows} == {round(5 / STEP, 6)}
    assert len(rows) >= HOURS * 6 - 2


def test_the_role_can_write_nothing(grafana: psycopg.Connection) -> None:
    for statement in (
        "delete from noetl_metrics.series",
        "update noetl.runtime set status = 'x'",
        "create table noetl_metrics.theirs ()",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            grafana.execute(statement)
