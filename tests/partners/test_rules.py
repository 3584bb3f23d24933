"""Rules mean in Prometheus what they mean here: promtool evaluates the same histories."""

import json
import random
import signal
import subprocess
import time
from datetime import datetime, timezone
from pathlib import Path

import psycopg
import pytest
import yaml

from support.process import Process, running, tool, wait_for
from support.server import Server, metric, program

RULES = """
aggregates:
  - {name: side_heat, metric: heat, by: [side], function: sum}
  - {name: mean_heat, metric: heat, labels: {zone: "!=c"}, by: [component, side], function: avg}
  - {name: least_heat, metric: heat, by: [none], function: min}
  - {name: side_most, metric: side_heat, function: max}
  - {name: zones, metric: heat, labels: {zone: "=~a|b|c"}, function: count}
rules:
  - {name: Side, metric: side_heat, labels: {side: right}, comparison: ">", threshold: 2}
  - {name: Sides, metric: side_heat, comparison: ">", threshold: 20, summary: "{{ $labels.side }}"}
  - {name: SumIs, metric: side_heat, comparison: "==", threshold: 22.5}
  - {name: MeanIs, metric: mean_heat, comparison: "==", threshold: 15}
  - {name: Mean, metric: mean_heat, comparison: ">=", threshold: 11.25, for: 15s}
  - {name: Least, metric: least_heat, comparison: "!=", threshold: 10}
  - {name: LeastIs, metric: least_heat, comparison: "==", threshold: 2.5}
  - {name: Most, metric: side_most, comparison: "<", threshold: 30, for: 30s, keepFiringFor: 45s}
  - {name: Few, metric: zones, comparison: "<=", threshold: 2, for: 1m}
  - {name: NoSide, metric: side_heat, labels: {side: left}, comparison: absent}
  - {name: Above, metric: heat, comparison: ">", threshold: 10, summary: "{{ $labels.zone }}"}
  - {name: Long, metric: heat, comparison: ">=", threshold: 10, for: 1m, severity: critical}
  - {name: Kept, metric: heat, comparison: "==", threshold: 20, for: 30s, keepFiringFor: 1m}
  - {name: Other, metric: heat, labels: {zone: "!~a|b"}, comparison: "!=", threshold: 1}
  - {name: Below, metric: heat, labels: {zone: "=~a|c"}, comparison: "<", threshold: 2.5, for: 15s}
  - {name: AtMost, metric: heat, labels: {zone: b}, comparison: "<=", threshold: 1, for: 2m}
  - {name: Gone, metric: heat, labels: {component: w, zone: c}, comparison: absent, for: 45s}
"""

SIDES = {"a": "left", "b": "left", "c": "right"}

STEP = 15
STEPS = 120
#: Nothing for longer than the five minutes after which a series is not there any more.
SILENCE = 30


def history(chance: random.Random) -> list[float | str | None]:
    """Values of a series at each step, in runs; `None` where there is none."""
    values: list[float | str | None] = []
    while len(values) < STEPS:
        run = chance.choice([1, 2, 3, 5, 9])
        values += [chance.choice([1, 2.5, 10, 20, 20, "NaN", None])] * run
    silent = chance.randrange(STEPS - SILENCE)
    values[silent : silent + SILENCE] = [None] * SILENCE
    return values[:STEPS]


def at(begin: int, step: int) -> str:
    """The time of a step, as reports have it."""
    return datetime.fromtimestamp(begin + step * STEP, timezone.utc).isoformat()


def firing(report: list[dict], rule: str, now: float) -> list[dict]:
    """The alerts of a rule that would be firing at a time, in the form of promtool."""

    def seconds(text: str | None) -> float:
        if text is None:
            return float("inf")
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()

    return [
        {
            "exp_labels": {k: v for k, v in alert["labels"].items() if k != "alertname"},
            "exp_annotations": alert["annotations"],
        }
        for alert in report
        if alert["alert"] == rule
        and seconds(alert["fired_at"]) <= now < seconds(alert["resolved_at"])
    ]


@pytest.mark.parametrize("seed", range(3))
def test_promtool_says_the_same_of_random_histories(
    server: Server, database_url: str, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    series = {zone: history(chance) for zone in "abc"}
    begin = int(time.time()) // 3600 * 3600 - 7200
    server.register("w")
    samples = [
        metric(
            "heat",
            "gauge",
            value,
            labels={"zone": zone, "side": SIDES[zone]},
            timestamp=at(begin, step),
        )
        for zone, values in series.items()
        for step, value in enumerate(values)
        if value is not None
    ]
    server.report("w", *samples)

    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES)
    window = ["--start", at(begin, 0), "--end", at(begin, STEPS - 1)]
    command = ["rules", "test", f"--rules-file={rules}", f"--database-url={database_url}"]
    done = subprocess.run(
        [program(), *command, *window, "-o", "json"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 3, done.stderr
    report = json.loads(done.stdout)["alerts"]
    names = [rule["name"] for rule in yaml.safe_load(RULES)["rules"]]
    assert len({alert["alert"] for alert in report}) > len(names) // 2, report

    written = [program(), "rules", "check", "--prometheus", str(rules)]
    prometheus = tmp_path / "prometheus.yaml"
    prometheus.write_text(subprocess.run(written, capture_output=True, text=True).stdout)
    labels = 'component="w",component_type="worker_pool"'
    case = {
        "interval": f"{STEP}s",
        "input_series": [
            {
                "series": f'heat{{{labels},zone="{zone}",side="{SIDES[zone]}"}}',
                "values": " ".join("_" if value is None else str(value) for value in values),
            }
            for zone, values in series.items()
        ],
        "alert_rule_test": [
            {
                "eval_time": f"{step * STEP}s",
                "alertname": name,
                "exp_alerts": firing(report, name, begin + step * STEP),
            }
            for name in names
            for step in range(STEPS)
        ],
    }
    tests = tmp_path / "tests.yaml"
    tests.write_text(
        yaml.safe_dump(
            {
                "rule_files": [str(prometheus)],
                "evaluation_interval": f"{STEP}s",
                "tests": [case],
            }
        )
    )
    promtool = [tool("promtool", "prometheus"), "test", "rules", str(tests)]
    done = subprocess.run(promtool, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]


def test_who_waits_is_told_how_far_it_is(server: Server, database_url: str, tmp_path: Path) -> None:
    server.register("w")
    server.report("w", metric("heat", "gauge", 1))
    rules = tmp_path / "rules.yaml"
    rules.write_text('rules: [{name: Hot, metric: heat, comparison: ">", threshold: 10}]')
    command = [program(), "rules", "test", f"--rules-file={rules}"]
    command.append(f"--database-url={database_url}")
    with psycopg.connect(database_url) as connection:
        connection.execute("LOCK TABLE noetl_metrics.sample_late IN ACCESS EXCLUSIVE MODE")
        with running(Process(command, tmp_path / "test.log")) as test:
            waits = "select from pg_locks where not granted and relation = %s::regclass"
            late = ["noetl_metrics.sample_late"]
            wait_for("its question", lambda: connection.execute(waits, late).fetchone() is not None)
            # As if the answer took more than ten seconds.
            test.child.send_signal(signal.SIGSTOP)
            connection.rollback()
            time.sleep(10.5)
            test.child.send_signal(signal.SIGCONT)
            assert test.child.wait(60) == 0, test.tail()
            said = test.log.read_text()
    assert "tested: 50 %, at rule 1 of 1, Hot" in said, said
    assert "Hot: would not have fired" in said


def test_a_file_that_is_missing_is_named_with_its_flag() -> None:
    command = [program(), "rules", "test", "--rules-file", "/nowhere/r.yaml"]
    done = subprocess.run(
        [*command, "--database-url", "postgres://h/d"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "--rules-file /nowhere/r.yaml: " in done.stderr, done.stderr
