"""NoETL as it is published, all of it visible: nothing in it is changed or written to.

Where its programs are not built, these tests are skipped and say so: support/noetl.py.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from support.noetl import (
    AT_ONCE,
    OF_ALL,
    OF_POOL,
    OF_SERVER,
    OF_WORKER,
    Noetl,
    Worker,
    noetl,
    settled,
)
from support.postgres import Cluster, unreachable
from support.process import Process, free_port, running, wait_for
from support.scrapers import VictoriaMetrics, scraping
from support.series import Values, of_export
from support.server import Server, program

#: NoETL's own bound for a worker's heartbeat, in seconds.
ACTIVE_WITHIN = 60
#: What scraping, reporting and storing may take on a busy machine beyond an interval.
SLACK = 8


@pytest.fixture
def real(postgres: Cluster, tmp_path: Path) -> Iterator[Noetl]:
    """NATS and NoETL's server, without workers."""
    with noetl(tmp_path / "noetl", postgres.url(postgres.new_database())) as made:
        yield made


@pytest.fixture
def workers(real: Noetl) -> list[Worker]:
    """Three workers in two pools."""
    pools = {"a": "shared", "b": "shared", "c": "system"}
    return [real.start_worker(name, pool) for name, pool in pools.items()]


@contextmanager
def agent(server: Server, real: Noetl, targets: list[str], log: Path) -> Iterator[None]:
    """An agent that scrapes NoETL's server and these addresses each second."""
    command = [program(), "agent", "--server-url", server.url, "--noetl-server-url", real.url]
    command += ["--scrape", ",".join(targets)]
    command += ["--scrape-interval", "1s", "--metrics-interval", "1s", "--worker-id", "agent"]
    command += ["--component-type", "node_agent"]
    with running(Process(command, log)):
        yield


def has(values: Values, name: str, **labels: str) -> list[float | str]:
    """Values of the series of this name that have these labels."""
    return [
        value
        for (named, having), value in values.items()
        if named == name and set(labels.items()) <= having
    ]


def names_of(values: Values, component: str) -> set[str]:
    """Names that a component's series have, without those that the server reckons of it."""
    named = {name for name, having in values if ("component", component) in having}
    return {name for name in named if not name.startswith("noetl_component_")}


def check_complete(names: Callable[[str], set[str]], server_name: str) -> bool:
    """A witness, who tells the names that a component has, has all of the guide's metrics."""
    for name in ("a", "b", "c"):
        assert names(name) >= OF_WORKER, OF_WORKER - names(name)
    assert (OF_POOL in names("a")) != (OF_POOL in names("b")), "a queue that two share counts once"
    assert OF_POOL in names("c")
    assert names(server_name) >= OF_SERVER, OF_SERVER - names(server_name)
    return True


def test_the_demo_shows_every_metric_of_the_guide_within_one_interval(
    real: Noetl, workers: list[Worker], tmp_path: Path
) -> None:
    """The command of the manual at its defaults; asked by SQL, the export and VictoriaMetrics."""
    listen = f"127.0.0.1:{free_port()}"
    # PostgreSQL of the demo is another user where this one is root.
    data = Path(tempfile.mkdtemp(prefix="noetl-demo-"))
    data.chmod(0o755)
    command = [program(), "demo", "--listen", listen, "--data-dir", str(data / "data")]
    command += ["--noetl-server-url", real.url]
    command += ["--scrape", ",".join(worker.metrics for worker in workers)]
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, data, ignore_errors=True)
        demo = stack.enter_context(running(Process(command, tmp_path / "demo.log")))
        http = stack.enter_context(httpx.Client(base_url=f"http://{listen}", timeout=20))
        demo.wait_ready(lambda: http.get("/readyz").status_code == 200)
        began = time.monotonic()
        scraper = stack.enter_context(scraping(VictoriaMetrics, listen, tmp_path / "scraper"))
        server_name = f"127.0.0.1:{real.port}"

        def exported() -> Values:
            return of_export(http.get("/api/metrics/prometheus").text)

        def all_exported() -> bool:
            values = exported()
            return check_complete(lambda name: names_of(values, name), server_name)

        wait_for("all of it in the export", all_exported, 15 + SLACK)
        took = time.monotonic() - began
        print(f"every metric of the guide was exported {took:.1f} s after the demo was ready")

        url = (data / "data" / "database-url").read_text().strip()

        def stored(component: str) -> set[str]:
            with psycopg.connect(url) as connection:
                statement = (
                    "select distinct metric_name from noetl.metrics join noetl.runtime"
                    " using (runtime_id) where name = %s"
                )
                return {name for (name,) in connection.execute(statement, [component])}

        wait_for("all of it in PostgreSQL", lambda: check_complete(stored, server_name))

        def all_scraped() -> bool:
            values = scraper.query('{component!=""}')
            return check_complete(lambda name: names_of(values, name), server_name)

        wait_for("all of it in VictoriaMetrics", all_scraped)

        values = exported()
        for worker in workers:
            of_it = {"component": worker.name, "pool_name": worker.pool}
            assert has(values, "noetl_worker_active_tasks", **of_it) == [0.0]
            [memory] = has(values, "noetl_process_memory_rss_bytes", component=worker.name)
            assert 1e6 < float(memory) < 4e9
        assert has(values, "noetl_server_active_workers", component=server_name) == [3.0]


def test_active_tasks_and_queues_follow_what_the_playbooks_do(
    real: Noetl, workers: list[Worker], server: Server, tmp_path: Path
) -> None:
    """Against NATS's own count of what waits, and NoETL's own record of what runs."""
    a, b, c = workers
    real.register("test/held")
    real.register("system/held")
    with agent(server, real, [worker.metrics for worker in workers], tmp_path / "agent.log"):

        def follows(waiting: dict[str, int], at_work: dict[str, int]) -> None:
            settled(real, waiting)
            wait_for(f"NoETL to have {at_work}", lambda: real.at_work() == at_work, 30)

            def agrees() -> bool:
                values = of_export(server.export())
                for consumer, size in real.waiting().items():
                    sizes = has(values, "noetl_worker_queue_size", consumer=consumer)
                    assert sizes == [float(size)], (consumer, size, sizes)
                for worker, running_now in real.at_work().items():
                    active = has(values, "noetl_worker_active_tasks", component=worker)
                    assert active == [float(running_now)], (worker, running_now, active)
                total = has(values, "noetl_server_queue_size")
                assert total == [float(sum(real.waiting().values()))], total
                return True

            wait_for(f"the export to have {waiting} and {at_work}", agrees, 30)

        real.execute("test/held", 2 * AT_ONCE + 3)
        real.execute("system/held", AT_ONCE + 2)
        follows({"shared": 3, "system": 2}, {"a": AT_ONCE, "b": AT_ONCE, "c": AT_ONCE})
        # One pool comes to rest, the other is as it was.
        c.end_tasks()
        follows({"shared": 3, "system": 0}, {"a": AT_ONCE, "b": AT_ONCE, "c": 0})
        a.end_tasks()
        b.end_tasks()
        follows({"shared": 0, "system": 0}, {"a": 0, "b": 0, "c": 0})


def test_a_killed_worker_leaves_and_another_takes_its_place(
    real: Noetl, workers: list[Worker], start_server, tmp_path: Path
) -> None:
    server = start_server("--stale-after", "4s")
    a, *_ = workers
    spare = free_port()
    targets = [*(worker.metrics for worker in workers), f"127.0.0.1:{spare}"]
    real.register("test/held")
    with (
        agent(server, real, targets, tmp_path / "agent.log"),
        scraping(VictoriaMetrics, f"127.0.0.1:{server.port}", tmp_path / "scraper") as scraper,
    ):

        def exported() -> Values:
            return of_export(server.export())

        def active_workers(count: int) -> bool:
            # Of NoETL's server: that of NoETL Metrics counts components of its own.
            of_noetl = {"component": f"127.0.0.1:{real.port}"}
            return has(exported(), "noetl_server_active_workers", **of_noetl) == [float(count)]

        def seen(component: str) -> bool:
            values, scraped = exported(), scraper.query(f'{{component="{component}"}}')
            assert names_of(values, component) >= OF_WORKER
            assert names_of(scraped, component) >= OF_WORKER
            return True

        real.execute("test/held", 2 * AT_ONCE + 1)
        settled(real, {"shared": 1, "system": 0})
        for worker in workers:
            wait_for(f"{worker.name} is there", lambda name=worker.name: seen(name))
        wait_for("three workers are active", lambda: active_workers(3))

        a.kill()
        killed = time.monotonic()

        def left() -> bool:
            assert has(exported(), "noetl_agent_scrape_up", target=a.metrics) == [0.0]
            assert names_of(exported(), "a") == set()
            assert names_of(scraper.query('{component="a"}'), "a") == set()
            return True

        wait_for("its series have left the export and VictoriaMetrics", left)

        def is_down() -> bool:
            assert server.component("a")["status"] == "silent"
            assert has(exported(), "noetl_component_up", component="a") == [0.0]
            return True

        wait_for("it is marked", is_down)
        assert server.component("b")["status"] == "up"
        # Whoever carried the queue that they shared: now it is the other one.
        wait_for(
            "the other worker carries the queue",
            lambda: has(exported(), OF_POOL, consumer="shared", component="b") == [1.0],
        )

        # One where there was nobody, one at the address of the dead; each by its own name, and by
        # no other in between.
        d = real.start_worker("d", "system", spare)
        e = real.start_worker("e", "shared", a.port)
        for worker in (d, e):
            wait_for(f"{worker.name} is there", lambda name=worker.name: seen(name))
        answer = server.http.get("/api/metrics/components").json()["components"]
        names = {row["name"] for row in answer if row["component_type"] == "worker_pool"}
        assert names == {"a", "b", "c", "d", "e"}
        assert names_of(exported(), "a") == set()

        # NoETL's own list keeps the dead as ready; its heartbeat tells.
        wait_for("the dead one counts as active no more", lambda: active_workers(4), 75)
        assert time.monotonic() - killed > ACTIVE_WITHIN - 2
        statuses = {row["name"]: row["status"] for row in real.http.get("/api/worker/pools").json()}
        assert statuses["a"] == "ready"


def test_what_noetl_s_server_cannot_say_is_absent_and_the_rest_goes_on(
    real: Noetl, workers: list[Worker], server: Server, postgres: Cluster, tmp_path: Path
) -> None:
    """Its database is away: it lists no workers, and still serves its metrics."""
    of_server = {"component": f"127.0.0.1:{real.port}"}
    why = {"metric": "noetl_server_active_workers", "reason": "no_answer"}
    with agent(server, real, [worker.metrics for worker in workers], tmp_path / "agent.log"):

        def is_listed(listed: bool) -> bool:
            values = of_export(server.export())
            assert bool(has(values, "noetl_server_active_workers", **of_server)) == listed
            absent = has(values, "noetl_agent_scrape_absent", **why)
            # Where it never was absent there is no such series.
            assert absent in ([[0.0], []] if listed else [[1.0]]), absent
            return True

        wait_for("its workers are listed", lambda: is_listed(True))
        with unreachable(real.database_url, postgres.url("postgres", "postgres")):
            wait_for("they are absent", lambda: is_listed(False), 30)
            before = of_export(server.export())

            def goes_on() -> bool:
                now = of_export(server.export())
                for component in (of_server["component"], "a"):
                    [then_up] = has(before, "noetl_uptime_seconds", component=component)
                    [now_up] = has(now, "noetl_uptime_seconds", component=component)
                    assert float(now_up) > float(then_up)
                    assert names_of(now, component) >= OF_ALL
                return True

            wait_for("the rest goes on", goes_on)
        wait_for("they are listed again", lambda: is_listed(True), 60)


def test_a_shared_database_stays_noetl_s(real: Noetl, start_server, tmp_path: Path) -> None:
    """Register, heartbeat and deregister go on; whoever only reads leaves no trace."""
    # No heartbeat for an hour: what changes these rows is not NoETL.
    quiet = [real.start_worker(name, "shared", heartbeat=3600) for name in ("a", "b")]
    every_byte = "select r::text from noetl.runtime r order by runtime_id"
    before = real.rows(every_byte)
    assert len(before) == 2
    server = start_server("--runtime", "shared", "--stale-after", "3s", url=real.database_url)
    port = free_port()
    targets = [*(worker.metrics for worker in quiet), f"127.0.0.1:{port}"]
    with agent(server, real, targets, tmp_path / "agent.log"):

        def reported(component: str) -> bool:
            assert names_of(of_export(server.export()), component) >= OF_WORKER
            return True

        for worker in quiet:
            wait_for(f"{worker.name} is there", lambda name=worker.name: reported(name))
        quiet[0].kill()
        wait_for("one is silent", lambda: server.component("a")["status"] == "silent")
        assert real.rows(every_byte) == before

        # A worker's whole life at NoETL, meanwhile.
        lively = real.start_worker("c", "shared", port)
        wait_for("it is there", lambda: reported("c"))
        of_it = "select runtime_id, heartbeat from noetl.runtime where name = 'c'"
        [(runtime_id, first)] = real.rows(of_it)
        wait_for("its heartbeat goes on", lambda: real.rows(of_it)[0][1] > first)
        assert server.component("c")["runtime_id"] == runtime_id
        key = "select runtime->>'worker_public_key' from noetl.runtime where name = 'c'"
        assert real.rows(key) != [(None,)]
        lively.kill()
        body = {"component_type": "worker_pool", "name": "c"}
        answer = real.http.request("DELETE", "/api/worker/pool/deregister", json=body)
        assert answer.status_code == 200, answer.text
        assert real.rows(of_it) == []
        assert server.rows(component_name="c", metric_name="noetl_worker_active_tasks")
        assert real.rows(every_byte) == before
