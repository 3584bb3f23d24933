"""A newcomer's path: what docs/install-kubernetes.md tells them to type, from a cluster that has
neither the chart nor a scraper to an alert that is received, and back."""

import socket
from collections.abc import Iterator

import pytest

from support import alertmanager, definitions, kube, operator, rights
from support.kube import Namespace
from support.manual import Manual
from support.postgres import Postgres
from support.wait import until

pytestmark = [pytest.mark.alone, pytest.mark.timeout(1200)]

PAGE = "docs/install-kubernetes.md"
# As the page names it.
NOETL = Namespace("noetl")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture
def manual(space: Namespace, postgres: Postgres, manuals: list[Manual]) -> Iterator[Manual]:
    """The page, of a reader who has a database and an Alertmanager; nothing else is there."""
    # It is made by the page, and deleted afterwards with all that it has.
    there = kube.kubectl("get", "namespace", NOETL.name, "--ignore-not-found", "--output=name")
    assert not there, f"the cluster has a namespace {NOETL.name} already, which is not this case's"
    operator.uninstall()
    definitions.remove("victoriametrics")
    definitions.remove("prometheus")
    port = str(free_port())
    manual = Manual({
        "postgres://noetl:PASSWORD@postgres.databases.svc:5432/noetl": postgres.url,
        "http://alertmanager.monitoring:9093": alertmanager.start(space),
        "service/noetl-server 8082": f"service/noetl-server {port}:8082",
        "http://127.0.0.1:8082": f"http://127.0.0.1:{port}",
    })  # fmt: skip
    manuals.append(manual)
    try:
        yield manual
    finally:
        operator.uninstall()
        kube.kubectl("delete", "namespace", NOETL.name, "--ignore-not-found", timeout=240)


def columns(printed: str) -> list[list[str]]:
    """What kubectl prints as a table, but for ages."""
    lines = [line.split() for line in printed.strip().splitlines()]
    return [line[:-1] for line in lines]


def test_from_nothing_to_an_alert_and_back(manual: Manual, space: Namespace):
    manual.follow("the operator", PAGE, r"^helm install [^{]* --set instance.namespace=noetl$")
    manual.follow("the Secret", PAGE, "create secret generic noetl-metrics-db")
    printed = manual.follow("all of it runs", PAGE, "kind: NoetlMetrics", seconds=400)
    assert printed.count("successfully rolled out") == 2, printed
    said = columns(manual.block(PAGE, "text", "^NAME "))
    # The operator hears of the last pod as kubectl does, and may be a moment behind.
    until(
        "the table is the page's",
        lambda: columns(NOETL.kubectl("get", "noetlmetrics", "noetl")) == said,
        seconds=30,
    )

    printed = manual.follow("a metric of one's own, read back", PAGE, "port-forward")
    assert manual.block(PAGE, "text", "jobs_processed_total{") in printed
    printed = manual.follow("the chart's test", PAGE, "^helm test")
    assert "noetl_metrics_check_time_seconds = " in printed

    manual.follow("a rule", PAGE, "name: ManyJobs")
    with (
        manual.timed("its alert is received"),
        space.forward("service/alertmanager", alertmanager.PORT) as client,
    ):
        alert = until("it", lambda: alertmanager.firing(client).get("ManyJobs"), seconds=240)
    assert alert["component"] == "my-worker"
    assert alert["queue"] == "batch"

    # The operator's rights may go before it does.
    with rights.refused("*"):
        manual.follow("all of it is taken away", PAGE, "delete noetlmetrics noetl")
        until("nothing of it runs", lambda: not NOETL.pods("") or None, seconds=120)
        until("no operator runs", lambda: not operator.SYSTEM.items("pods") or None, seconds=60)
