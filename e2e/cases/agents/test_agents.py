"""An agent runs on every node that the resource says, and tells what the node's kernel tells."""

import json
import time

import pytest

from support import collector, kube
from support.kube import Namespace
from support.operator import Installation
from support.wait import until

TAINT = "e2e.noetl.io/reserved"


def nodes() -> list[str]:
    return [node["metadata"]["name"] for node in kube.items("nodes")]


@pytest.fixture
def tainted(installation: Installation) -> str:
    """A node that nothing else would go to; what runs there stays."""
    node = installation.space.pods("app=postgres")[0]["spec"]["nodeName"]
    kube.kubectl("taint", "node", node, f"{TAINT}=true:NoSchedule", "--overwrite")
    yield node
    kube.kubectl("taint", "node", node, f"{TAINT}-")


def proc(space: Namespace, file: str) -> list[list[str]]:
    """Words of a file of /proc of PostgreSQL's node, read in a pod: they are the node's."""
    script = f'while read -r line; do echo "$line"; done < /proc/{file}'
    text = space.kubectl("exec", "deployment/postgres", "--", "/bin/sh", "-c", script)
    return [line.split() for line in text.splitlines()]


def memory_used(space: Namespace) -> tuple[float, float]:
    """Bytes of memory in use, and in all."""
    found = {words[0]: float(words[1]) * 1024 for words in proc(space, "meminfo")}
    return found["MemTotal:"] - found["MemAvailable:"], found["MemTotal:"]


def cpu_seconds(space: Namespace) -> tuple[float, float]:
    """Busy and all time of all CPUs, in ticks."""
    ticks = [float(word) for word in proc(space, "stat")[0][1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)


def newest(installation: Installation, node: str, metric: str) -> float:
    """The newest stored value of a node's series."""
    space = installation.space
    with space.forward(f"service/{installation.name}-server", collector.PORT) as server:
        found = collector.query(server, component_name=node, metric_name=metric, limit="1")
    return found[0]["metric_value"]


@pytest.mark.alone
def test_one_on_each_node_even_where_it_is_tainted(installation: Installation, tainted: str):
    # Servers have no toleration: on a cluster of one node they could start nowhere.
    installation.apply(
        server={"placement": {"tolerations": [{"key": TAINT, "operator": "Exists"}]}}
    )
    installation.ready()

    def everywhere() -> bool:
        return sorted(pod["spec"]["nodeName"] for pod in installation.pods("agent")) == sorted(
            nodes()
        )

    until("an agent on each node", everywhere)
    until(
        "status counts them", lambda: installation.get()["status"]["agent"]["ready"] == len(nodes())
    )


@pytest.mark.alone
def test_none_where_the_taint_is_not_tolerated(installation: Installation, tainted: str):
    tolerations = [{"key": "node.kubernetes.io/not-ready", "operator": "Exists"}]
    installation.apply(
        agent={"placement": {"tolerations": tolerations}},
        server={"placement": {"tolerations": [{"operator": "Exists"}]}},
    )
    installation.ready()
    installation.space.rolled_out("daemonset/noetl-agent")
    assert tainted not in [pod["spec"]["nodeName"] for pod in installation.pods("agent")]


def test_values_are_those_of_the_nodes_kernel(installation: Installation):
    space = installation.space
    installation.apply().ready()
    node = space.pods("app=postgres")[0]["spec"]["nodeName"]
    until(
        "the node reports",
        lambda: newest(installation, node, "noetl_system_cpu_usage_percent") >= 0,
    )

    def same_memory() -> bool:
        used, total = memory_used(space)
        told = newest(installation, node, "noetl_system_memory_usage_bytes")
        percent = newest(installation, node, "noetl_system_memory_usage_percent")
        assert abs(told - used) < 0.03 * total, (told, used)
        assert abs(percent - 100 * used / total) < 3, (percent, used, total)
        return True

    until("memory is that of /proc/meminfo", same_memory)

    # CPU: the mean of what was reported over a stretch, against the kernel's counters over it.
    busy, all_time = cpu_seconds(space)
    began = time.time()
    until("ten seconds of reports", lambda: time.time() - began > 10, seconds=20)
    busy_now, all_now = cpu_seconds(space)
    expected = 100 * (busy_now - busy) / (all_now - all_time)
    with space.forward(f"service/{installation.name}-server", collector.PORT) as server:
        found = collector.query(
            server,
            component_name=node,
            metric_name="noetl_system_cpu_usage_percent",
            start_time=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began)),
        )
    values = [sample["metric_value"] for sample in found]
    assert len(values) >= 3, json.dumps(found)
    assert abs(sum(values) / len(values) - expected) < 25, (values, expected)
