"""Every query of every dashboard, asked of a store that scrapes a running installation."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from support import collector, dashboards, definitions, kube, operator, prometheus, victoria
from support.operator import SYSTEM, Installation
from support.wait import until

NAMES = sorted(dashboards.DASHBOARDS)
# What the chart's own tests take for the operator's exposition.
EXPOSITION = Path(__file__).parents[3] / "tests" / "chart" / "operator.prom"
Store = Callable[[Installation], Iterator[httpx.Client]]


def scrape_of_the_operator(kind: str) -> kube.Object:
    """The chart's scrape object for the operator's pods."""
    text = operator.helm(
        "template", operator.RELEASE, operator.CHART, f"--namespace={SYSTEM.name}",
        f"--set-string=scrape.kind={kind}", "--show-only=templates/scrape.yaml",
    )  # fmt: skip
    return yaml.safe_load(text)


@contextmanager
def victoriametrics(installation: Installation) -> Iterator[httpx.Client]:
    """VMSingle, filled by vmagent from the two VMPodScrapes."""
    space = installation.space
    ours = space.get("vmpodscrape", f"{installation.name}-server")
    scrapes = [ours, scrape_of_the_operator("VMPodScrape")]
    victoria.start_single(space)
    victoria.start_agent(space, [job for one in scrapes for job in victoria.scrape_configs(one)])
    kube.apply(dashboards.read_the_operator(space.name, "vmagent"))
    space.rolled_out("deployment/vmsingle")
    space.rolled_out("deployment/vmagent")
    with space.forward("service/vmsingle", victoria.SINGLE_PORT) as store:
        yield store


@contextmanager
def of_prometheus(installation: Installation) -> Iterator[httpx.Client]:
    """Prometheus as its operator makes it, filled from the two PodMonitors."""
    space = installation.space
    of_operator = scrape_of_the_operator("PodMonitor")
    of_operator["metadata"]["namespace"] = space.name
    space.apply(of_operator)
    kube.apply(dashboards.read_the_operator(space.name, "prometheus"))
    with prometheus.running(space) as store:
        yield store


@pytest.mark.parametrize(
    ("vendor", "kind", "store"),
    [
        ("victoriametrics", "VMPodScrape", victoriametrics),
        ("prometheus", "PodMonitor", of_prometheus),
    ],
)
@pytest.mark.long
@pytest.mark.timeout(600)
def test_every_query_is_answered(installation: Installation, vendor: str, kind: str, store: Store):
    definitions.install(vendor, everything=vendor == "prometheus")
    space = installation.space
    # By its kind: the other scraper's may be there too.
    installation.apply(scrape={"kind": kind, "interval": "2s", "timeout": "2s"}).ready()
    installation.condition("ScrapeReady", "True", seconds=120)
    try:
        with store(installation) as client:
            with space.forward("service/noetl-server", collector.PORT) as server:
                dashboards.report_what_they_show(installation, server)
            for name in NAMES:
                until(
                    f"every query of {name} is answered",
                    lambda name=name: answered(client, name),
                    seconds=90,
                    every=3,
                )
    finally:
        SYSTEM.kubectl("delete", "rolebinding", dashboards.reader(space.name), "--ignore-not-found")


def answered(store: httpx.Client, name: str) -> bool:
    missing = dashboards.unanswered(store, name)
    assert not missing, "\n".join(missing)
    return True


def families(text: str) -> dict[str, str]:
    return {family.name: family.type for family in text_string_to_metric_families(text)}


def test_operator_exports_what_the_charts_tests_take_for_it(installation: Installation):
    installation.apply().ready()
    leader = operator.leader()
    with SYSTEM.forward(f"pod/{leader}", "metrics") as client:
        running = families(client.get("/metrics").raise_for_status().text)
    assert families(EXPOSITION.read_text()).items() <= running.items()
