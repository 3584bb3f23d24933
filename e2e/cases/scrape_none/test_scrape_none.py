"""A cluster without any scraper's kinds: all runs, and the condition says what is missing."""

from support import definitions
from support.operator import Installation


def test_runs_and_says_that_no_kind_is_there(installation: Installation):
    definitions.remove("victoriametrics")
    definitions.remove("prometheus")
    installation.apply().ready(seconds=120)
    told = installation.condition("ScrapeReady", "False")
    for kind in ("VMPodScrape", "PodMonitor"):
        assert kind in told["message"], told
    assert installation.get()["status"]["scrape"]["kind"] == "None"


def test_says_that_none_is_wanted(installation: Installation):
    installation.apply(scrape={"kind": "None"})
    told = installation.condition("ScrapeReady", "True", seconds=120)
    assert "None" in told["message"], told
