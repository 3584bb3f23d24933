"""A new image and a new chart, while somebody reports: what was acknowledged is there, once."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import kube, operator
from support.operator import CHART, KIND, Installation
from support.pods import IMAGE
from support.postgres import Postgres
from support.reporter import METRIC, Reporter
from support.wait import until

# Another image of the same program: that of $E2E_IMAGE with another tag.
NEXT = os.environ.get("E2E_IMAGE_NEXT", f"{IMAGE}-next")
# How long a client that retries may have to wait for its acknowledgement: a hand-over of the
# servers, and a forwarded port that is made anew.
PATIENCE = 30


@pytest.fixture
def running(installation: Installation) -> Installation:
    return installation.apply().ready()


@pytest.fixture
def next_chart(tmp_path: Path) -> Iterator[Path]:
    """The chart of a later version, whose definition says something new."""
    chart = tmp_path / "noetl-metrics"
    shutil.copytree(CHART, chart)
    text = (chart / "Chart.yaml").read_text()
    version = next(line for line in text.splitlines() if line.startswith("version:"))
    (chart / "Chart.yaml").write_text(text.replace(version, "version: 99.0.0"))
    crd = chart / "files" / "noetlmetrics.yaml"
    words = "Changes nothing in the cluster while true"
    assert words in crd.read_text()
    crd.write_text(crd.read_text().replace(words, "NEW IN 99. Changes nothing while true"))
    yield chart
    operator.install()


def check(reporter: Reporter, postgres: Postgres) -> None:
    """Every acknowledged sample is stored, none twice, and no report was refused."""
    assert not reporter.refused
    assert len(reporter.acknowledged) > 20, reporter.acknowledged
    rows = postgres.sql(
        "SELECT (labels ->> 'step')::int, count(*) FROM noetl.metrics"
        f" WHERE metric_name = '{METRIC}' GROUP BY 1 ORDER BY 1"
    )
    stored = {int(step): int(count) for step, count in rows}
    assert [step for step in reporter.acknowledged if step not in stored] == []
    assert {step: count for step, count in stored.items() if count != 1} == {}
    longest = max(reporter.took)
    print(f"{len(reporter.took)} reports, the longest until its acknowledgement {longest:.1f} s")
    assert longest < PATIENCE


def images(installation: Installation) -> set[str]:
    return {c["image"] for pod in installation.pods("server") for c in pod["spec"]["containers"]}


def test_new_image(running: Installation, postgres: Postgres):
    with Reporter(running, "by-hand") as reporter:
        until("it reports", lambda: len(reporter.acknowledged) > 10)
        running.apply(image={"reference": NEXT})
        running.space.rolled_out("deployment/noetl-server")
        until("all servers have the new image", lambda: images(running) == {NEXT}, seconds=120)
        # The schema is brought forward before the servers roll.
        jobs = running.space.items("jobs", running.selector("migrate"))
        last = max(jobs, key=lambda job: job["metadata"]["creationTimestamp"])
        assert last["spec"]["template"]["spec"]["containers"][0]["image"] == NEXT
        first = min(p["metadata"]["creationTimestamp"] for p in running.pods("server"))
        assert last["status"]["completionTime"] <= first
        at = len(reporter.acknowledged)
        until("it goes on", lambda: len(reporter.acknowledged) > at + 10)
    check(reporter, postgres)
    running.ready()


@pytest.mark.alone
def test_new_chart_and_back(running: Installation, postgres: Postgres, next_chart: Path):
    before = operator.pods()[0]["spec"]["containers"][0]["image"]
    with Reporter(running, "by-hand") as reporter:
        until("it reports", lambda: len(reporter.acknowledged) > 10)
        operator.install(f"--set-string=image.tag={NEXT.rpartition(':')[2]}", chart=str(next_chart))
        assert "NEW IN 99" in json.dumps(kube.get("crd", KIND))
        assert operator.pods()[0]["spec"]["containers"][0]["image"] != before
        # Without an image of its own, the resource follows the operator.
        until("the servers follow", lambda: images(running) == {NEXT}, seconds=120)
        running.ready()

        operator.install()
        assert "NEW IN 99" not in json.dumps(kube.get("crd", KIND))
        until("the servers follow back", lambda: images(running) == {IMAGE}, seconds=120)
        running.ready()
        at = len(reporter.acknowledged)
        until("it goes on", lambda: len(reporter.acknowledged) > at + 10)
    check(reporter, postgres)
