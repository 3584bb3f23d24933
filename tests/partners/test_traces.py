"""Exemplars in the export, as a real Prometheus and a strict parser see them."""

import time
from pathlib import Path

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from support.process import wait_for
from support.scrapers import Prometheus, scraping
from support.series import OPENMETRICS
from support.server import Server, histogram, metric

REPORTER = "reporter"
EXECUTION = "478775660589088776"
#: Characters that have several bytes; Prometheus keeps what is escaped in an exemplar as it stands.
ODD = "naïve ☃"
#: A value that has to be escaped; the strict parser takes quotation marks only in pairs.
ESCAPED = 'say "é"\\\n'


def exemplar(number: float, trace_id: str, **labels: str) -> dict:
    return {"labels": {"trace_id": trace_id, **labels}, "value": number}


def report(server: Server, odd: str) -> None:
    server.report(
        REPORTER,
        metric("jobs_total", "counter", 7, exemplars=[exemplar(1, "t1", odd=odd)]),
        histogram(
            "job_duration_seconds",
            {"0.1": 1, "1": 2},
            3.5,
            exemplars=[exemplar(0.05, "t2"), exemplar(2.5, "t3")],
        ),
        metric("temperature_celsius", "gauge", 20, exemplars=[exemplar(20, "t4")]),
        execution_id=EXECUTION,
    )


def expected(odd: str) -> dict[tuple[str, str], tuple[dict[str, str], float]]:
    """By name and bound of the series: labels and value of the exemplar."""
    of = {"execution_id": EXECUTION}
    return {
        ("jobs_total", ""): ({"trace_id": "t1", "odd": odd, **of}, 1),
        ("job_duration_seconds_bucket", "0.1"): ({"trace_id": "t2", **of}, 0.05),
        ("job_duration_seconds_bucket", "+Inf"): ({"trace_id": "t3", **of}, 2.5),
    }


def test_prometheus_stores_the_exemplars_of_the_export(server: Server, tmp_path: Path) -> None:
    server.register(REPORTER)
    with scraping(Prometheus, f"127.0.0.1:{server.port}", tmp_path / "scraper") as scraper:
        report(server, ODD)

        def stored() -> dict:
            found = scraper.get(
                "/api/v1/query_exemplars",
                query=f'{{component="{REPORTER}"}}',
                start=str(time.time() - 300),
                end=str(time.time() + 60),
            )
            return {
                (one["seriesLabels"]["__name__"], one["seriesLabels"].get("le", "")): (
                    one["exemplars"][-1]["labels"],
                    float(one["exemplars"][-1]["value"]),
                )
                for one in found
            }

        def has_all() -> bool:
            assert stored() == expected(ODD)
            return True

        wait_for("Prometheus to have the exemplars", has_all)
        scraper.check_target()
        assert not scraper.query('{execution_id!=""}'), "an execution is no label of a series"


def test_a_strict_parser_reads_the_exemplars(server: Server) -> None:
    server.register(REPORTER)
    report(server, ESCAPED)
    seen = {
        (sample.name, sample.labels.get("le", "")): (sample.exemplar.labels, sample.exemplar.value)
        for family in text_string_to_metric_families(server.export(OPENMETRICS))
        for sample in family.samples
        if sample.exemplar
    }
    assert seen == expected(ESCAPED)
