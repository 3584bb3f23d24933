"""Every selector of dashboards and rules is met by a series that running programs export."""

import re
import subprocess

import pytest
import yaml

from chart import CHART, ROOT
from contract import Exports, unmet
from dashboards import DASHBOARDS, looked_up, queries, selectors
from support.process import tool

RULES = CHART / "rules" / "operator.yaml"
ALERTS = {
    rule["alert"]: rule
    for group in yaml.safe_load(RULES.read_text())["groups"]
    for rule in group["rules"]
}
RUNBOOKS = ROOT / "docs" / "runbooks"
# The installation's own alerts are made by the operator from the thresholds of a resource.
OF_AN_INSTALLATION = {
    "NoetlMetricsServerDown",
    "NoetlMetricsNoActiveServer",
    "NoetlMetricsCommitFailing",
    "NoetlMetricsReportsRejected",
    "NoetlMetricsSeriesLimitNear",
    "NoetlMetricsCertificateEnding",
    "NoetlMetricsRetentionFailing",
    "NoetlMetricsAgentMissing",
    "NoetlComponentDown",
    "NoetlNodeCpuHigh",
    "NoetlNodeMemoryHigh",
    "NoetlNodeFilesystemFull",
    "NoetlQueueGrowing",
}


@pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS)
def test_every_selector_of_a_dashboard_is_met(dashboard: dict, exported: Exports):
    series = exported.series()
    missing = {
        query.where: unmet(selectors(query.expression), series) for query in queries(dashboard)
    }
    assert not {where: found for where, found in missing.items() if found}


@pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS)
def test_every_variable_has_something_to_choose(dashboard: dict, exported: Exports):
    series = exported.series()
    for name, selector, _ in looked_up(dashboard):
        # These two are what an installation adds, or not.
        if name not in ("cluster", "namespace"):
            assert not unmet(selectors(selector), series), name


def test_every_selector_of_a_rule_is_met(exported: Exports):
    series = exported.series()
    for name, rule in ALERTS.items():
        assert not unmet(selectors(rule["expr"]), series), name


def test_a_selector_of_a_metric_that_nobody_exports_is_found(exported: Exports):
    assert unmet(selectors("rate(noetl_made_up_total[5m])"), exported.series())


def test_promtool_finds_no_fault_in_the_rules():
    done = subprocess.run(
        [tool("promtool", "prometheus"), "check", "rules", "--lint-fatal", RULES],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_fires_when_it_should_and_not_before():
    tests = ROOT / "tests" / "chart" / "rules_test.yaml"
    done = subprocess.run(
        [tool("promtool", "prometheus"), "test", "rules", tests.name],
        cwd=tests.parent,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    tested = {
        expected["alertname"]
        for test in yaml.safe_load(tests.read_text())["tests"]
        for expected in test["alert_rule_test"]
        if expected.get("exp_alerts")
    }
    assert tested == set(ALERTS)


def test_each_alert_says_what_and_where_to_read_on():
    for name, rule in ALERTS.items():
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert {"summary", "description", "runbook_url"} <= set(rule["annotations"])
        assert rule["annotations"]["runbook_url"].endswith(f"/docs/runbooks/{name}.md")


@pytest.mark.parametrize("alert", sorted(OF_AN_INSTALLATION | set(ALERTS)))
def test_each_alert_has_a_runbook(alert: str):
    text = (RUNBOOKS / f"{alert}.md").read_text()
    headings = re.findall(
        r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE
    )
    assert headings == [alert, "Meaning", "Impact", "Diagnosis", "Mitigation"]
    assert "```sh" in text.split("## Diagnosis")[1]


def test_there_is_no_runbook_without_an_alert():
    there = {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"}
    assert there == OF_AN_INSTALLATION | set(ALERTS)
