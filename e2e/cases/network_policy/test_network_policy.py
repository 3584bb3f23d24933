"""Who may connect to servers, where the cluster enforces network policies."""

from collections.abc import Iterator

import pytest

from support import collector, kube, policies, victoria
from support.kube import Namespace, Object
from support.operator import Installation
from support.postgres import Postgres
from support.wait import until

pytestmark = pytest.mark.alone


@pytest.fixture
def enforced() -> Iterator[None]:
    with policies.enforced():
        yield


@pytest.fixture
def named() -> Iterator[Namespace]:
    with kube.namespace("named") as space:
        yield space


@pytest.fixture
def stranger() -> Iterator[Namespace]:
    with kube.namespace("stranger") as space:
        yield space


def start_scraper(space: Namespace, targets: list[str]) -> None:
    """A scraper that knows the servers' addresses, whatever it is allowed."""
    job = {
        "job_name": "servers",
        "metrics_path": "/api/metrics/prometheus",
        "scrape_timeout": "1s",
        "static_configs": [{"targets": targets}],
    }
    victoria.start_agent(space, [job])
    space.rolled_out("deployment/vmagent")


def told(space: Namespace) -> list[Object]:
    """What a scraper says of its targets, each of which it has looked at."""
    with space.forward("service/vmagent", victoria.AGENT_PORT) as agent:
        found = victoria.targets(agent)
    assert all(target["health"] == "up" or target["lastError"] for target in found), found
    return found


def reached(space: Namespace) -> set[str]:
    return {target["labels"]["instance"] for target in told(space) if target["health"] == "up"}


def newest_of(postgres: Postgres, component: str) -> float:
    """When a component's newest sample was taken, in seconds."""
    [[newest]] = postgres.sql(
        "select extract(epoch from max(m.timestamp)) from noetl.metrics m"
        f" join noetl.runtime r using (runtime_id) where r.name = '{component}'"
    )
    return float(newest)


def test_only_those_who_are_named_get_to_servers(
    enforced: None,
    installation: Installation,
    postgres: Postgres,
    named: Namespace,
    stranger: Namespace,
):
    allowed: Object = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": named.name}},
        "podSelector": {"matchLabels": {"app": "vmagent"}},
    }
    installation.apply_unscraped(networkPolicy={"from": [allowed]}).ready()
    servers = installation.pods("server")
    assert len(servers) == 2
    addresses = {f"{pod['status']['podIP']}:{collector.PORT}" for pod in servers}
    for space in (named, stranger):
        start_scraper(space, sorted(addresses))
    until("who is named has all servers", lambda: reached(named) == addresses)
    until("a stranger has none", lambda: not reached(stranger))
    for target in told(stranger):
        # Dropped or rejected, as the enforcing plugin likes it: there is no connection.
        assert "dial tcp" in target["lastError"], target

    # The installation's own are named by themselves: agents report, servers forward to each other,
    # the operator and the kubelet ask how they are.
    [agent, *_] = installation.pods("agent")
    node = agent["spec"]["nodeName"]
    since = newest_of(postgres, node)
    until("agents report", lambda: newest_of(postgres, node) > since + 5)
    for number, pod in enumerate(servers):
        name = f"pod/{pod['metadata']['name']}"
        with installation.space.forward(name, collector.PORT) as server:
            server.headers["Authorization"] = f"Bearer {installation.token()}"
            # One of the two is not the active one, and sends this on.
            collector.register(server, f"through-{number}")
    installation.condition("Available", "True")
    assert reached(named) == addresses
    assert not reached(stranger)

    installation.apply_unscraped(networkPolicy={"from": []})
    until("without a list everyone has all", lambda: reached(stranger) == addresses)
    assert installation.space.exists("networkpolicy", "noetl-server")
