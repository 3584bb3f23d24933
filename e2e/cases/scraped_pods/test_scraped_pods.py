"""Agents scrape pods of their node that the resource names: found by a watch, gone with the pod.

The pod here is VMSingle; what NoETL's own programs expose is the contract tests'.
"""

from support import collector, kube, rights, victoria
from support.operator import RELEASE, SYSTEM, Installation
from support.wait import until

# Two seconds for the agent, two for its report, and the watch between.
SOON = 60


def agent(**more: object) -> dict:
    """`spec.agent` that scrapes VMSingle's pods, of which `more` may say something else."""
    scrape = {
        "selector": {"matchLabels": {"app": "vmsingle"}},
        "ports": ["http"],
        "interval": "2s",
        "keep": ["vm_app_*"],
    }
    return {"metricsInterval": "2s", "heartbeatInterval": "2s", "scrape": scrape | more}


def export(installation: Installation, *matches: str) -> list[str]:
    """Sample lines of the export, of these selectors: of all servers, since one exports."""
    lines: list[str] = []
    for pod in installation.pods("server"):
        with installation.space.forward(f"pod/{pod['metadata']['name']}", collector.PORT) as server:
            answer = server.get("/api/metrics/prometheus", params={"match[]": list(matches)})
            lines += answer.raise_for_status().text.splitlines()
    return [line for line in lines if not line.startswith("#")]


def values(lines: list[str]) -> list[float]:
    return [float(line.rpartition(" ")[2]) for line in lines]


def test_a_pod_is_scraped_while_it_runs(installation: Installation):
    space = installation.space
    installation.apply_unscraped(agent=agent()).ready()
    # As NoETL labels its workers, so that the guide's metrics are made of it.
    victoria.start_single(space, component="worker")
    space.rolled_out("deployment/vmsingle")
    pod = space.pods("app=vmsingle")[0]["metadata"]["name"]

    def reported() -> list[str]:
        found = export(installation, f'vm_app_uptime_seconds{{component="{pod}"}}')
        # Else what is known of it, and of the scraping.
        known = (f'{{component="{pod}"}}', '{__name__=~"noetl_agent_.*"}')
        assert found, export(installation, *known)
        return found

    until("the pod's own metrics come back", reported, seconds=SOON)

    def is_up() -> bool:
        up = export(installation, "noetl_agent_scrape_up")
        assert values(up) == [1], up
        return True

    # It comes with the agent's own report, which follows.
    until("the target is up, and is the only one", is_up, seconds=SOON)
    # Seen from outside: the pod's process on the node.
    memory = until(
        "the pod's memory is known",
        lambda: export(installation, f'noetl_process_memory_rss_bytes{{component="{pod}"}}'),
        seconds=SOON,
    )
    assert 1e6 < values(memory)[0] < 4e9, memory

    space.kubectl("scale", "deployment/vmsingle", "--replicas=0")
    until(
        "the target is gone with the pod",
        lambda: not export(installation, "noetl_agent_scrape_up"),
        seconds=SOON,
    )


def test_pods_of_another_namespace_are_scraped_where_it_lets_them(installation: Installation):
    space, name = installation.space, installation.name
    # They look from their start, and may only later.
    with kube.namespace("workflows") as workflows, rights.refused("pods"):
        victoria.start_single(workflows, component="worker")
        installation.apply_unscraped(agent=agent(namespaces=[workflows.name])).ready()
        workflows.rolled_out("deployment/vmsingle")
        pod = workflows.pods("app=vmsingle")[0]["metadata"]["name"]

        def refused() -> bool:
            return "pods cannot be watched" in space.logs(f"daemonset/{name}-agent")

        until("agents are refused", refused, seconds=SOON)
        # They need no right in the resource's own namespace, and have none.
        assert not space.exists("rolebinding", f"{name}-agent")
        workflows.kubectl(
            "create",
            "rolebinding",
            f"{RELEASE}-agent",
            f"--clusterrole={SYSTEM.name}-{RELEASE}-agent",
            f"--serviceaccount={space.name}:{name}-agent",
        )
        until(
            "the pod's own metrics come back",
            lambda: export(installation, f'vm_app_uptime_seconds{{component="{pod}"}}'),
            seconds=SOON,
        )
