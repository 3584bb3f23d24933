"""The alerts that the operator makes of a resource: each fires when it should, and not before."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from chart import ROOT
from support.process import tool

# Minute by minute, in promtool's notation: what fires comes after ten minutes of quiet.
OWN = 'job="noetl-metrics",namespace="noetl",pod="noetl-server-0"'
DATA = 'job="noetl",instance="noetl/noetl"'
NODE = f'{DATA},component="node-1",component_type="node_agent"'
RETENTION = 'noetl_metrics_operator_resources{condition="RetentionHealthy"'
WORKER = f'{DATA},component="worker-1",component_type="worker_pool"'


@dataclass(frozen=True)
class Case:
    """Series with which an alert fires within an hour, and others with which it never does."""

    fires: dict[str, str]
    quiet: dict[str, str]


CASES = {
    "NoetlMetricsServerDown": Case(
        {f"up{{{OWN}}}": "1x10 0x60"},
        {f"up{{{OWN}}}": "1x10 0x4 1x60"},
    ),
    "NoetlMetricsNoActiveServer": Case(
        {f"noetl_metrics_active{{{OWN}}}": "1x10 0x60"},
        # One hands over to the other.
        {
            f"noetl_metrics_active{{{OWN}}}": "1x10 0x60",
            f"noetl_metrics_active{{{OWN.replace('-0', '-1')}}}": "0x11 1x60",
        },
    ),
    "NoetlMetricsCommitFailing": Case(
        {f"noetl_metrics_commit_failures_total{{{OWN}}}": "0x10 0+1x60"},
        {f"noetl_metrics_commit_failures_total{{{OWN}}}": "7x70"},
    ),
    "NoetlMetricsReportsRejected": Case(
        {f'noetl_metrics_samples_rejected_total{{{OWN},field="labels"}}': "0x10 0+3x60"},
        {f'noetl_metrics_samples_rejected_total{{{OWN},field="labels"}}': "3x70"},
    ),
    "NoetlMetricsSeriesLimitNear": Case(
        {f"noetl_metrics_live_series{{{OWN}}}": "700000x10 800001x60"},
        {f"noetl_metrics_live_series{{{OWN}}}": "800000x70"},
    ),
    # promtool's clock begins at 0.
    "NoetlMetricsCertificateEnding": Case(
        {f"noetl_metrics_tls_certificate_not_after_seconds{{{OWN}}}": "604800x10 259200x60"},
        {
            f"noetl_metrics_tls_certificate_not_after_seconds{{{OWN}}}": "604800x70",
            f"noetl_agent_tls_certificate_not_after_seconds{{{NODE}}}": "264000x70",
        },
    ),
    "NoetlMetricsRetentionFailing": Case(
        {f'{RETENTION},status="false"}}': "0x9 1x60"},
        {f'{RETENTION},status="unknown"}}': "1x70"},
    ),
    "NoetlMetricsAgentMissing": Case(
        {f"noetl_component_up{{{NODE}}}": "1x10 0x60"},
        {
            f"noetl_component_up{{{NODE}}}": "1x10 0x4 1x60",
            f"noetl_component_up{{{WORKER}}}": "0x70",
        },
    ),
    "NoetlComponentDown": Case(
        {f"noetl_component_up{{{WORKER}}}": "1x10 0x60"},
        {f"noetl_component_up{{{WORKER}}}": "1x70", f"noetl_component_up{{{NODE}}}": "0x70"},
    ),
    "NoetlNodeCpuHigh": Case(
        {f"noetl_system_cpu_usage_percent{{{NODE}}}": "20x10 91x60"},
        {f"noetl_system_cpu_usage_percent{{{NODE}}}": "20x10 100x9 90x60"},
    ),
    "NoetlNodeMemoryHigh": Case(
        {f"noetl_system_memory_usage_percent{{{NODE}}}": "20x10 91x60"},
        {f"noetl_system_memory_usage_percent{{{NODE}}}": "90x70"},
    ),
    "NoetlNodeFilesystemFull": Case(
        {
            f'node_filesystem_avail_bytes{{{NODE},mountpoint="/"}}': "50x10 9x60",
            f'node_filesystem_size_bytes{{{NODE},mountpoint="/"}}': "100x70",
        },
        {
            f'node_filesystem_avail_bytes{{{NODE},mountpoint="/"}}': "10x70",
            f'node_filesystem_size_bytes{{{NODE},mountpoint="/"}}': "100x70",
        },
    ),
    "NoetlQueueGrowing": Case(
        {f"noetl_worker_queue_size{{{WORKER}}}": "0x10 1+1x60"},
        # Deep, but it gets no deeper.
        {f"noetl_worker_queue_size{{{WORKER}}}": "50-1x20 30x60"},
    ),
}


def groups(kind: str) -> list[dict]:
    """The rules that the operator makes: its own tests hold that it makes just these."""
    file = {"VMRule": "defaults", "PrometheusRule": "everything"}[kind]
    text = (ROOT / "src" / "operator" / "build" / "golden" / f"{file}.yaml").read_text()
    found = [one for one in yaml.safe_load_all(text) if one and one["kind"] == kind]
    assert len(found) == 1
    return found[0]["spec"]["groups"]


def firing(series: dict[str, str], alert: str, count: int) -> dict:
    """One of promtool's tests: how often an alert fires at some time of the hour after."""
    seen = f'count(max_over_time(ALERTS{{alertname="{alert}",alertstate="firing"}}[70m]))'
    return {
        "name": f"{alert} fires {count} times",
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": seen,
                "eval_time": "70m",
                "exp_samples": [{"labels": "{}", "value": count}] if count else [],
            }
        ],
    }


def promtool(folder: Path, *tests: dict, kind: str = "VMRule") -> subprocess.CompletedProcess:
    """Runs tests of the rules, which are those at their defaults."""
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": groups(kind)}))
    file = folder / "test.yaml"
    file.write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "tests": list(tests)}))
    command = [tool("promtool", "prometheus"), "test", "rules", file]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize("alert", CASES)
def test_alert_fires_when_it_should_and_not_before(alert: str, tmp_path: Path):
    case = CASES[alert]
    tests = [firing(case.fires, alert, 1), firing(case.quiet, alert, 0)]
    done = promtool(tmp_path, *tests)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_alert_that_should_not_fire_is_found(tmp_path: Path):
    alert = "NoetlNodeCpuHigh"
    done = promtool(tmp_path, firing(CASES[alert].fires, alert, 0))
    assert done.returncode != 0


@pytest.mark.parametrize("kind", ["VMRule", "PrometheusRule"])
def test_no_alert_is_without_a_case(kind: str):
    # Those of a resource's own rules have other names.
    own = {rule.get("alert", "") for group in groups(kind) for rule in group["rules"]}
    assert {alert for alert in own if alert.startswith("Noetl")} == set(CASES)


@pytest.mark.parametrize("kind", ["VMRule", "PrometheusRule"])
def test_promtool_finds_no_fault_in_the_rules(kind: str, tmp_path: Path):
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": groups(kind)}))
    command = [tool("promtool", "prometheus"), "check", "rules", "--lint-fatal", file]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_aggregates_of_a_resource_are_recorded_and_alerts_are_over_them(tmp_path: Path):
    """Of this resource's servers only; one may be made of the one before it, in the same moment."""
    data = 'job="noetl",instance="noetl/noetl",component_type="worker_pool"'
    queue = f"noetl_worker_queue_size{{{data},"
    own = 'noetl_metrics="noetl/noetl"'
    recorded = [
        ("noetl_pool_queue_size", [f'{{{own},pool="blue"}}', f'{{{own},pool="red"}}'], [1003, 5]),
        ("noetl_queue_size_longest", [f"{{{own}}}"], [1003]),
    ]
    test = {
        "interval": "1m",
        "input_series": [
            {"series": f'{queue}component="worker-1",pool="blue"}}', "values": "3x9"},
            {"series": f'{queue}component="worker-2",pool="blue"}}', "values": "1000x9"},
            {"series": f'{queue}component="worker-3",pool="red"}}', "values": "5x9"},
            {"series": f'{queue}component="other",pool="red"}}', "values": "7x9"},
            {
                "series": 'noetl_worker_queue_size{job="noetl",instance="other/noetl",'
                'component="worker-1",pool="blue"}',
                "values": "99999x9",
            },
        ],
        "promql_expr_test": [
            {
                "expr": name,
                "eval_time": "5m",
                "exp_samples": [
                    {"labels": name + labels, "value": value}
                    for labels, value in zip(each, values, strict=True)
                ],
            }
            for name, each, values in recorded
        ],
        "alert_rule_test": [
            {
                "eval_time": "5m",
                "alertname": "PoolLong",
                "exp_alerts": [
                    {
                        "exp_labels": {
                            "noetl_metrics": "noetl/noetl",
                            "pool": "blue",
                            "severity": "warning",
                        }
                    }
                ],
            }
        ],
    }
    done = promtool(tmp_path, test, kind="PrometheusRule")
    assert done.returncode == 0, done.stdout + done.stderr
