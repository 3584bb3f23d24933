"""Bad resources: refused by the API server with the field and a reason, or, where only the cluster
can know, Degraded with it."""

import json
from typing import Any

import pytest

from support import kube, operator
from support.kube import KubectlError, Namespace
from support.operator import DATABASE, Installation, resource
from support.wait import until

GOOD = {"database": {"secretRef": {"name": DATABASE}}}
HOST = {"host": "db", "name": "n", "user": "u", "passwordSecretRef": {"name": "p"}}

# spec changed -> what the refusal must name.
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("no database", {"database": None}, "spec.database"),
    ("no way to the database", {"database": {}}, "spec.database"),
    ("two ways", {"database": HOST | {"secretRef": {"name": "s"}}}, "spec.database"),
    ("host without the rest", {"database": {"host": "db"}}, "spec.database"),
    ("rest without host", {"database": {"user": "u", "secretRef": {"name": "s"}}}, "spec.database"),
    ("secret without name", {"database": {"secretRef": {}}}, "spec.database.secretRef.name"),
    ("secret's name", {"database": {"secretRef": {"name": "No_Name"}}}, "secretRef.name"),
    ("secret's key", {"database": {"secretRef": {"name": "s", "key": "a/b"}}}, "secretRef.key"),
    ("host with a scheme", {"database": HOST | {"host": "http://db"}}, "spec.database.host"),
    ("port 0", {"database": HOST | {"port": 0}}, "spec.database.port"),
    ("port too large", {"database": HOST | {"port": 65536}}, "spec.database.port"),
    ("port as text", {"database": HOST | {"port": "5432"}}, "spec.database.port"),
    ("no connection", {"database": GOOD["database"] | {"connections": 0}}, "connections"),
    ("runtime", {"database": GOOD["database"] | {"runtime": "Other"}}, "spec.database.runtime"),
    ("retention without unit", {"retention": {"raw": "7"}}, "spec.retention.raw"),
    ("retention 0", {"retention": {"raw": "0d"}}, "spec.retention.raw"),
    ("retention in minutes", {"retention": {"raw": "90m"}}, "spec.retention.raw"),
    ("hourly shorter", {"retention": {"raw": "7d", "hourly": "1d"}}, "spec.retention"),
    ("schedule of words", {"retention": {"schedule": "sometimes"}}, "spec.retention.schedule"),
    ("schedule of four", {"retention": {"schedule": "* * * *"}}, "spec.retention.schedule"),
    ("replicas below 1", {"server": {"replicas": -1}}, "spec.server.replicas"),
    ("replicas as text", {"server": {"replicas": "two"}}, "spec.server.replicas"),
    ("too many replicas", {"server": {"replicas": 100000}}, "spec.server.replicas"),
    ("stale too soon", {"server": {"staleAfter": "1s"}}, "spec.server.staleAfter"),
    ("stale too late", {"server": {"staleAfter": "48h"}}, "spec.server.staleAfter"),
    ("interval 0", {"server": {"metricsInterval": "0s"}}, "spec.server.metricsInterval"),
    ("interval too long", {"agent": {"metricsInterval": "2h"}}, "spec.agent.metricsInterval"),
    ("interval as number", {"agent": {"metricsInterval": 60}}, "spec.agent.metricsInterval"),
    ("heartbeat too long", {"agent": {"heartbeatInterval": "11m"}}, "spec.agent.heartbeatInterval"),
    ("buffer", {"agent": {"buffer": "64MB"}}, "spec.agent.buffer"),
    ("textfiles, relative", {"agent": {"textfileDirectory": "x"}}, "spec.agent.textfileDirectory"),
    ("textfiles, up", {"agent": {"textfileDirectory": "/a/../b"}}, "spec.agent.textfileDirectory"),
    ("our pod labels", {"agent": {"pod": {"labels": {"app.kubernetes.io/name": "x"}}}}, "labels"),
    ("bad pod label", {"server": {"pod": {"labels": {"a": "b c"}}}}, "spec.server.pod.labels"),
    ("scrape kind", {"scrape": {"kind": "Nothing"}}, "spec.scrape.kind"),
    ("timeout past interval", {"scrape": {"interval": "5s", "timeout": "6s"}}, "spec.scrape"),
    ("scrape interval", {"scrape": {"interval": "2h"}}, "spec.scrape.interval"),
    ("rules kind", {"rules": {"kind": "Alert"}}, "spec.rules.kind"),
    ("percent", {"rules": {"nodeCpuPercent": 101}}, "spec.rules.nodeCpuPercent"),
    ("cidr", {"networkPolicy": {"from": [{"cidr": "10.0.0.0/99"}]}}, "spec.networkPolicy.from[0]"),
    ("policy off, but sources", {"networkPolicy": {"enabled": False, "from": []}}, "networkPolicy"),
    ("pull policy", {"image": {"pullPolicy": "Maybe"}}, "spec.image.pullPolicy"),
    ("image with a space", {"image": {"reference": "a b"}}, "spec.image.reference"),
    ("accounts without auth",
     {"server": {"auth": {"enabled": False, "serviceAccounts": ["a/b"]}}}, "spec.server.auth"),
    ("series of a component",
     {"server": {"limits": {"series": 10, "componentSeries": 11}}}, "spec.server.limits"),
    ("body", {"server": {"limits": {"body": "-1MiB"}}}, "spec.server.limits.body"),
    ("a field that is not there", {"replicas": 3}, "replicas"),
]  # fmt: skip


def refusal(space: Namespace, name: str, spec: dict[str, Any]) -> str:
    """The API server's words; fails where it takes the resource."""
    text = json.dumps(resource(name, spec))
    try:
        space.kubectl("create", "--filename=-", "--validate=strict", "--dry-run=server", stdin=text)
    except KubectlError as error:
        return str(error)
    raise AssertionError(f"taken: {text}")


@pytest.mark.parametrize(
    ("spec", "field"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_refused_with_the_field(definition: None, shared: Namespace, spec, field):
    words = refusal(shared, "noetl", {k: v for k, v in (GOOD | spec).items() if v is not None})
    assert field in words, words
    # Something for a person, not only a rule of the schema's language.
    assert "failed rule" not in words, words


@pytest.mark.parametrize("name", ["Upper", "with.dot", "9digit", "a" * 64, "end-"])
def test_refused_names(definition: None, shared: Namespace, name: str):
    assert "metadata.name" in refusal(shared, name, GOOD)


def test_the_good_one_is_taken(definition: None, shared: Namespace):
    with pytest.raises(AssertionError, match="taken"):
        refusal(shared, "noetl", GOOD)


def test_change_that_would_lose_data_is_refused(definition: None, shared: Namespace):
    shared.apply(resource("fixed", GOOD))
    shared_runtime = {"database": GOOD["database"] | {"runtime": "Shared"}}
    with pytest.raises(KubectlError, match=r"spec\.database\.runtime"):
        shared.apply(resource("fixed", shared_runtime))
    shared.kubectl("delete", "noetlmetrics/fixed")


def test_missing_secret_is_told(installed: None, space: Namespace):
    installation = Installation(space).apply()
    told = installation.condition("Ready", "False", seconds=60)

    def names_it() -> bool:
        return DATABASE in kube.condition(installation.get(), "Ready")["message"]

    until(f"the condition names the Secret; first {told}", names_it, seconds=60)


def test_image_that_is_not_there_is_told(installation: Installation):
    reference = "localhost/there-is-no-such-image:1"
    installation.apply(image={"reference": reference, "pullPolicy": "Never"})

    def names_it() -> bool:
        return reference in kube.condition(installation.get(), "Ready")["message"]

    until("the condition names the image", names_it, seconds=60)


@pytest.fixture(scope="module")
def definition() -> None:
    """The resource's definition, with or without the operator."""
    operator.install_definition()


@pytest.fixture(scope="module")
def shared(definition: None):
    """One namespace for all: nothing is kept in it."""
    with kube.namespace("bad-resources") as made:
        yield made
