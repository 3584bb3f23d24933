"""Real scrapers, set to scrape a server of the tests every second."""

import contextlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from support.process import Process, free_port, running, tool
from support.series import Values, of_component, series, value

JOB = "noetl"


class Scraper:
    """A scraper and its query API, which both kinds share."""

    #: Whether a value that is not a number is kept; otherwise the sample is dropped.
    keeps_nan = True
    #: How far a kept value may be from the one that was sent, as a part of it.
    tolerance = 0.0

    def __init__(self, target: str, folder: Path, **settings: Any):
        self.target = target
        self.port = free_port()
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=10)
        scrape = {
            "job_name": JOB,
            "honor_labels": True,
            "metrics_path": "/api/metrics/prometheus",
            "static_configs": [{"targets": [target]}],
            **settings,
        }
        every = {"scrape_interval": "1s", "scrape_timeout": "1s"}
        self.config = folder / "scrape.yml"
        # JSON is YAML.
        self.config.write_text(json.dumps({"global": every, "scrape_configs": [scrape]}))
        self.process = Process(self.command(folder), folder / "scraper.log", cwd=folder)

    def command(self, folder: Path) -> list[str]:
        """How it is started, with its data in the folder."""
        raise NotImplementedError

    def get(self, path: str, **params: str) -> Any:
        """The data of an answer of the query API."""
        answer = self.http.get(path, params=params)
        assert answer.status_code == 200, answer.text
        assert answer.json()["status"] == "success", answer.text
        return answer.json()["data"]

    def query(self, expression: str) -> Values:
        """Values of an expression now, without the labels that the scraper itself added."""
        values: Values = {}
        for item in self.get("/api/v1/query", query=expression)["result"]:
            labels = item["metric"]
            name = labels.pop("__name__", "")
            added = {"job": JOB, "instance": self.target}
            kept = {key: text for key, text in labels.items() if added.get(key) != text}
            values[series(name, kept)] = value(item["value"][1])
        return values

    def check_has(self, component: str, told: Values) -> bool:
        """The scraper has exactly these series of the component, with these newest values."""
        seen = of_component(self.query('{component!=""}'), component)
        kept = {key: number for key, number in told.items() if self.keeps_nan or number != "NaN"}
        assert seen.keys() == kept.keys(), seen.keys() ^ kept.keys()
        wrong = {
            key: (kept[key], seen[key]) for key in kept if not self._same(kept[key], seen[key])
        }
        assert not wrong, wrong
        return True

    def _same(self, told: float | str, seen: float | str) -> bool:
        if told == seen or isinstance(told, str) or isinstance(seen, str):
            return told == seen
        return math.isclose(told, seen, rel_tol=self.tolerance, abs_tol=self.tolerance * 1e-300)

    def check_target(self) -> None:
        """The target is up, and was at every scrape; none had an error."""
        [target] = self.get("/api/v1/targets", state="active")["activeTargets"]
        assert target["health"] == "up", target
        assert target["lastError"] == "", target
        ups = self.query(f'min_over_time(up{{job="{JOB}"}}[1m])')
        assert list(ups.values()) == [1.0], ups


class Prometheus(Scraper):
    """Prometheus; asks for OpenMetrics."""

    def command(self, folder: Path) -> list[str]:
        return [
            tool("prometheus"),
            f"--config.file={self.config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--enable-feature=exemplar-storage",
            "--log.level=warn",
        ]


class VictoriaMetrics(Scraper):
    """VictoriaMetrics, single node; asks for the text format."""

    keeps_nan = False
    # It stores decimals of 15 digits.
    tolerance = 1e-14

    def command(self, folder: Path) -> list[str]:
        return [
            tool("victoria-metrics"),
            f"-promscrape.config={self.config}",
            f"-storageDataPath={folder / 'data'}",
            f"-httpListenAddr=127.0.0.1:{self.port}",
            # A sample can be queried at once, not only after 30 s.
            "-search.latencyOffset=0s",
            "-loggerLevel=WARN",
        ]


@contextlib.contextmanager
def scraping(kind: type[Scraper], target: str, folder: Path, **settings: Any) -> Iterator[Scraper]:
    """A scraper of that kind, for the length of a `with`; its job has further settings."""
    folder.mkdir()
    scraper = kind(target, folder, **settings)
    with running(scraper.process), scraper.http:
        scraper.process.wait_ready(lambda: scraper.query(f'up{{job="{JOB}"}}'))
        yield scraper
