"""Servers, agents and a scraper that speak TLS and show certificates; these are renewed."""

from pathlib import Path

import pytest

from support import definitions, victoria
from support.certificates import Authority
from support.operator import Installation
from support.wait import until

SERVERS, CALLERS = "noetl-metrics-tls", "noetl-metrics-client-tls"
ENDS = "noetl_metrics_tls_certificate_not_after_seconds"
DAY = 86_400


@pytest.mark.long
def test_all_speak_tls_and_a_renewed_certificate_is_taken_up(
    installation: Installation, tmp_path: Path
):
    definitions.install("victoriametrics")
    space = installation.space
    authority = Authority(tmp_path)
    host = f"noetl-server.{space.name}.svc"
    space.apply(authority.secret(SERVERS, host), authority.secret(CALLERS, "callers"))
    tls = {"secretName": SERVERS, "clientSecretName": CALLERS}
    scraped = {"kind": "VMPodScrape", "interval": "2s", "timeout": "2s"}
    installation.apply(server={"tls": tls}, scrape=scraped).ready()
    installation.condition("ScrapeReady", "True")

    scrape = space.get("vmpodscrape", "noetl-server")
    victoria.start_single(space)
    victoria.start_agent(space, victoria.scrape_configs(scrape), secrets=(SERVERS, CALLERS))
    space.rolled_out("deployment/vmsingle")
    space.rolled_out("deployment/vmagent")
    servers = {pod["metadata"]["name"] for pod in installation.pods("server")}
    with space.forward("service/vmagent", victoria.AGENT_PORT) as agent:

        def all_up() -> bool:
            told = victoria.targets(agent)
            assert all(one["scrapeUrl"].startswith("https://") for one in told), told
            assert len(told) == 2 * len(servers), told
            assert all(one["health"] == "up" for one in told), told
            return True

        until("every server is up", all_up)

    nodes = {pod["spec"]["nodeName"] for pod in installation.pods("agent")}
    with space.forward("service/vmsingle", victoria.SINGLE_PORT) as store:

        def reported() -> bool:
            found = victoria.series(store, "noetl_system_cpu_usage_percent")
            return nodes <= {one["metric"]["component"] for one in found}

        until("each node's agent reports", reported)

        def ends() -> list[float]:
            return [float(one["value"][1]) for one in victoria.series(store, ENDS)]

        before = until("each server says when its certificate ends", lambda: _all(ends(), servers))
        space.apply(authority.secret(SERVERS, host, days=2))
        # The kubelet brings a Secret's change into its pods within a minute or two.
        until(
            "each server has the new one",
            lambda: min(ends()) > max(before) + DAY / 2,
            seconds=180,
        )
    pods = installation.pods("server")
    assert {pod["metadata"]["name"] for pod in pods} == servers
    for pod in pods:
        restarts = [status["restartCount"] for status in pod["status"]["containerStatuses"]]
        assert restarts == [0], pod["metadata"]["name"]
    installation.ready()


def _all(values: list[float], servers: set[str]) -> list[float]:
    assert len(values) == len(servers), values
    return values
