"""Ten lines, and VictoriaMetrics has each node's CPU: through a VMPodScrape, where its kind is."""

import os

import pytest

from support import definitions, kube, prometheus, victoria
from support.operator import Installation
from support.wait import until

pytestmark = pytest.mark.smoke


def test_every_server_is_scraped_and_every_node_comes_back(installation: Installation):
    definitions.install("victoriametrics")
    # In two parts, each with some of the components.
    installation.apply(scrape={"interval": "2s", "timeout": "2s", "shards": 2}).ready(seconds=120)
    space = installation.space
    told = installation.condition("ScrapeReady", "True")
    assert "VMPodScrape" in told["message"], told
    status = installation.get()["status"]["scrape"]
    assert (status["kind"], status["name"]) == ("VMPodScrape", "noetl-server")

    # The object passed the real schema; vmagent gets what the operator would make of it.
    scrape = space.get("vmpodscrape", "noetl-server")
    victoria.start_single(space)
    victoria.start_agent(space, victoria.scrape_configs(scrape))
    space.rolled_out("deployment/vmsingle")
    space.rolled_out("deployment/vmagent")

    servers = {pod["metadata"]["name"] for pod in installation.pods("server")}
    assert len(servers) == 2
    with space.forward("service/vmagent", victoria.AGENT_PORT) as agent:

        def all_up() -> bool:
            up = [t for t in victoria.targets(agent) if t["health"] == "up"]
            urls = {(t["discoveredLabels"]["__meta_kubernetes_pod_name"]) for t in up}
            return urls == servers and len(up) == 2 * len(scrape["spec"]["podMetricsEndpoints"])

        until("every server is up", all_up)

    nodes = {pod["spec"]["nodeName"] for pod in installation.pods("agent")}
    assert nodes
    with space.forward("service/vmsingle", victoria.SINGLE_PORT) as store:

        def all_nodes() -> bool:
            found = victoria.series(store, "noetl_system_cpu_usage_percent")
            # The server reports on itself too, as its own component.
            return nodes <= {one["metric"]["component"] for one in found}

        until("each node's CPU in VMSingle", all_nodes)
        for one in victoria.series(store, "noetl_system_cpu_usage_percent"):
            labels = one["metric"]
            assert labels["job"] == "noetl", labels
            # Two servers take turns: their names must not part a series in two.
            assert not servers & set(labels.values()), labels
            assert "noetl_metrics_shard" not in labels, labels


@pytest.mark.alone
def test_kind_that_appears_later_is_noticed(installation: Installation):
    definitions.remove("prometheus")
    definitions.remove("victoriametrics")
    installation.apply()
    until(
        "the condition says that the kind is gone",
        lambda: (
            kube.condition(installation.get(), "ScrapeReady")["reason"] == "MonitoringKindMissing"
        ),
        seconds=120,
    )
    definitions.install("victoriametrics")
    installation.condition("ScrapeReady", "True", seconds=120)
    assert installation.space.exists("vmpodscrape", "noetl-server")


@pytest.mark.skipif(
    not os.environ.get("E2E_VM_OPERATOR"),
    reason="E2E_VM_OPERATOR names no program of VictoriaMetrics' operator, which no module serves",
)
@pytest.mark.timeout(600)
def test_operator_of_victoriametrics_takes_the_object(installation: Installation):
    """Its operator makes the configuration, of our object; a vmagent runs with just that."""
    space = installation.space
    definitions.install("victoriametrics", everything=True)
    installation.apply().ready()
    with prometheus.administrator(space, "vm-operator"):
        victoria.start_operator(space, "vm-operator")
        configuration = until(
            "the operator's configuration has the object",
            lambda: victoria.configuration_of_operator(space, "noetl-server"),
            seconds=120,
        )
        until(
            "its status says so",
            lambda: (
                space.get("vmpodscrape", "noetl-server")["status"]["updateStatus"] == "operational"
            ),
            seconds=120,
        )
        # While its operator is there: it holds the object until it has taken it back.
        kube.kubectl("-n", space.name, "delete", "vmagent", "e2e", "--timeout=60s")
    victoria.start_single(space)
    victoria.start_agent(space, configuration)
    space.rolled_out("deployment/vmagent")
    with space.forward("service/vmagent", victoria.AGENT_PORT) as agent:
        until(
            "every server is up",
            lambda: len([t for t in victoria.targets(agent) if t["health"] == "up"]) == 4,
        )
