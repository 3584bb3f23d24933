"""The image alone, from hand-written manifests: a sample's whole way, and the node's own values."""

import pytest

from support import collector, victoria
from support.kube import Namespace
from support.postgres import Postgres
from support.wait import until

pytestmark = pytest.mark.smoke

# As the operator would write it: the port by its name.
SCRAPE = {
    "kind": "VMPodScrape",
    "spec": {
        "selector": {"matchLabels": {"app": "server"}},
        "podMetricsEndpoints": [
            {"port": "metrics", "path": "/api/metrics/prometheus", "honorLabels": True},
            {"port": "metrics", "path": "/metrics"},
        ],
    },
}


@pytest.fixture
def running(space: Namespace, postgres: Postgres) -> Namespace:
    """Database, migration, server and agents."""
    space.apply(collector.database_secret(postgres.url), collector.migrate_job())
    space.finished("migrate")
    server = f"http://server.{space.name}.svc.cluster.local:{collector.PORT}"
    space.apply(*collector.server_objects(), *collector.agent_objects(server))
    space.rolled_out("deployment/server")
    space.rolled_out("daemonset/agent")
    return space


def test_sample_comes_back_and_reaches_victoriametrics(running: Namespace, postgres: Postgres):
    scrape = SCRAPE | {"metadata": {"name": "server", "namespace": running.name}}
    victoria.start_single(running)
    victoria.start_agent(running, victoria.scrape_configs(scrape))

    with running.forward("service/server", collector.PORT) as server:
        collector.register(server, "by-hand")
        collector.report(server, "by-hand", collector.gauge("depth", 42.5, queue="batch"))
        stored = collector.query(server, component_name="by-hand", metric_name="depth")
        assert [sample["metric_value"] for sample in stored] == [42.5]
    assert postgres.sql("SELECT metric_value FROM noetl.metrics WHERE metric_name = 'depth'") == [
        ["42.5"]
    ]

    running.rolled_out("deployment/vmsingle")
    running.rolled_out("deployment/vmagent")
    with running.forward("service/vmagent", victoria.AGENT_PORT) as agent:
        up = until(
            "two targets are up",
            lambda: (
                [t for t in victoria.targets(agent) if t["health"] == "up"][1:]
                and victoria.targets(agent)
            ),
        )
        assert {t["labels"]["pod"] for t in up} == {
            pod["metadata"]["name"] for pod in running.pods("app=server")
        }
    with running.forward("service/vmsingle", victoria.SINGLE_PORT) as store:
        found = until(
            "the sample in VMSingle", lambda: victoria.series(store, 'depth{component="by-hand"}')
        )
        assert found[0]["value"][1] == "42.5"
        assert found[0]["metric"]["queue"] == "batch"
        nodes = {pod["spec"]["nodeName"] for pod in running.pods("app=agent")}

        def all_nodes() -> bool:
            found = victoria.series(store, "noetl_system_cpu_usage_percent")
            # The server reports on itself too, as a component of its own.
            return nodes <= {one["metric"]["component"] for one in found}

        until("each node's CPU in VMSingle", all_nodes)


def test_image_runs_unprivileged_on_a_read_only_root(running: Namespace):
    """The manifests ask for it; the kubelet would not start an image that says root."""
    for pod in running.pods("app=server"):
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["containers"][0]["securityContext"]["readOnlyRootFilesystem"]
        assert pod["status"]["containerStatuses"][0]["restartCount"] == 0
