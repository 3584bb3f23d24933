"""Real scrapers and parsers read the export; all of them must see what the query endpoint says."""

import functools
import subprocess
from pathlib import Path

import pytest

from support.process import tool, wait_for
from support.scrapers import Prometheus, Scraper, VictoriaMetrics, scraping
from support.series import (
    OPENMETRICS,
    TEXT,
    Values,
    of_component,
    of_export,
    of_openmetrics,
    of_rows,
    series,
)
from support.server import Server, histogram, metric, summary

REPORTER = "reporter"

ODD = {
    "quotes": 'say "hello"',
    "backslash": r"C:\new\table",
    "newline": "first\nsecond",
    "utf8": "naïve ☃ 東京",
    "punctuation": "a{b}=c,d # e",
    "instance": "worker-7:9090",
    "everything": '\\"\n\\n"',
}


def metrics(turn: int) -> list[dict]:
    """One report of every kind of series; all values differ from turn to turn."""
    seconds = histogram(
        "job_duration_seconds",
        {"0.005": turn, "0.1": 3 * turn, "1": 4 * turn, "2.5": 7 * turn},
        12.25 * turn,
        labels={"queue": "a"},
        unit="seconds",
    )
    return [
        metric("temperature_celsius", "gauge", 20.5 + turn, labels={"room": "1"}),
        metric("temperature_celsius", "gauge", -0.1 * turn, labels={"room": "2"}),
        metric("tiny_ratio", "gauge", 5e-324 * turn),
        metric("huge_bytes", "gauge", 1.7976931348623157e308 / turn, unit="bytes"),
        metric("precise_ratio", "gauge", 0.1 + 0.2 + turn),
        metric("jobs_total", "counter", 100 * turn, labels={"queue": "a"}),
        metric("jobs_total", "counter", 2**53 + 2 * turn, labels={"queue": "b"}),
        *(
            metric("odd_label_info", "gauge", turn, labels={name: text})
            for name, text in ODD.items()
        ),
        metric("not_a_number", "gauge", "NaN"),
        metric("infinite", "gauge", "+Inf", labels={"sign": "plus"}),
        metric("infinite", "gauge", "-Inf", labels={"sign": "minus"}),
        seconds,
        summary("request_size_bytes", {"0.5": 10.5 * turn, "0.99": 99.0}, 1e6 * turn, 40 * turn),
    ]


# Of one report: 7 + the odd ones + 3, then 5 buckets and 2 quantiles, each with sum and count.
SERIES = 10 + len(ODD) + 7 + 4


def report(server: Server, turn: int) -> Values:
    """Reports a turn; what the query endpoint says then."""
    server.report(REPORTER, *metrics(turn))
    told = of_rows(server.rows(component_name=REPORTER))
    assert len(told) == SERIES
    return told


def exported(server: Server) -> Values:
    return of_component(of_export(server.export(TEXT)), REPORTER)


def check_metrics(text: str) -> None:
    """promtool has nothing to say, neither of the format nor of its good style."""
    done = subprocess.run(
        [tool("promtool", "prometheus"), "check", "metrics"],
        input=text,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("kind", [Prometheus, VictoriaMetrics], ids=lambda kind: kind.__name__)
def test_scraper_agrees_with_query_and_export(
    server: Server, tmp_path: Path, kind: type[Scraper]
) -> None:
    server.register(REPORTER)
    report(server, 1)
    with scraping(kind, f"127.0.0.1:{server.port}", tmp_path / "scraper") as scraper:
        for turn in range(1, 6):
            told = report(server, turn)
            assert exported(server) == told
            agrees = functools.partial(scraper.check_has, REPORTER, told)
            wait_for(f"the scraper to have turn {turn}", agrees)
            scraper.check_target()

        def all_of_it() -> bool:
            [scraped] = scraper.query("scrape_samples_scraped").values()
            return scraped == len(of_export(server.export(TEXT)))

        wait_for("the scraper to count as many samples as the export has", all_of_it)


def test_series_leave_with_their_component(start_server, tmp_path: Path) -> None:
    """A silent component's series end, in the export and so in Prometheus; another's counter stays
    although only other series of it are reported."""
    server = start_server("--stale-after", "3s")
    server.register("silent")
    server.register("steady")
    both = {
        series("jobs_total", {"component": name, "component_type": "worker_pool"}): 7.0
        for name in ("silent", "steady")
    }
    left = {key: number for key, number in both.items() if ("component", "steady") in key[1]}

    def beat() -> None:
        server.report("steady", metric("temperature_celsius", "gauge", 20))

    with scraping(Prometheus, f"127.0.0.1:{server.port}", tmp_path / "scraper") as scraper:

        def both_there() -> bool:
            for component in ("silent", "steady"):
                server.report(component, metric("jobs_total", "counter", 7))
            return scraper.query("jobs_total") == both

        wait_for("Prometheus to have both", both_there)

        def only_the_steady_one() -> bool:
            beat()
            text = server.export(TEXT)
            assert 'component="steady"' in text
            return 'component="silent"' not in without_verdict(text)

        wait_for("the silent one to leave the export", only_the_steady_one)

        def gone_from_prometheus() -> bool:
            beat()
            return scraper.query("jobs_total") == left

        wait_for("the silent one to leave Prometheus", gone_from_prometheus)
        # Its history is still there to be queried.
        assert server.rows(component_name="silent", metric_name="jobs_total")


def without_verdict(text: str) -> str:
    """The export without what the server says of its components: that one is down stays in it."""
    return "\n".join(line for line in text.splitlines() if not line.startswith("noetl_component_"))


def test_promtool_is_silent(server: Server) -> None:
    server.register(REPORTER)
    report(server, 1)
    server.http.post(f"/api/metrics/self-report?component_name={REPORTER}").raise_for_status()

    check_metrics(server.export(TEXT))
    check_metrics(server.http.get("/metrics").text)


def test_parsers_of_prometheus_client(server: Server) -> None:
    server.register(REPORTER)
    told = report(server, 3)

    assert exported(server) == told
    answer = server.http.get("/api/metrics/prometheus", headers={"Accept": OPENMETRICS})
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.text.endswith("# EOF\n")
    assert of_component(of_openmetrics(answer.text), REPORTER) == told


def test_a_counter_keeps_its_name_without_total(server: Server) -> None:
    """OpenMetrics has no counter without `_total`: the series changes its type, not its name."""
    server.register(REPORTER)
    server.report(REPORTER, metric("custom_work_items_processed", "counter", 150))

    told = of_rows(server.rows(component_name=REPORTER))
    assert exported(server) == told
    assert of_component(of_openmetrics(server.export(OPENMETRICS)), REPORTER) == told
