"""What scrapers, evaluators of rules, and Grafana find."""

import json

import pytest
import yaml

from cases import CASES, EVERYTHING, RULES_APIS, SCRAPE_APIS
from chart import CHART, Chart, every, one

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
    made = every(chart.objects(), "ConfigMap")
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
