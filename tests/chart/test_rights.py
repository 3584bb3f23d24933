"""The operator's rights are the least that do, and each has its reason."""

import json
import re

import pytest

from cases import each_case
from chart import CHART, ROOT, Chart, every, one


def rules_of(objects: list[dict], kind: str) -> list[dict]:
    return [rule for role in every(objects, kind) for rule in role["rules"]]


@each_case
def test_there_is_no_right_on_secrets_and_no_wildcard(chart: Chart, values: dict):
    objects = chart.objects(values)
    for rule in rules_of(objects, "ClusterRole") + rules_of(objects, "Role"):
        for words in rule.values():
            assert not any("*" in word for word in words)
        assert "secrets" not in rule.get("resources", [])


def test_every_rule_says_why(chart: Chart):
    templates = [path.read_text() for path in (CHART / "templates").glob("rbac*.yaml")]
    lines = [line.strip() for text in templates for line in text.splitlines()]
    begins = ("- apiGroups:", "- nonResourceURLs:")
    rules = [number for number, line in enumerate(lines) if line.startswith(begins)]
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


OPERATOR = ROOT / "src" / "operator" / "mod.rs"
KNOWN = {"core": ""}


def needed() -> set[tuple[str, str, str]]:
    """Group, resource and verb of each right that the operator's own table of rights names."""
    rights = set()
    for line in OPERATOR.read_text().splitlines():
        cells = [cell.strip() for cell in line.removeprefix("//! ").split("|")[1:-1]]
        if len(cells) == 4 and cells[0] not in ("group", "---"):
            group = KNOWN.get(cells[0], cells[0].strip("`"))
            resources = re.findall(r"`([a-z/]+)`", cells[1])
            verbs = [verb.strip() for verb in cells[2].split(",")]
            rights |= {(group, resource, verb) for resource in resources for verb in verbs}
    return rights


def test_rights_are_those_that_the_operator_says_it_needs(chart: Chart):
    if not OPERATOR.exists():
        pytest.skip("there is no src/operator")
    role = one(chart.objects(), "ClusterRole", "noetl-metrics-noetl-metrics")
    given = {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert given == needed()


def accounts_of(objects: list[dict], binding: str) -> list[str]:
    subjects = one(objects, "ClusterRoleBinding", binding)["subjects"]
    return [f"{subject['namespace']}/{subject['name']}" for subject in subjects]


def test_servers_review_tokens_only_where_that_is_chosen(chart: Chart):
    name = "noetl-metrics-noetl-metrics-reviewer"
    assert not every(chart.objects(), "ClusterRole", name)
    objects = chart.objects({"rbac": {"reviewers": ["a/b-server"]}})
    given = {
        (group, resource, verb)
        for rule in one(objects, "ClusterRole", name)["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert given == {
        ("authentication.k8s.io", "tokenreviews", "create"),
        ("authorization.k8s.io", "subjectaccessreviews", "create"),
    }
    assert accounts_of(objects, name) == ["a/b-server"]


def test_the_release_s_own_servers_review_where_its_resource_says_so(chart: Chart):
    instance = {"enabled": True, "name": "it", "spec": {"server": {"auth": {"review": True}}}}
    objects = chart.objects({"instance": instance, "rbac": {"reviewers": ["a/b"]}})
    assert accounts_of(objects, "noetl-metrics-noetl-metrics-reviewer") == [
        "a/b",
        "noetl/it-server",
    ]


def test_a_reader_may_get_just_the_endpoints_that_need_the_right_to_read(chart: Chart):
    objects = chart.objects({"rbac": {"readers": ["monitoring/vmagent"]}})
    name = "noetl-metrics-noetl-metrics-metrics-reader"
    rules = one(objects, "ClusterRole", name)["rules"]
    assert all(rule["verbs"] == ["get"] for rule in rules)
    described = json.loads((ROOT / "docs" / "openapi.json").read_text())["paths"]
    reads = {
        path
        for path, methods in described.items()
        for method in methods.values()
        if method.get("x-right") == "read"
    }
    assert {url for rule in rules for url in rule["nonResourceURLs"]} == {
        f"/noetl-metrics{path}" for path in (*reads, "/")
    }
    assert accounts_of(objects, name) == ["monitoring/vmagent"]
    assert not every(chart.objects(), "ClusterRoleBinding", name)
