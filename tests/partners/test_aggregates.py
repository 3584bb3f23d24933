"""Aggregates of a server are what Prometheus and VictoriaMetrics make of the same file."""

import math
import subprocess
from pathlib import Path

import pytest
import yaml

from support.process import wait_for
from support.scrapers import Prometheus, Scraper, VictoriaMetrics, scraping
from support.series import Values, series
from support.server import Server, metric, program

RULES = """
aggregates:
  - {name: pool_tasks, metric: tasks, by: [pool], function: sum}
  - {name: pool_mean, metric: tasks, labels: {queue: "!=c"}, by: [pool], function: avg}
  - {name: queue_least, metric: tasks, labels: {component: "=~w[12]"}, by: [queue], function: min}
  - {name: component_most, metric: tasks, by: [component, none], function: max}
  - {name: all_series, metric: tasks, function: count}
  - {name: pools_most, metric: pool_tasks, function: max}
  - {name: up_by_type, metric: noetl_component_up, by: [component_type], function: sum}
  - {name: nothing, metric: tasks, labels: {pool: none}, function: sum}
"""

EMPTY = {"nothing"}


def tasks(pool: str, queue: str, number: float) -> dict:
    labels = {"pool": pool, "queue": queue} if pool else {"queue": queue}
    return metric("tasks", "gauge", number, labels=labels)


def report(server: Server) -> None:
    server.report("w1", tasks("blue", "a", 1), tasks("blue", "b", 0.1), tasks("", "a", -7.5))
    server.report("w2", tasks("blue", "a", 1e9), tasks("red", "a", 10), tasks("red", "c", 3))
    server.report("w3", tasks("red", "b", 10 / 3), tasks("", "b", 2**53))


def of_groups(values: Values) -> Values:
    """What the server made, with the labels that its groups have."""
    taken = {}
    for (name, labels), number in values.items():
        own = dict(labels)
        assert own.pop("component") == "noetl-metrics-aggregates"
        assert own.pop("component_type") == "aggregates"
        groups = {label.removeprefix("exported_"): text for label, text in own.items()}
        taken[series(name, groups)] = number
    return taken


@pytest.mark.parametrize("kind", [Prometheus, VictoriaMetrics], ids=lambda kind: kind.__name__)
def test_scrapers_make_the_same_of_the_same_definitions(
    start_server, tmp_path: Path, kind: type[Scraper]
) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES)
    command = [program(), "rules", "check", "--prometheus", str(rules)]
    written = yaml.safe_load(subprocess.run(command, capture_output=True, check=True).stdout)
    expressions = {rule["record"]: rule["expr"] for rule in written["groups"][0]["rules"]}
    assert list(expressions) == [one["name"] for one in yaml.safe_load(RULES)["aggregates"]]
    server = start_server(
        f"--rules-file={rules}", "--rules-interval=200ms", "--metrics-interval=1h"
    )
    for name in ("w1", "w2", "w3"):
        server.register(name)
    report(server)
    with scraping(kind, f"127.0.0.1:{server.port}", tmp_path / "scraper") as scraper:
        for name, expression in expressions.items():

            def same(name: str = name, expression: str = expression) -> bool:
                made = of_groups(scraper.query(name))
                expected = {
                    (name, labels): value
                    for (_, labels), value in scraper.query(expression).items()
                }
                assert made.keys() == expected.keys()
                for key, value in expected.items():
                    assert math.isclose(made[key], value, rel_tol=1e-13), (key, made[key], value)
                return bool(made) is (name not in EMPTY)

            wait_for(f"{expression} to be what the server made", same)
