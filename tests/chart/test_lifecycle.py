"""The chart's life on a real API server: installed, upgraded, rolled back, uninstalled."""

import json

import pytest

from chart import CHART, NAMESPACE, RELEASE
from control_plane import ControlPlane
from support.process import wait_for

IN = f"--namespace={NAMESPACE}"
OPERATOR = f"--as=system:serviceaccount:{NAMESPACE}:{RELEASE}-noetl-metrics"
AGENT_ROLE = f"{NAMESPACE}-{RELEASE}-noetl-metrics-agent"
KINDS = {
    "apps/v1": ["Deployment", "DaemonSet"],
    "v1": ["Service", "ServiceAccount"],
    "batch/v1": ["CronJob", "Job"],
    "policy/v1": ["PodDisruptionBudget"],
    "networking.k8s.io/v1": ["NetworkPolicy"],
}
POD = {
    "metadata": {"labels": {"a": "b"}},
    "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]},
}
SELECTOR = {"matchLabels": {"a": "b"}}


def install(plane: ControlPlane, *flags: str) -> None:
    """Installs as the guide says, with `--wait`: where no node is, no replica is waited for."""
    words = ("install", RELEASE, str(CHART), IN, "--create-namespace", "--wait", "--timeout=45s")
    plane.helm(*words, "--set=replicas=0", *flags)


def uninstall(plane: ControlPlane) -> None:
    plane.helm("uninstall", RELEASE, IN)

    def gone() -> bool:
        left = plane.kubectl("get", "all,cm,role,rolebinding,pdb,netpol,sa", IN, "--output=name")
        own = [name for name in left.split() if RELEASE in name]
        assert not own, own
        return True

    wait_for("all of the release to be gone", gone)
    roles = plane.kubectl("get", "clusterrole,clusterrolebinding", "--output=name")
    assert RELEASE not in roles


@pytest.fixture
def plane(api_server: ControlPlane) -> ControlPlane:
    """The API server without what a test before left, as a release leaves the definition."""
    api_server.helm("uninstall", RELEASE, IN, "--ignore-not-found", "--no-hooks")
    api_server.kubectl("delete", "crd", "noetlmetrics.metrics.noetl.io", "--ignore-not-found")
    return api_server


def test_instance_lives_with_the_release(plane: ControlPlane):
    def instance() -> dict:
        (made,) = plane.get("noetlmetrics", IN)["items"]
        return made

    install(plane, "--set=instance.enabled=true")
    uid = instance()["metadata"]["uid"]
    plane.helm("upgrade", RELEASE, str(CHART), IN, "--reuse-values", "--set=replicas=3")
    assert instance()["metadata"]["uid"] == uid, "the upgrade made it anew"
    plane.helm("rollback", RELEASE, "1", IN)
    assert instance()["spec"]["database"]
    plane.helm("upgrade", RELEASE, str(CHART), IN, "--reuse-values")
    uninstall(plane)
    assert not plane.get("noetlmetrics", IN)["items"]


def test_instance_of_the_first_revision_goes_with_it(plane: ControlPlane):
    install(plane, "--set=instance.enabled=true")
    uninstall(plane)
    assert not plane.get("noetlmetrics", IN)["items"]


def test_resources_outlive_the_release_and_the_next_one_takes_the_definition(plane: ControlPlane):
    install(plane)
    made = {
        "apiVersion": "metrics.noetl.io/v1alpha1",
        "kind": "NoetlMetrics",
        "metadata": {"name": "kept", "namespace": NAMESPACE},
        "spec": {"database": {"secretRef": {"name": "db"}}},
    }
    plane.kubectl("apply", "--filename=-", text=json.dumps(made))
    uninstall(plane)
    assert plane.get("noetlmetrics", "kept", IN)["spec"]["server"]["replicas"] == 2
    install(plane)
    plane.kubectl("delete", "noetlmetrics", "kept", IN)
    uninstall(plane)


@pytest.mark.parametrize("watch", ["", NAMESPACE], ids=["cluster-wide", "namespaced"])
def test_rights_are_enough_and_no_more(plane: ControlPlane, watch: str):
    install(plane, *([f"--set=watchNamespaces={{{watch}}}"] if watch else []))
    try:
        for version, kinds in KINDS.items():
            for kind in kinds:
                made = json.dumps(sample(version, kind))
                apply = ("apply", "--server-side", "--field-manager=o", "--filename=-", OPERATOR)
                plane.kubectl(*apply, "--force-conflicts", text=made)
                plane.kubectl("delete", kind, "sample", IN, OPERATOR)

        bind = ("create", "rolebinding", "agent", "--serviceaccount=noetl:noetl-agent", OPERATOR)
        plane.kubectl(*bind, f"--clusterrole={AGENT_ROLE}", IN)
        plane.kubectl("delete", "rolebinding", "agent", IN, OPERATOR)
        assert "forbidden" in plane.refusal(*bind, "--clusterrole=cluster-admin", IN)
        assert "forbidden" in plane.refusal("get", "secrets", IN, OPERATOR)
        elsewhere = ("get", "deployments", "--namespace=default", OPERATOR)
        if watch:
            assert "forbidden" in plane.refusal(*elsewhere)
            assert "forbidden" in plane.refusal(
                *bind, f"--clusterrole={AGENT_ROLE}", "--namespace=default"
            )
        else:
            plane.kubectl(*elsewhere)
    finally:
        uninstall(plane)


def sample(version: str, kind: str) -> dict:
    """The least that is an object of a kind."""
    job = {"template": POD}
    specs = {
        "Deployment": {"selector": SELECTOR, "template": {**POD, "spec": running()}},
        "DaemonSet": {"selector": SELECTOR, "template": {**POD, "spec": running()}},
        "Service": {"ports": [{"port": 80}]},
        "CronJob": {"schedule": "* * * * *", "jobTemplate": {"spec": job}},
        "Job": job,
        "PodDisruptionBudget": {"maxUnavailable": 1, "selector": SELECTOR},
        "NetworkPolicy": {"podSelector": SELECTOR},
    }
    made = {"apiVersion": version, "kind": kind}
    made["metadata"] = {"name": "sample", "namespace": NAMESPACE}
    return {**made, **({"spec": specs[kind]} if kind in specs else {})}


def running() -> dict:
    """A pod's spec for what runs for ever."""
    return {"containers": POD["spec"]["containers"]}
