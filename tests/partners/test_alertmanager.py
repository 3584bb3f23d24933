"""Alerts that the server evaluates, as a real Alertmanager sees them."""

from pathlib import Path

from support.alertmanager import Alertmanager, alertmanager
from support.process import free_port, wait_for
from support.server import Server, metric

RULES = """
rules:
  - name: High
    metric: heat
    labels: {component: "=~reporter|other"}
    comparison: ">"
    threshold: 10
    for: 1s
    severity: critical
    summary: "{{ $labels.component }} is at {{ $value }}"
"""

LABELS = {
    "alertname": "High",
    "component": "reporter",
    "component_type": "worker_pool",
    "severity": "critical",
}


def the_alert(manager: Alertmanager) -> dict:
    """The one alert that there is."""
    [alert] = manager.alerts()
    return alert


def told_after(manager: Alertmanager, before: dict) -> dict:
    """The same alert, once the Alertmanager heard of it again; it is there all the time."""
    other_than_one: list[list[dict]] = []

    def again() -> dict | None:
        alerts = manager.alerts()
        if len(alerts) != 1:
            other_than_one.append(alerts)
        later = [alert for alert in alerts if alert["updatedAt"] > before["updatedAt"]]
        return later[0] if later else None

    alert = wait_for("the Alertmanager to be told again", again, seconds=40)
    assert not other_than_one, other_than_one
    return alert


def start_two(start_server, rules: Path, manager: Alertmanager) -> list[Server]:
    """Two servers on one database; the first is active."""
    servers = []
    for _ in range(2):
        port = free_port()
        servers.append(
            start_server(
                f"--advertise-url=http://127.0.0.1:{port}",
                "--lease-duration=3s",
                f"--rules-file={rules}",
                "--rules-interval=500ms",
                f"--alertmanager-url={manager.url}",
                # An Alertmanager takes an alert for resolved after four times as long.
                "--alert-resend-interval=5s",
                port=port,
            )
        )
    return servers


def test_an_alert_stays_one_over_a_hand_over_and_is_resolved(start_server, tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES)
    with alertmanager(tmp_path / "alertmanager") as manager:
        first, second = start_two(start_server, rules, manager)
        first.register("reporter")
        first.report("reporter", metric("heat", "gauge", 11.5))
        alert = wait_for("the alert to appear", lambda: the_alert(manager))
        assert alert["labels"] == LABELS
        assert alert["annotations"] == {"summary": "reporter is at 11.5"}
        assert alert["status"]["state"] == "active"

        again = told_after(manager, alert)
        assert again["fingerprint"] == alert["fingerprint"]

        first.process.child.kill()
        first.process.child.wait()
        # What is on its way when the first one dies may still arrive; then it is the other one.
        after = told_after(manager, told_after(manager, again))
        assert after["fingerprint"] == alert["fingerprint"]
        assert after["startsAt"] == alert["startsAt"]

        def reported() -> bool:
            second.report("reporter", metric("heat", "gauge", 1))
            return True

        wait_for("the other server to take reports", reported)
        wait_for("the alert to be resolved", lambda: not manager.alerts())
