"""Where only Prometheus' operator is: it takes our object, and Prometheus has the data."""

import pytest

from support import definitions, prometheus, victoria
from support.kube import Object
from support.operator import Installation
from support.wait import until

NAME = "__meta_kubernetes_pod_name"


@pytest.mark.alone
def test_pod_monitor_where_no_other_scrapers_kinds_are(installation: Installation):
    definitions.remove("victoriametrics")
    definitions.install("prometheus", everything=True)
    # Auto picks it.
    scraped(installation, "PodMonitor", {"interval": "2s", "timeout": "2s"})


def test_service_monitor_where_it_is_asked_for(installation: Installation):
    definitions.install("prometheus", everything=True)
    # In parts, of which each node is in one.
    scrape = {"kind": "ServiceMonitor", "interval": "2s", "timeout": "2s", "shards": 3}
    scraped(installation, "ServiceMonitor", scrape)


def scraped(installation: Installation, kind: str, scrape: Object) -> None:
    """Every server is scraped through an object of the kind, and every node comes back."""
    space = installation.space
    installation.apply(scrape=scrape).ready(seconds=120)
    assert kind in installation.condition("ScrapeReady", "True")["message"]
    assert space.exists(kind.lower(), "noetl-server")

    servers = {pod["metadata"]["name"] for pod in installation.pods("server")}
    nodes = {pod["spec"]["nodeName"] for pod in installation.pods("agent")}
    with prometheus.running(space) as store:

        def all_up() -> bool:
            found = [t for t in victoria.targets(store) if t["health"] == "up"]
            targets = [
                (
                    t["labels"]["job"],
                    t["labels"].get("noetl_metrics_shard"),
                    t["discoveredLabels"][NAME],
                )
                for t in found
                if t["discoveredLabels"].get(NAME) in servers
            ]
            shards = scrape.get("shards", 1)
            return len(targets) == len(set(targets)) == len(servers) * (shards + 1)

        until("every server is up", all_up, seconds=120)

        def all_nodes() -> bool:
            found = victoria.series(store, "noetl_system_cpu_usage_percent")
            return nodes <= {one["metric"]["component"] for one in found}

        until("each node's CPU in Prometheus", all_nodes)
        for one in victoria.series(store, "noetl_system_cpu_usage_percent"):
            labels = one["metric"]
            assert not servers & set(labels.values()), one
            assert "noetl_metrics_shard" not in labels, one
