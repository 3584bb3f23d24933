"""`noetl-metrics check --kubernetes` finds what is wrong with an installation, and says what to do.

Each case is an installation that is broken in one way, on a real API server; what kubelets and
controllers would say of it the test says. docs/troubleshooting.md lists them.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from control_plane import ControlPlane
from installation import (
    AGENT_ROLE,
    DEFINITION,
    FAILED,
    MONITORING,
    NAME,
    NAMESPACE,
    NODE,
    SCHEDULED,
    SYSTEM,
    VICTORIA,
    Installation,
    built,
    named,
)
from support.checking import Report
from support.process import free_port, wait_for


@pytest.fixture(scope="module")
def installation(api_server: ControlPlane) -> Iterator[Installation]:
    """One that is well; each case breaks it and mends it again."""
    made = Installation(api_server)
    try:
        made.make()
        yield made
    finally:
        made.unmake()


def check(it: Installation, *flags: str, config: Path | None = None) -> Report:
    words = ("--kubernetes", f"--namespace={NAMESPACE}", *flags)
    return Report(*words, KUBECONFIG=str(config or it.plane.config))


def found(it: Installation, id_: str, said: str, status: str = "failed") -> Report:
    """A report that finds it, as soon as the controllers have seen what the test did."""
    return wait_for(id_, lambda: check(it).finds(id_, status, said), 30)


def test_a_healthy_installation_has_no_failure(installation: Installation) -> None:
    def healthy() -> Report:
        report = check(installation)
        assert not report.of("failed") | report.of("warning"), report
        return report

    report = wait_for("a report without failure", healthy, 30)
    assert len(report.of("passed")) >= 20, report


# Before any resource.


def test_cluster_does_not_answer(installation: Installation, tmp_path: Path) -> None:
    config = json.loads(installation.plane.config.read_text())
    config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{free_port()}"
    away = tmp_path / "kubeconfig"
    away.write_text(json.dumps(config))
    report = check(installation, config=away)
    report.finds("cluster", "failed", "127.0.0.1")
    assert "servers" in report.of("left-out")


def test_definition_is_of_another_version(installation: Installation) -> None:
    made = installation.get("crd", DEFINITION)
    fields = made["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    fields["properties"].pop("paused")
    with installation.patched("crd", DEFINITION, {"spec": made["spec"]}):
        found(installation, "definition", "has other fields", "warning")


def test_definition_serves_another_version(installation: Installation) -> None:
    made = installation.get("crd", DEFINITION)
    (version,) = made["spec"]["versions"]
    versions = [{**version, "served": False}, {**version, "name": "v1", "storage": False}]
    with installation.patched("crd", DEFINITION, {"spec": {"versions": versions}}):
        found(installation, "definition", "does not serve v1alpha1")


def test_operator_is_missing(installation: Installation) -> None:
    with installation.patched(
        "deployment", "noetl-metrics", {"metadata": {"labels": None}}, namespace=SYSTEM
    ):
        found(installation, "operator", "no namespace has a Deployment")


def test_operator_is_not_ready(installation: Installation) -> None:
    none = {"spec": {"replicas": 0}}
    with installation.patched("deployment", "noetl-metrics", none, namespace=SYSTEM):
        found(installation, "operator", "0 of 0 replicas")
    installation.all_ready("noetl-metrics", SYSTEM)


def test_resource_is_missing(installation: Installation) -> None:
    report = check(installation, "--resource=other")
    report.finds("resource", "failed", "noetl has no other")


def test_operator_refuses_the_resource(installation: Installation) -> None:
    said = ("Progressing", "False", "Invalid", "nothing was changed: spec.agent.scrape.selector")
    with installation.with_condition(*said):
        found(installation, "accepted", "spec.agent.scrape.selector")


# What is made from it.


def test_secret_is_missing(installation: Installation) -> None:
    with installation.without("secret", "noetl-metrics-db"):
        report = found(installation, "secrets", "there is no Secret noetl-metrics-db")
    assert "postgres://" not in repr(report)


def test_key_of_a_secret_is_missing(installation: Installation) -> None:
    with installation.with_pods({"phase": "Pending"}):
        pod = installation.get("pod", installation.pods()[0])
        with installation.with_event(pod, "references non-existent secret key: url"):
            found(installation, "secrets", "non-existent secret key: url")


def test_migration_failed(installation: Installation) -> None:
    job = next(made for made in built() if made["kind"] == "Job")
    job["metadata"]["name"] = again = f"{NAME}-migrate-again"
    installation.apply(job)
    try:
        installation.status("job", again, FAILED)
        found(installation, "migration", f"{again} failed: Job has reached")
    finally:
        installation.plane.kubectl("delete", "job", again, f"--namespace={NAMESPACE}")


def container(**state: dict) -> dict:
    """Status of the servers' container."""
    seen = {"name": "server", "image": "i", "imageID": "", "ready": False, "restartCount": 4}
    return {"containerStatuses": [{**seen, "state": state}]}


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (
            container(waiting={"reason": "ImagePullBackOff", "message": "Back-off pulling image"}),
            "ImagePullBackOff Back-off pulling image",
        ),
        (
            container(
                terminated={"exitCode": 1, "reason": "Error", "message": "cannot bind to 8082"}
            ),
            "Error: cannot bind to 8082",
        ),
        (
            {
                "phase": "Pending",
                "conditions": [
                    {"type": "Ready", "status": "False"},
                    {
                        "type": "PodScheduled",
                        "status": "False",
                        "reason": "Unschedulable",
                        "message": "0/1 nodes are available: insufficient memory",
                    },
                ],
            },
            "not scheduled: 0/1 nodes are available",
        ),
    ],
    ids=["image", "crash", "pending"],
)
def test_servers_do_not_run(installation: Installation, status: dict, said: str) -> None:
    with installation.with_pods(status):
        found(installation, "servers", said)


def test_quota_keeps_servers_from_being_made(installation: Installation) -> None:
    quota = named("v1", "ResourceQuota", "tight", spec={"hard": {"pods": "0"}})
    installation.apply(quota)
    # What its controller would have counted, and what is held against new pods.
    counted = {"hard": {"pods": "0"}, "used": {"pods": "0"}}
    installation.status("resourcequota", "tight", counted)
    try:
        for pod in installation.pods():
            installation.plane.kubectl(
                "delete", "pod", pod, f"--namespace={NAMESPACE}", "--force", "--wait=false"
            )
        found(installation, "servers", "exceeded quota")
    finally:
        installation.plane.kubectl("delete", "resourcequota", "tight", f"--namespace={NAMESPACE}")
        # The controller tries again when it looks next; a change makes it look.
        again = {"spec": {"template": {"metadata": {"annotations": {"again": "yes"}}}}}
        installation.patch("deployment", f"{NAME}-server", again, NAMESPACE)
        installation.all_ready(f"{NAME}-server")


def test_service_has_nothing_behind_it(installation: Installation) -> None:
    with installation.without("endpointslice", f"{NAME}-server-1"):
        found(installation, "service", "no ready address; its selector matches 2 of 2")


def test_agents_are_missing(installation: Installation) -> None:
    agents = {**SCHEDULED, "numberReady": 0}
    made = installation.get("daemonset", f"{NAME}-agent")
    said = 'pods "noetl-agent-" is forbidden: violates PodSecurity "restricted"'
    with (
        installation.with_status("daemonset", f"{NAME}-agent", agents),
        installation.with_event(made, said),
    ):
        found(installation, "agents", "violates PodSecurity")


def test_a_node_takes_no_agent(installation: Installation) -> None:
    installation.apply(named("v1", "Node", f"{NODE}-tainted", None))
    try:
        found(installation, "agents", "1 take none, by a taint", "warning")
    finally:
        installation.plane.kubectl("delete", "node", f"{NODE}-tainted")


def test_agents_may_not_watch_pods(installation: Installation) -> None:
    with installation.without("rolebinding", f"{NAME}-agent"):
        said = (
            f"namespace {NAMESPACE} has no RoleBinding for ServiceAccount {NAMESPACE}:{NAME}-agent"
        )
        found(installation, "agent-rights", said)
    with installation.without("clusterrole", AGENT_ROLE, None):
        found(installation, "agent-rights", f"there is no ClusterRole {AGENT_ROLE}")
    less = {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "watch"]}]}
    with installation.patched("clusterrole", AGENT_ROLE, less, namespace=None):
        said = f"ClusterRole {AGENT_ROLE} does not let them list and watch pods of {NAMESPACE}"
        found(installation, "agent-rights", said)


def test_agents_may_not_watch_pods_elsewhere(installation: Installation) -> None:
    elsewhere = {"spec": {"agent": {"scrape": {"namespaces": [NAMESPACE, "kube-public"]}}}}
    with installation.patched("noetlmetrics", NAME, elsewhere):
        found(installation, "agent-rights", "namespace kube-public has no RoleBinding")
        # One that gives too little beside one of the namespace's own that does.
        with installation.bound("kube-public", "too-little", "ClusterRole", "view-nothing"):
            said = "there is no ClusterRole view-nothing, to which RoleBinding too-little"
            found(installation, "agent-rights", said)
            with installation.bound("kube-public", "watches", "Role", "watches-pods"):
                said = f"by ClusterRole {AGENT_ROLE}, Role watches-pods"
                found(installation, "agent-rights", said, "passed")


def test_retention_is_suspended(installation: Installation) -> None:
    with installation.patched("cronjob", f"{NAME}-retention", {"spec": {"suspend": True}}):
        found(installation, "cron-jobs", "is suspended")


def test_retention_does_not_succeed(installation: Installation) -> None:
    lagging = {"lastSuccessfulTime": "2026-11-20T12:00:00Z"}
    with installation.with_status("cronjob", f"{NAME}-retention", lagging):
        found(installation, "cron-jobs", "succeeded last at 2026-11-20")


# The scraper.

SCRAPE = ("vmpodscrape", f"{NAME}-server")


def test_scrape_object_is_missing(installation: Installation) -> None:
    with installation.without(*SCRAPE):
        report = found(installation, "scrape-object", "there is no VMPodScrape")
    assert "scraper" in report.of("left-out")


def test_scrape_object_selects_nothing(installation: Installation) -> None:
    other = {"spec": {"selector": {"matchLabels": {"app": "noetl-server"}}}}
    with installation.patched(*SCRAPE, other):
        found(installation, "scrape-object", "selects nothing; there are 2")


def test_scrape_object_names_a_port_by_its_number(installation: Installation) -> None:
    by_number = {"spec": {"podMetricsEndpoints": [{"port": "8082"}]}}
    with installation.patched(*SCRAPE, by_number):
        found(installation, "scrape-object", "wants the port 8082")


def scraper(installation: Installation, **spec: dict):
    return installation.patched(
        f"vmagents.{VICTORIA}", "main", {"spec": spec}, namespace=MONITORING
    )


def test_scraper_selects_other_labels(installation: Installation) -> None:
    with scraper(installation, podScrapeSelector={"matchLabels": {"team": "a"}}):
        found(installation, "scraper", "podScrapeSelector does not match the object's labels")


def test_scraper_selects_other_namespaces(installation: Installation) -> None:
    with scraper(installation, podScrapeSelector={}):
        found(installation, "scraper", "selects in its own namespace only")


def test_scraper_selects_nothing(installation: Installation) -> None:
    with scraper(installation, selectAllByDefault=None):
        found(installation, "scraper", "selectAllByDefault is not true")


def test_there_is_no_scraper(installation: Installation) -> None:
    with installation.without(f"vmagents.{VICTORIA}", "main", MONITORING):
        found(installation, "scraper", "the cluster has no scraper", "warning")


def test_network_policy_keeps_the_scraper_out(installation: Installation) -> None:
    ports = [{"port": "metrics", "protocol": "TCP"}]
    only = {"from": [{"podSelector": {"matchLabels": {"team": "a"}}}], "ports": ports}
    with installation.patched("networkpolicy", f"{NAME}-server", {"spec": {"ingress": [only]}}):
        found(installation, "network-policy", "keeps out pod vmagent-main-0")
    named_so = {"matchLabels": {"kubernetes.io/metadata.name": MONITORING}}
    only["from"].append({"namespaceSelector": named_so})
    with installation.patched("networkpolicy", f"{NAME}-server", {"spec": {"ingress": [only]}}):
        found(installation, "network-policy", "lets pod vmagent-main-0 in monitoring in", "passed")


# Conditions.


@pytest.mark.parametrize(
    ("id_", "said"),
    [
        ("database", ("DatabaseReady", "False", "NotReached", "password authentication failed")),
        ("scrape", ("ScrapeReady", "False", "Rejected", "the scraper's operator refuses it")),
        ("retention", ("RetentionHealthy", "False", "LastRunFailed", "Job x failed")),
        ("degraded", ("Degraded", "True", "ApplyFailed", "Service: forbidden")),
        ("ready", ("Ready", "False", "NotReached", "password authentication failed")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_condition_says_what_is_wrong(
    installation: Installation, id_: str, said: tuple[str, ...]
) -> None:
    with installation.with_condition(*said):
        found(installation, f"condition-{id_}", said[3])


# Without rights.


def test_what_may_not_be_read_is_left_out(installation: Installation, tmp_path: Path) -> None:
    plane = installation.plane
    config = yaml.safe_load(plane.config.read_text())
    token = plane.kubectl("create", "token", "default", f"--namespace={NAMESPACE}").strip()
    config["users"][0]["user"] = {"token": token}
    limited = tmp_path / "kubeconfig"
    limited.write_text(json.dumps(config))
    report = check(installation, config=limited)
    assert not report.of("failed"), report
    report.finds("definition", "left-out", "no right to look")
