"""NoETL as it is published, in pods: all of it is visible, from a worker's start to its end.

The agents find its pods by NoETL's own labels. Where its programs are not built, this is skipped.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx
import pytest

from support import collector, definitions, killing, noetl, victoria
from support.noetl import AT_ONCE, OF_POOL, OF_SERVER, OF_WORKER, Noetl
from support.operator import Installation
from support.postgres import Postgres
from support.wait import until

# Two seconds for the agent, two for its report, two for the scraper, and the watch between.
SOON = 60
STALE_AFTER = 30
#: NoETL's own bound for a worker's heartbeat.
ACTIVE_WITHIN = 60

pytestmark = [pytest.mark.timeout(480), pytest.mark.long]


@dataclass
class Stage:
    """All that runs, and who can be asked."""

    installation: Installation
    noetl: Noetl
    #: NoETL's server, NATS' own figures, VMSingle.
    http: httpx.Client
    monitor: httpx.Client
    store: httpx.Client

    def stored(self, **labels: str) -> list[dict]:
        """Series of VMSingle with these labels, and their values now."""
        chosen = ",".join(f'{name}="{value}"' for name, value in labels.items())
        return victoria.series(self.store, f"{{{chosen}}}")

    def values(self, metric: str, **labels: str) -> list[float]:
        """The values of a metric in VMSingle now."""
        return [float(one["value"][1]) for one in self.stored(__name__=metric, **labels)]

    def names(self, component: str) -> set[str]:
        """Names of a component's series in VMSingle, without what the server reckons of it."""
        names = {one["metric"]["__name__"] for one in self.stored(component=component)}
        return {name for name in names if not name.startswith("noetl_component_")}

    def exported(self, component: str) -> set[str]:
        """The same of the export: of all servers, since one exports."""
        lines: list[str] = []
        for pod in self.installation.pods("server"):
            name = f"pod/{pod['metadata']['name']}"
            with self.installation.space.forward(name, collector.PORT) as server:
                match = {"match[]": f'{{component="{component}"}}'}
                answer = server.get("/api/metrics/prometheus", params=match)
                lines += answer.raise_for_status().text.splitlines()
        names = {line.partition("{")[0] for line in lines if not line.startswith("#")}
        return {name for name in names if not name.startswith("noetl_component_")}

    def in_postgres(self, component: str) -> set[str]:
        """Names of a component's samples in the database."""
        rows = self.noetl.postgres.sql(
            "select distinct metric_name from noetl.metrics join noetl.runtime using (runtime_id)"
            f" where name = '{component}'"
        )
        return {name for (name,) in rows}


@pytest.fixture
def stage(installation: Installation, postgres: Postgres) -> Iterator[Stage]:
    """NoETL with three workers in two pools, NoETL Metrics with its agents, and VictoriaMetrics."""
    if why := noetl.not_built():
        pytest.skip(f"NoETL: {why}; make noetl builds it, in about twenty minutes")
    definitions.install("victoriametrics")
    space = installation.space
    agent = {
        "metricsInterval": "2s",
        "heartbeatInterval": "2s",
        "scrape": {"interval": "2s", "object": True},
    }
    installation.apply(agent=agent, server={"staleAfter": f"{STALE_AFTER}s"}).ready()
    # The kinds may have come a moment ago, which the operator has to notice.
    installation.condition("ScrapeReady", "True")
    victoria.start_single(space)
    objects = [
        until(f"vmpodscrape/{name}", lambda name=name: space.get("vmpodscrape", name))
        for name in ("noetl-server", "noetl-pods")
    ]
    configs = [config for scrape in objects for config in victoria.scrape_configs(scrape)]
    victoria.start_agent(space, configs)
    made = Noetl(space, postgres).start()
    for name, pool in {"a": "shared", "b": "shared", "c": "system"}.items():
        made.start_worker(name, pool)
    space.rolled_out("deployment/vmsingle")
    space.rolled_out("deployment/vmagent")
    with contextlib.ExitStack() as stack:

        def client(what: str, port: int) -> httpx.Client:
            return stack.enter_context(space.forward(what, port))

        yield Stage(
            installation,
            made,
            client(f"service/{noetl.SERVER}", noetl.PORT),
            client("deployment/nats", noetl.MONITOR_PORT),
            client("service/vmsingle", victoria.SINGLE_PORT),
        )


def check_complete(names: Callable[[str], set[str]], server: str) -> bool:
    """A witness, who tells the names that a component has, has all of the guide's metrics."""
    for worker in ("a", "b", "c"):
        assert names(worker) >= OF_WORKER, (worker, OF_WORKER - names(worker))
    assert (OF_POOL in names("a")) != (OF_POOL in names("b")), "a queue that two share counts once"
    assert OF_POOL in names("c")
    assert names(server) >= OF_SERVER, OF_SERVER - names(server)
    return True


def follows(stage: Stage, waiting: dict[str, int], at_work: dict[str, int]) -> None:
    """NATS and NoETL come to these counts of their own, and VMSingle then has the same."""
    until(f"NATS has {waiting}", lambda: noetl.waiting(stage.monitor) == waiting)

    def runs() -> bool:
        told = stage.noetl.at_work()
        assert {worker: told[worker] for worker in at_work} == at_work, told
        return True

    until(f"NoETL has {at_work}", runs)

    def agrees() -> bool:
        for consumer, size in waiting.items():
            sizes = stage.values(OF_POOL, consumer=consumer)
            assert sizes == [size], (consumer, sizes)
        for worker, count in at_work.items():
            active = stage.values("noetl_worker_active_tasks", component=worker)
            assert active == [count], (worker, active)
        total = stage.values("noetl_server_queue_size")
        assert total == [sum(waiting.values())], total
        return True

    until(f"VMSingle has {waiting} and {at_work}", agrees, seconds=SOON)


def test_noetl_itself_is_visible(stage: Stage):
    space, made = stage.installation.space, stage.noetl
    [pod] = space.pods(f"app={noetl.SERVER}")
    server = pod["metadata"]["name"]
    for witness in (stage.exported, stage.in_postgres, stage.names):
        until(
            f"{witness.__name__}: every metric of the guide",
            lambda witness=witness: check_complete(witness, server),
            seconds=SOON,
        )
    active = {"metric": "noetl_server_active_workers", "component": server}
    assert stage.values(**active) == [3]
    for one in stage.stored(__name__="noetl_worker_active_tasks"):
        labels = one["metric"]
        assert labels["kubernetes_namespace"] == space.name
        assert labels["pool_name"] == ("system" if labels["component"] == "c" else "shared")

    # What the agents do not keep is there too, of the pods themselves.
    whole = {"__name__": "noetl_worker_state_materializer_open_shards", "job": "noetl-pods"}
    until(
        "the scraper has the workers' other families",
        lambda: {one["metric"]["pod"] for one in stage.stored(**whole)} == {"a", "b", "c"},
        seconds=SOON,
    )
    assert len(stage.stored(__name__=whole["__name__"])) == 3, "and the agents do not keep it"

    noetl.register(stage.http, "test/held")
    noetl.register(stage.http, "system/held")
    noetl.execute(stage.http, "test/held", 2 * AT_ONCE + 3)
    noetl.execute(stage.http, "system/held", AT_ONCE + 2)
    busy = {"a": AT_ONCE, "b": AT_ONCE, "c": AT_ONCE}
    follows(stage, {"shared": 3, "system": 2}, busy)
    made.end_tasks("c")
    follows(stage, {"shared": 3, "system": 0}, busy | {"c": 0})

    killing.kill(space, space.get("pod", "a"))
    killed = time.monotonic()
    assert made.at_work()["a"] == AT_ONCE, "it began nothing more, and ended nothing"

    def left() -> bool:
        assert stage.exported("a") == set()
        assert stage.names("a") == set()
        return True

    until("its series have left the export and VMSingle", left, seconds=SOON)
    until(
        "the server says that it is down",
        lambda: stage.values("noetl_component_up", component="a") == [0],
        seconds=STALE_AFTER + SOON,
    )
    assert stage.values("noetl_component_up", component="b") == [1]

    made.start_worker("d", "shared")
    until("a new one is there", lambda: stage.names("d") >= OF_WORKER, seconds=SOON)
    # It takes what waited; the dead one's tasks are NoETL's to find.
    follows(stage, {"shared": 0, "system": 0}, {"b": AT_ONCE, "c": 0, "d": 3})
    for worker in ("b", "d"):
        made.end_tasks(worker)
    follows(stage, {"shared": 0, "system": 0}, {"b": 0, "c": 0, "d": 0})

    # NoETL's own list keeps the dead as ready; its heartbeat tells.
    left_for_it = ACTIVE_WITHIN + SOON - (time.monotonic() - killed)
    until(
        "three of four workers are active",
        lambda: stage.values(**active) == [3],
        seconds=max(left_for_it, SOON),
    )
    assert time.monotonic() - killed > ACTIVE_WITHIN - 2
