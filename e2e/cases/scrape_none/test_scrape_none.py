"""A cluster without any scraper's kinds: all runs, and the condition says what is missing."""

import pytest

from support import definitions, kube
from support.operator import Installation
from support.wait import until


@pytest.mark.alone
def test_runs_and_says_that_no_kind_is_there(installation: Installation):
    definitions.remove("victoriametrics")
    definitions.remove("prometheus")
    installation.apply().ready(seconds=120)

    def names_them() -> bool:
        # A kind that has just gone is first what could not be applied.
        told = kube.condition(installation.get(), "ScrapeReady")
        assert told["status"] == "False", told
        return "VMPodScrape" in told["message"] and "PodMonitor" in told["message"]

    until("the condition names the kinds", names_them, seconds=120)
    assert installation.get()["status"]["scrape"]["kind"] == "None"


def test_says_that_none_is_wanted(installation: Installation):
    installation.apply(scrape={"kind": "None"})
    told = installation.condition("ScrapeReady", "True", seconds=120)
    assert "None" in told["message"], told
