"""Where only Prometheus' operator is: it takes our object, and Prometheus has the data."""

import pytest

from support import definitions, kube, prometheus, victoria
from support.operator import Installation
from support.wait import until


@pytest.fixture(autouse=True)
def definitions_of_prometheus():
    """Prometheus' kinds, and no other scraper's."""
    definitions.remove("victoriametrics")
    definitions.install("prometheus", everything=True)


@pytest.fixture(autouse=True)
def without_leftovers(space: kube.Namespace):
    """What is not in the namespace goes too."""
    yield
    name = f"{space.name}-prometheus-operator"
    kube.kubectl("delete", "clusterrolebinding", name, "--ignore-not-found")


@pytest.mark.parametrize("kind", ["PodMonitor", "ServiceMonitor"])
def test_every_server_is_scraped_and_every_node_comes_back(installation: Installation, kind: str):
    space = installation.space
    # PodMonitor is what Auto picks here.
    scrape = {"interval": "2s", "timeout": "2s"} | ({} if kind == "PodMonitor" else {"kind": kind})
    installation.apply(scrape=scrape).ready(seconds=120)
    assert kind in installation.condition("ScrapeReady", "True")["message"]
    assert space.exists(kind.lower(), "noetl-server")

    prometheus.start(space)
    servers = {pod["metadata"]["name"] for pod in installation.pods("server")}
    nodes = {pod["spec"]["nodeName"] for pod in installation.pods("agent")}
    with space.forward("statefulset/prometheus-e2e", prometheus.PORT) as store:

        def all_up() -> bool:
            found = [t for t in victoria.targets(store) if t["health"] == "up"]
            names = {t["discoveredLabels"].get("__meta_kubernetes_pod_name") for t in found}
            return servers <= names

        until("every server is up", all_up, seconds=120)

        def all_nodes() -> bool:
            found = victoria.series(store, "noetl_system_cpu_usage_percent")
            return nodes <= {one["metric"]["component"] for one in found}

        until("each node's CPU in Prometheus", all_nodes)
        for one in victoria.series(store, "noetl_system_cpu_usage_percent"):
            assert not servers & set(one["metric"].values()), one
