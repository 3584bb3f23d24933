"""At rest nothing is written; what others change is put right, unless it is theirs."""

import json
import time
from collections.abc import Iterator

import pytest

from support import audit, definitions, kube, operator
from support.kube import Object
from support.operator import Installation
from support.postgres import Postgres
from support.wait import throughout, until

pytestmark = pytest.mark.smoke

# Kinds whose status, or whole, others than the operator write now and then.
LIVE = ("Lease", "Endpoints", "EndpointSlice", "Pod", "ReplicaSet", "ControllerRevision")
REST, BACK = 60, 5


@pytest.fixture(scope="module")
def settled() -> Iterator[Installation]:
    """A complete installation that has come to rest, for all of the file: each puts it back."""
    definitions.install("victoriametrics")
    operator.at_defaults()
    with kube.namespace("at-rest") as space:
        installation = operator.with_database(space, Postgres(space).start())
        # Retention has its own time, which must not come now.
        yearly = {"raw": "7d", "schedule": "0 0 1 1 *"}
        installation.apply(scrape={}, retention=yearly).ready()
        for what in ("deployment/noetl-server", "daemonset/noetl-agent"):
            space.rolled_out(what)
        installation.condition("Progressing", "False")
        yield installation


def versions(installation: Installation) -> dict[str, str]:
    """resourceVersion of the resource and of each child that only the operator writes."""
    found = installation.children() | {"resource": installation.get()}
    return {
        name: one["metadata"]["resourceVersion"]
        for name, one in found.items()
        if name.split("/")[0] not in LIVE
    }


def intent(thing: Object) -> str:
    """What is asked of an object, without what the API server counts."""
    kept = {key: value for key, value in thing.items() if key not in ("status", "metadata")}
    meta = thing["metadata"]
    kept["labels"] = meta.get("labels", {})
    return json.dumps(kept, sort_keys=True)


def test_writes_nothing_at_rest(settled: Installation):
    before = versions(settled)
    log = audit.Audit() if audit.available() else None
    throughout(
        "each resourceVersion is as it was",
        lambda: versions(settled) == before or pytest.fail(changes(before, versions(settled))),
        seconds=REST,
        every=5,
    )
    if log is None:
        pytest.skip(
            "resourceVersions stood still; the audit log (E2E_AUDIT_LOG) can't be read here"
        )
    account = operator.pods()[0]["spec"]["serviceAccountName"]
    written = log.writes_of(f"system:serviceaccount:{operator.SYSTEM.name}:{account}")
    assert written, "the Lease must have been renewed: is this the operator's name?"
    # Other cases run meanwhile: what is of their namespaces has its reasons.
    here = (settled.space.name, operator.SYSTEM.name, None)
    others = [
        audit.what(entry)
        for entry in written
        if entry["objectRef"]["resource"] != "leases"
        and entry["objectRef"].get("namespace") in here
    ]
    assert not others, others


def changes(before: dict[str, str], now: dict[str, str]) -> str:
    return f"changed: {sorted(name for name in before | now if before.get(name) != now.get(name))}"


def test_deleted_children_come_back(settled: Installation):
    children = {
        name: child
        for name, child in settled.children().items()
        if name.split("/")[0] not in (*LIVE, "Job")
    }
    assert len(children) >= 8, sorted(children)
    for name, child in children.items():
        settled.space.kubectl("delete", name, "--wait=false", "--cascade=orphan")
        began = time.monotonic()

        def is_back(name=name, child=child) -> bool:
            found = settled.children()[name]
            return found["metadata"]["uid"] != child["metadata"]["uid"]

        until(f"{name} is back", is_back, seconds=BACK, every=0.1)
        print(f"{name} was back after {time.monotonic() - began:.1f} s")


SERVICE_PORT = {"port": 8082, "name": "metrics", "targetPort": 1}


def edits() -> list[tuple[str, Object]]:
    """A change by hand of each kind, to a field that the operator owns."""
    container = {"name": "server", "args": ["server"]}
    return [
        ("deployment/noetl-server", {"spec": {"template": {"spec": {"containers": [container]}}}}),
        ("daemonset/noetl-agent", {"spec": {"template": {"spec": {"tolerations": []}}}}),
        ("service/noetl-server", {"spec": {"ports": [SERVICE_PORT]}}),
        ("cronjob/noetl-retention", {"spec": {"schedule": "0 0 1 1 *"}}),
        ("poddisruptionbudget/noetl-server", {"spec": {"maxUnavailable": 100}}),
        ("networkpolicy/noetl-server", {"spec": {"ingress": []}}),
        ("vmpodscrape/noetl-server", {"spec": {"podMetricsEndpoints": [{"port": "8082"}]}}),
    ]  # fmt: skip


@pytest.mark.parametrize(("name", "patch"), edits(), ids=[name for name, _ in edits()])
def test_edited_children_are_put_right(settled: Installation, name: str, patch: Object):
    kind, _, own = name.partition("/")
    before = intent(settled.space.get(kind, own))
    how = "merge" if kind in ("vmpodscrape", "daemonset") else "strategic"
    settled.space.kubectl("patch", name, f"--type={how}", f"--patch={json.dumps(patch)}")
    until(
        f"{name} is as it was",
        lambda: intent(settled.space.get(kind, own)) == before,
        seconds=BACK,
        every=0.1,
    )


def test_what_others_own_is_left_alone(settled: Installation):
    space = settled.space
    space.kubectl("rollout", "restart", "deployment/noetl-server")
    space.rolled_out("deployment/noetl-server")
    key = "kubectl.kubernetes.io/restartedAt"

    def restarted_at() -> str:
        template = space.get("deployment", "noetl-server")["spec"]["template"]
        return template["metadata"].get("annotations", {}).get(key, "")

    stamp = restarted_at()
    assert stamp
    # A reason to apply again, of which the restart is no part.
    space.kubectl("delete", "service/noetl-server")
    until("the Service is back", lambda: space.exists("service", "noetl-server"), seconds=BACK)
    throughout("the annotation stays", lambda: restarted_at() == stamp, seconds=10)


def test_autoscalers_replicas_are_left_alone(settled: Installation):
    space = settled.space
    settled.apply(scrape={}, server={"autoscaling": {"enabled": True}})
    settled.condition("Progressing", "False")
    space.kubectl("scale", "deployment/noetl-server", "--replicas=3")
    space.kubectl("delete", "service/noetl-server")
    until("the Service is back", lambda: space.exists("service", "noetl-server"), seconds=BACK)
    throughout(
        "replicas stay",
        lambda: space.get("deployment", "noetl-server")["spec"]["replicas"] == 3,
        seconds=10,
    )
