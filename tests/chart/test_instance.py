"""The resource's definition, the release's own resource, and what people paste."""

import json
import re
import subprocess
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml

from cases import EVERYTHING
from chart import CHART, KNOWS_NOETL_METRICS, NAMESPACE, ROOT, Chart, every, one

CRD = yaml.safe_load((CHART / "files" / "noetlmetrics.yaml").read_text())
SPEC = json.loads((CHART / "values.schema.json").read_text())["properties"]["instance"][
    "properties"
]["spec"]


# The definition.


def test_definition_is_kept_unless_said_otherwise(chart: Chart):
    policy = "helm.sh/resource-policy"
    made = one(chart.objects(), "CustomResourceDefinition")
    assert made["metadata"]["annotations"][policy] == "keep"
    assert made["spec"] == CRD["spec"]
    made = one(chart.objects({"crds": {"keep": False}}), "CustomResourceDefinition")
    assert policy not in made["metadata"].get("annotations", {})
    assert not every(chart.objects({"crds": {"enabled": False}}), "CustomResourceDefinition")


# The release's own installation.


def test_instance_is_an_ordinary_resource_where_its_kind_is_known(chart: Chart):
    made = one(chart.objects(EVERYTHING, *KNOWS_NOETL_METRICS), "NoetlMetrics")
    assert made["metadata"]["annotations"] == {"example.org/instance": "yes"}
    assert made["metadata"]["namespace"] == NAMESPACE
    assert made["spec"]["server"] == EVERYTHING["instance"]["spec"]["server"]
    assert made["spec"]["database"]["secretRef"] == {"name": "noetl-metrics-db", "key": "url"}


def test_instance_comes_and_goes_by_hooks_where_its_kind_is_new(chart: Chart):
    come, go = every(chart.objects(EVERYTHING), "NoetlMetrics")
    assert come["metadata"]["annotations"]["helm.sh/hook"].startswith("post-install")
    assert come["metadata"]["annotations"]["meta.helm.sh/release-name"] == "metrics"
    assert come["metadata"]["annotations"]["meta.helm.sh/release-namespace"] == NAMESPACE
    assert go["metadata"]["annotations"]["helm.sh/hook"] == "pre-delete"
    assert "hook-succeeded" in go["metadata"]["annotations"]["helm.sh/hook-delete-policy"]


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"retention": {"raw": "30d"}, "scrape": {"kind": "PodMonitor"}},
        {"database": {"host": "db", "name": "n", "user": "u", "passwordSecretRef": {"name": "s"}}},
    ],
)
def test_instance_is_what_its_definition_accepts(chart: Chart, spec: dict):
    values = {"instance": {"enabled": True, "spec": spec}}
    made = one(chart.objects(values, *KNOWS_NOETL_METRICS), "NoetlMetrics")
    jsonschema.validate(made, CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"])


def test_instance_that_nobody_would_serve_is_refused(chart: Chart):
    values = {"instance": {"enabled": True}, "watchNamespaces": ["elsewhere"]}
    assert "watchNamespaces" in chart.refusal(values)


def test_instance_without_its_definition_is_refused(chart: Chart):
    values = {"instance": {"enabled": True}, "crds": {"enabled": False}}
    assert "crds.enabled" in chart.refusal(values)


# What people read, and what they paste.


def test_test_pod_writes_as_the_installations_agents(chart: Chart):
    pod = one(chart.objects({"instance": {"name": "here"}}), "Pod")
    assert pod["spec"]["serviceAccountName"] == "here-agent"
    assert "--server-url=http://here-server.noetl.svc:8082" in pod["spec"]["containers"][0]["args"]
    (source,) = pod["spec"]["volumes"][0]["projected"]["sources"]
    assert source["serviceAccountToken"]["audience"] == "noetl-metrics"


def notes(chart: Chart, values: dict) -> str:
    command = [chart.helm, "install", "metrics", str(CHART), "--namespace", NAMESPACE]
    done = subprocess.run(
        [*command, "--dry-run=client", "--values", "-"],
        input=json.dumps(values),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split("NOTES:\n")[1]


def test_notes_hold_a_resource_that_its_definition_accepts(chart: Chart):
    text = notes(chart, {})
    (document,) = re.findall(r"<<EOF\n(.*?)\n  EOF", text, re.DOTALL)
    made = yaml.safe_load(document)
    assert made["metadata"] == {"name": "noetl", "namespace": NAMESPACE}
    jsonschema.validate(made, CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"])


def test_notes_say_what_the_values_mean(chart: Chart):
    text = notes(
        chart,
        {"instance": {"enabled": True}, "crds": {"keep": False}, "watchNamespaces": [NAMESPACE]},
    )
    assert "An installation comes with this release" in text
    assert "WARNING: crds.keep is false" in text
    assert f"the namespaces {NAMESPACE}" in text


EXAMPLES = sorted((ROOT / "docs" / "examples").glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_are_what_the_definition_accepts(path: Path, chart: Chart):
    if path.name.startswith("values-"):
        objects = chart.objects(yaml.safe_load(path.read_text()), *KNOWS_NOETL_METRICS)
        objects = every(objects, "NoetlMetrics")
    else:
        objects = list(yaml.safe_load_all(path.read_text()))
    assert objects
    for made in objects:
        if made["kind"] == "NoetlMetrics":
            jsonschema.validate(made["spec"], SPEC)
            jsonschema.validate(made, CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
        else:
            kubernetes_validate.validate(made, "1.37", strict=True)
