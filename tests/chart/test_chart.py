"""What the chart makes of its values: objects that Kubernetes accepts, for every branch."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from cases import DIGEST, SCRAPE_APIS, each_case
from chart import CHART, ROOT, Chart, every, one, pod_specs

GOLDEN = Path(__file__).parent / "golden" / "defaults.yaml"


@each_case
def test_objects_are_what_kubernetes_accepts(chart: Chart, values: dict):
    for made in chart.objects(values):
        if "." not in made["apiVersion"] or made["apiVersion"].split("/")[0].endswith(".k8s.io"):
            kubernetes_validate.validate(made, "1.37", strict=True)


@each_case
def test_every_object_is_labelled_and_named_once(chart: Chart, values: dict):
    extra = {"as-a-map", "metrics-text"}
    seen = set()
    for made in chart.objects(values):
        meta = made["metadata"]
        if meta["name"] in extra:
            continue
        assert meta["labels"]["app.kubernetes.io/managed-by"] == "Helm"
        assert meta["labels"]["helm.sh/chart"] == "noetl-metrics-0.1.0"
        key = (
            made["kind"],
            meta.get("namespace"),
            meta["name"],
            meta.get("annotations", {}).get("helm.sh/hook"),
        )
        assert key not in seen
        seen.add(key)


@each_case
def test_pods_meet_the_restricted_standard(chart: Chart, values: dict):
    pods = list(pod_specs(chart.objects(values)))
    assert pods
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        assert all("hostPath" not in volume for volume in pod.get("volumes", []))
        for container in pod["containers"]:
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["readOnlyRootFilesystem"] is True
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert {"cpu", "memory"} <= set(container["resources"]["requests"])
            assert "memory" in container["resources"]["limits"]


@each_case
def test_selectors_select_the_operators_pods(chart: Chart, values: dict):
    objects = chart.objects(values)
    deployment = one(objects, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    selecting = [
        deployment["spec"]["selector"]["matchLabels"],
        one(objects, "Service")["spec"]["selector"],
    ]
    for kind in ("PodDisruptionBudget", *SCRAPE_APIS):
        selecting += [made["spec"]["selector"]["matchLabels"] for made in every(objects, kind)]
    selecting += [
        made["spec"]["podSelector"]["matchLabels"] for made in every(objects, "NetworkPolicy")
    ]
    for selector in selecting:
        assert selector.items() <= labels.items()
        assert set(selector) == {
            f"app.kubernetes.io/{key}" for key in ("name", "instance", "component")
        }
    for test in every(objects, "Pod"):
        assert not selecting[0].items() <= test["metadata"]["labels"].items()


def test_defaults_are_as_committed(chart: Chart):
    """A change of what the chart makes is seen in review. UPDATE_GOLDEN=1 writes it anew."""
    objects = [
        made for made in chart.objects() if "dashboard" not in str(made["metadata"]["labels"])
    ]
    objects = [made for made in objects if made["kind"] != "CustomResourceDefinition"]
    text = yaml.safe_dump_all(objects, sort_keys=False)
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()


def test_helm_test_speaks_tls_where_the_instance_does(chart: Chart):
    def of(tls: dict | None) -> tuple[list[str], list[str]]:
        server = {"tls": tls} if tls else {}
        instance = {"enabled": True, "spec": {"server": server}}
        pod = one(chart.objects({"instance": instance}), "Pod")["spec"]
        secrets = [v["secret"]["secretName"] for v in pod["volumes"] if "secret" in v]
        return pod["containers"][0]["args"], secrets

    args, secrets = of(None)
    assert secrets == []
    assert not any("tls" in arg for arg in args)
    assert any(arg.startswith("--server-url=http://") for arg in args)
    args, secrets = of({"secretName": "servers"})
    assert secrets == ["servers"]
    assert any("--tls-ca-file=" in arg for arg in args)
    assert any(arg.startswith("--server-url=https://") for arg in args)
    args, secrets = of({"secretName": "servers", "clientSecretName": "callers"})
    assert secrets == ["servers", "callers"]
    assert any("--tls-key-file=" in arg for arg in args)


def test_generated_files_are_up_to_date():
    done = subprocess.run([sys.executable, ROOT / "scripts" / "chart_values.py", "--check"])
    assert done.returncode == 0


def test_helm_finds_nothing_to_say(chart: Chart):
    done = subprocess.run([chart.helm, "lint", "--strict", CHART], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


# Values.


@pytest.mark.parametrize(
    "values",
    [
        {"replicaCount": 3},
        {"image": {"tga": "1"}},
        {"image": {"digest": "sha256:short"}},
        {"replicas": 6},
        {"scrape": {"kind": "vmpodscrape"}},
        {"watchNamespaces": "noetl"},
        {"instance": {"name": "Upper"}},
        {"instance": {"spec": {"databse": {}}}},
        {"instance": {"spec": {"server": {"replica": 2}}}},
        {"instance": {"spec": {"scrape": {"kind": "Sometimes"}}}},
        {"tolerations": {"operator": "Exists"}},
    ],
    ids=json.dumps,
)
def test_a_typing_error_is_refused(chart: Chart, values: dict):
    assert "values don't meet the specifications" in chart.refusal(values)


def test_every_value_is_used_by_a_template():
    templates = "\n".join(path.read_text() for path in (CHART / "templates").rglob("*.*"))
    used = set(re.findall(r"\.Values\.([\w.]+)", templates))
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    def leaves(node: dict, path: str = ""):
        for key, value in node.items():
            here = f"{path}{key}"
            if isinstance(value, dict) and here not in used:
                yield from leaves(value, f"{here}.")
            else:
                yield here

    assert not [leaf for leaf in leaves(values) if leaf not in used]


def test_a_parent_chart_may_have_globals_of_its_own(chart: Chart):
    assert chart.objects({"global": {"somethingElse": True}})


# The image.


@pytest.mark.parametrize(
    ("values", "image"),
    [
        ({}, "ghcr.io/noetl/noetl-metrics:0.1.0"),
        ({"image": {"tag": "main"}}, "ghcr.io/noetl/noetl-metrics:main"),
        ({"image": {"tag": "main", "digest": DIGEST}}, f"ghcr.io/noetl/noetl-metrics@{DIGEST}"),
        ({"image": {"registry": ""}}, "noetl/noetl-metrics:0.1.0"),
        ({"global": {"imageRegistry": "a.b:5000"}}, "a.b:5000/noetl/noetl-metrics:0.1.0"),
    ],
)
def test_image_of_the_operator_and_of_what_it_makes(chart: Chart, values: dict, image: str):
    objects = chart.objects(values)
    for pod in pod_specs(objects):
        assert [container["image"] for container in pod["containers"]] == [image]
    arguments = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]["args"]
    assert f"--image={image}" in arguments
