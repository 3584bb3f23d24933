"""What the chart makes of its values: every branch of every template."""

import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml
from chart import CHART, KNOWS_NOETL_METRICS, NAMESPACE, ROOT, Chart, every, one, pod_specs

GOLDEN = Path(__file__).parent / "golden" / "defaults.yaml"
CRD = yaml.safe_load((CHART / "files" / "noetlmetrics.yaml").read_text())
DIGEST = "sha256:" + "a" * 64
OWN_KINDS = ("metrics.noetl.io", "operator.victoriametrics.com", "monitoring.coreos.com")
SCRAPE_APIS = {
    "VMServiceScrape": "operator.victoriametrics.com/v1beta1",
    "VMPodScrape": "operator.victoriametrics.com/v1beta1",
    "ServiceMonitor": "monitoring.coreos.com/v1",
    "PodMonitor": "monitoring.coreos.com/v1",
}
RULES_APIS = {
    "VMRule": "operator.victoriametrics.com/v1beta1",
    "PrometheusRule": "monitoring.coreos.com/v1",
}

# Values that between them take every branch; each must give objects that Kubernetes accepts.
EVERYTHING = {
    "global": {"imageRegistry": "mirror.example.org", "imagePullSecrets": ["mirror"]},
    "image": {"digest": DIGEST, "pullPolicy": "Always"},
    "nameOverride": "nm",
    "commonLabels": {"team": "platform"},
    "crds": {"annotations": {"example.org/note": "kept"}},
    "extraEnv": [{"name": "TZ", "value": "UTC"}],
    "podAnnotations": {"example.org/pod": "yes"},
    "podLabels": {"example.org/pod": "yes"},
    "deploymentAnnotations": {"example.org/deployment": "yes"},
    "priorityClassName": "system-cluster-critical",
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
    ],
    "serviceAccount": {"name": "me", "annotations": {"example.org/account": "yes"}},
    "service": {"annotations": {"example.org/service": "yes"}},
    "networkPolicy": {"from": [{"namespaceSelector": {}}]},
    "scrape": {"kind": "VMPodScrape", "labels": {"scraper": "main"}},
    "rules": {"kind": "VMRule", "labels": {"evaluator": "main"}},
    "dashboards": {
        "labels": {"example.org/dashboard": "yes"},
        "namespace": "grafana",
        "grafanaDashboards": {"enabled": True, "instanceSelector": {"dashboards": "grafana"}},
    },
    "instance": {
        "enabled": True,
        "annotations": {"example.org/instance": "yes"},
        "spec": {"server": {"replicas": 3}},
    },
    "extraObjects": [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "as-a-map"}},
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Release.Name }}-text'}",
    ],
}
CASES = {
    "defaults": {},
    "everything": EVERYTHING,
    "namespaced": {"watchNamespaces": ["noetl", "other"]},
    "least": {
        "replicas": 1,
        "crds": {"enabled": False},
        "serviceAccount": {"create": False},
        "rbac": {"create": False, "aggregate": False},
        "networkPolicy": {"enabled": False},
        "dashboards": {"configMaps": {"enabled": False}},
        "tests": {"enabled": False},
    },
    "crd goes with the release": {"crds": {"keep": False}},
    "dashboards by Grafana's operator only": {
        "dashboards": {
            "configMaps": {"enabled": False},
            "grafanaDashboards": {"enabled": True, "instanceSelector": {"a": "b"}},
        }
    },
    **{f"scraped by {kind}": {"scrape": {"kind": kind}} for kind in SCRAPE_APIS},
    **{f"rules as {kind}": {"rules": {"kind": kind}} for kind in RULES_APIS},
}
each_case = pytest.mark.parametrize("values", CASES.values(), ids=CASES)


def rules_of(objects: list[dict], kind: str) -> list[dict]:
    return [rule for role in every(objects, kind) for rule in role["rules"]]


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
    import os

    objects = [
        made for made in chart.objects() if "dashboard" not in str(made["metadata"]["labels"])
    ]
    objects = [made for made in objects if made["kind"] != "CustomResourceDefinition"]
    text = yaml.safe_dump_all(objects, sort_keys=False)
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()


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
        {"replicas": 0},
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


# Rights.


@each_case
def test_there_is_no_right_on_secrets_and_no_wildcard(chart: Chart, values: dict):
    objects = chart.objects(values)
    for rule in rules_of(objects, "ClusterRole") + rules_of(objects, "Role"):
        for words in (rule["apiGroups"], rule["resources"], rule["verbs"]):
            assert "*" not in words
        assert "secrets" not in rule["resources"]


def test_every_rule_says_why(chart: Chart):
    templates = [path.read_text() for path in (CHART / "templates").glob("rbac*.yaml")]
    lines = [line.strip() for text in templates for line in text.splitlines()]
    rules = [number for number, line in enumerate(lines) if line.startswith("- apiGroups:")]
    assert len(rules) > 15
    for number in rules:
        assert lines[number - 1].startswith("#"), lines[number]


def test_the_operator_may_bind_only_the_agents_role(chart: Chart):
    objects = chart.objects()
    binding = [rule for rule in rules_of(objects, "ClusterRole") if "bind" in rule["verbs"]]
    role = "noetl-metrics-noetl-metrics-agent"
    assert [rule["resourceNames"] for rule in binding] == [[role]]
    assert one(objects, "ClusterRole", role)
    arguments = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]["args"]
    assert f"--agent-cluster-role={role}" in arguments
    assert not [rule for rule in rules_of(objects, "ClusterRole") if "escalate" in rule["verbs"]]


def test_with_namespaces_the_operator_has_its_rights_there_only(chart: Chart):
    objects = chart.objects({"watchNamespaces": ["noetl", "other"]})
    assert not every(objects, "ClusterRoleBinding")
    watched = [made for made in every(objects, "Role") if "leader" not in made["metadata"]["name"]]
    assert [made["metadata"]["namespace"] for made in watched] == ["noetl", "other"]
    everywhere = one(chart.objects(), "ClusterRole", "noetl-metrics-noetl-metrics")
    assert watched[0]["rules"] == watched[1]["rules"] == everywhere["rules"]
    arguments = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]["args"]
    assert "--watch-namespaces=noetl,other" in arguments


def test_leader_election_is_limited_to_its_lease(chart: Chart):
    create, hold = one(chart.objects(), "Role")["rules"]
    assert create["verbs"] == ["create"]
    assert hold["resourceNames"] == ["noetl-metrics-operator"]


def test_users_of_a_namespace_get_rights_on_the_resource(chart: Chart):
    objects = chart.objects()
    view = one(objects, "ClusterRole", "noetl-metrics-noetl-metrics-view")
    edit = one(objects, "ClusterRole", "noetl-metrics-noetl-metrics-edit")
    aggregate = "rbac.authorization.k8s.io/aggregate-to-{}".format
    assert view["metadata"]["labels"][aggregate("view")] == "true"
    assert aggregate("view") not in edit["metadata"]["labels"]
    assert edit["metadata"]["labels"][aggregate("edit")] == "true"
    assert not any("noetlmetrics/status" in rule["resources"] for rule in edit["rules"])


# The definition.


def test_definition_is_kept_unless_said_otherwise(chart: Chart):
    policy = "helm.sh/resource-policy"
    made = one(chart.objects(), "CustomResourceDefinition")
    assert made["metadata"]["annotations"][policy] == "keep"
    assert made["spec"] == CRD["spec"]
    made = one(chart.objects({"crds": {"keep": False}}), "CustomResourceDefinition")
    assert policy not in made["metadata"].get("annotations", {})
    assert not every(chart.objects({"crds": {"enabled": False}}), "CustomResourceDefinition")


# Scraping and rules.


@pytest.mark.parametrize("kind", SCRAPE_APIS)
def test_scrape_object_names_the_port_of_the_container(chart: Chart, kind: str):
    for flags, values in (
        ([], {"scrape": {"kind": kind, "labels": {"scraper": "main"}}}),
        (
            ["--api-versions", f"{SCRAPE_APIS[kind]}/{kind}"],
            {"scrape": {"labels": {"scraper": "main"}}},
        ),
    ):
        objects = chart.objects(values, *flags)
        made = one(objects, kind)
        assert made["apiVersion"] == SCRAPE_APIS[kind]
        assert made["metadata"]["labels"]["scraper"] == "main"
        by_pod = kind in ("VMPodScrape", "PodMonitor")
        (endpoint,) = made["spec"]["podMetricsEndpoints" if by_pod else "endpoints"]
        container = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]
        ports = container["ports"] if by_pod else one(objects, "Service")["spec"]["ports"]
        assert [port["name"] for port in ports] == [endpoint["port"]] == ["metrics"]


@pytest.mark.parametrize("kind", RULES_APIS)
def test_rules_object_holds_the_rules_untouched(chart: Chart, kind: str):
    rules = yaml.safe_load((CHART / "rules" / "operator.yaml").read_text())
    for flags, values in (
        ([], {"rules": {"kind": kind}}),
        (["--api-versions", f"{RULES_APIS[kind]}/{kind}"], {}),
    ):
        made = one(chart.objects(values, *flags), kind)
        assert made["apiVersion"] == RULES_APIS[kind]
        assert made["spec"] == rules


def test_auto_makes_nothing_where_no_kind_is_known(chart: Chart):
    made = {made["kind"] for made in chart.objects()}
    assert not made & {*SCRAPE_APIS, *RULES_APIS}


def test_none_makes_nothing_where_kinds_are_known(chart: Chart):
    flags = [
        flag
        for kind, api in {**SCRAPE_APIS, **RULES_APIS}.items()
        for flag in ("--api-versions", f"{api}/{kind}")
    ]
    values = {"scrape": {"kind": "None"}, "rules": {"kind": "None"}}
    made = {made["kind"] for made in chart.objects(values, *flags)}
    assert not made & {*SCRAPE_APIS, *RULES_APIS}


# Dashboards.


def test_dashboards_come_unchanged_for_grafanas_sidecar(chart: Chart):
    made = [made for made in every(chart.objects(), "ConfigMap")]
    assert len(made) == 5
    for config in made:
        assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert config["metadata"]["annotations"]["grafana_folder"] == "NoETL"
        ((name, text),) = config["data"].items()
        file = CHART / "dashboards" / name.removeprefix("noetl-")
        assert json.loads(text) == json.loads(file.read_text())


def test_dashboards_come_for_grafanas_operator(chart: Chart):
    objects = chart.objects(EVERYTHING)
    for made in every(objects, "GrafanaDashboard"):
        assert made["spec"]["instanceSelector"] == {"matchLabels": {"dashboards": "grafana"}}
        reference = made["spec"]["configMapRef"]
        config = one(objects, "ConfigMap", reference["name"])
        assert reference["key"] in config["data"]
        assert config["metadata"]["namespace"] == made["metadata"]["namespace"] == "grafana"
    assert len(every(objects, "GrafanaDashboard")) == 5


def test_without_the_sidecar_its_label_is_not_set(chart: Chart):
    objects = chart.objects(CASES["dashboards by Grafana's operator only"])
    assert "grafana_dashboard" not in every(objects, "ConfigMap")[0]["metadata"]["labels"]


def test_grafanas_operator_needs_a_selector(chart: Chart):
    why = chart.refusal({"dashboards": {"grafanaDashboards": {"enabled": True}}})
    assert "instanceSelector" in why


# The release's own installation.


def test_instance_is_an_ordinary_resource_where_its_kind_is_known(chart: Chart):
    made = one(chart.objects(EVERYTHING, *KNOWS_NOETL_METRICS), "NoetlMetrics")
    assert made["metadata"]["annotations"] == {"example.org/instance": "yes"}
    assert made["metadata"]["namespace"] == NAMESPACE
    assert made["spec"]["server"] == {"replicas": 3}
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


@pytest.mark.parametrize(
    "path", sorted((ROOT / "docs" / "examples").glob("*.yaml")), ids=lambda path: path.name
)
def test_examples_are_what_the_definition_accepts(path: Path):
    for made in yaml.safe_load_all(path.read_text()):
        if made["kind"] == "NoetlMetrics":
            jsonschema.validate(made, CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
        elif not made["apiVersion"].startswith(OWN_KINDS):
            kubernetes_validate.validate(made, "1.37", strict=True)
