"""History of a real Prometheus and a real VictoriaMetrics comes to a server, sample by sample."""

import json
import math
import os
import subprocess
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from support.process import Process, free_port, running, wait_for
from support.server import Server, program
from support.stores import (
    CurrentPrometheus,
    History,
    Prometheus,
    Store,
    VictoriaMetrics,
    relaying,
    storing,
)

STORES = [Prometheus, CurrentPrometheus, VictoriaMetrics]
HOUR = 3_600_000
HOURS = 3
#: By component and kind, metric and labels: times and values.
Rows = dict[tuple[str, str, str, str], dict[int, float]]


def at(moment: int) -> str:
    return datetime.fromtimestamp(moment / 1000, timezone.utc).isoformat(timespec="milliseconds")


class Past:
    """A history, from before the time that is asked for, a part of its hours, until after it."""

    def __init__(self) -> None:
        self.start = int(time.time() * 1000) // HOUR * HOUR - (HOURS + 2) * HOUR + 90_001
        self.end = self.start + HOURS * HOUR - 90_001 + 500
        first_hour = self.start // HOUR * HOUR + HOUR
        edges = [self.start - 1, self.start, first_hour - 1, first_hour, first_hour + 1]
        edges += [self.end - 1, self.end, self.end + 1]
        steps = range(self.start - 60_000, self.end + 60_000, 30_000)
        times = sorted({*steps, *edges})

        def each(number: Any) -> dict[int, float]:
            return {moment: number(turn) for turn, moment in enumerate(times)}

        scraped = 'instance="host:9100",job="api"'
        strange = {0: math.inf, 1: -math.inf, 2: math.nan, 3: -0.0}
        #: What the store is given.
        self.history: dict[str, dict[int, float]] = {
            f'jobs_total{{{scraped},queue="a \\"quoted\\" one"}}': each(float),
            f'heat_celsius{{{scraped},room="naïve ☃"}}': each(lambda turn: 0.1 + turn / 3),
            'busy{component="w-1",component_type="worker_pool",job="noetl"}': each(lambda t: t % 7),
            'loose_ratio{path="/"}': each(lambda turn: strange.get(turn % 40, 0.5)),
            'loose_bytes{path="/"}': each(lambda _: 1.7e308),
        }
        for bound in ("0.1", "+Inf"):
            bucket = f'took_seconds_bucket{{{scraped},le="{bound}"}}'
            self.history[bucket] = each(lambda turn: 2.0 * turn)
        here = ("host:9100", "application")
        labels = {"instance": "host:9100", "job": "api"}
        #: What the server has to have of it, in the order of the lines above.
        self.named = [
            (*here, "jobs_total", {**labels, "queue": 'a "quoted" one'}),
            (*here, "heat_celsius", {**labels, "room": "naïve ☃"}),
            ("w-1", "worker_pool", "busy", {"job": "noetl"}),
            ("remote_write", "application", "loose_ratio", {"path": "/"}),
            ("remote_write", "application", "loose_bytes", {"path": "/"}),
            (*here, "took_seconds_bucket", {**labels, "le": "0.1"}),
            (*here, "took_seconds_bucket", {**labels, "le": "+Inf"}),
        ]

    @property
    def span(self) -> list[str]:
        return ["--start", at(self.start), "--end", at(self.end)]

    def expected(self, store: Store) -> Rows:
        """What a server has to have of it."""
        rows: Rows = {}
        for (*names, labels), samples in zip(self.named, self.history.values(), strict=True):
            key = (*names, json.dumps(labels, sort_keys=True))
            rows[key] = {
                moment: number
                for moment, number in samples.items()
                if self.start <= moment < self.end and (store.tells_nan or not math.isnan(number))
            }
        return rows


def rows_of(server: Server, components: set[str]) -> Rows:
    """All samples of these components."""
    rows: Rows = {}
    for component in components:
        for row in server.rows(component_name=component, limit=10_000):
            if row["metric_name"].startswith("noetl_component_"):
                continue
            labels = json.dumps(row["labels"] or {}, sort_keys=True)
            key = (component, row["component_type"], row["metric_name"], labels)
            moment = datetime.fromisoformat(row["timestamp"].replace("Z", "+00:00"))
            samples = rows.setdefault(key, {})
            when = round(moment.timestamp() * 1000)
            assert when not in samples, f"twice: {row}"
            samples[when] = float(row["metric_value"])
    return rows


def check_same(rows: Rows, expected: Rows, tolerance: float) -> None:
    assert rows.keys() == expected.keys()
    for key, samples in expected.items():
        seen = rows[key]
        assert seen.keys() == samples.keys(), (key, sorted(seen.keys() ^ samples.keys()))
        for moment, number in samples.items():
            if math.isnan(number):
                assert math.isnan(seen[moment]), (key, moment, seen[moment])
            else:
                close = math.isclose(
                    seen[moment], number, rel_tol=tolerance, abs_tol=tolerance * 1e-300
                )
                assert close, (key, moment, seen[moment], number)


def source(store: Store, url: str | None = None) -> list[str]:
    return [f"--from-{store.name}-url", url or store.url]


def command(server_url: str, *flags: str) -> list[str]:
    return [program(), "import", "--server-url", server_url, *flags]


def call(server: Server, *flags: str) -> subprocess.CompletedProcess:
    return subprocess.run(command(server.url, *flags), capture_output=True, text=True, timeout=120)


def done(server: Server, *flags: str) -> dict:
    ended = call(server, *flags, "-o", "json")
    assert ended.returncode == 0, ended.stderr + ended.stdout
    return json.loads(ended.stdout)


def components(rows: Rows) -> set[str]:
    return {component for component, *_ in rows}


def count(rows: Rows) -> int:
    return sum(len(samples) for samples in rows.values())


@pytest.mark.parametrize("kind", STORES, ids=lambda kind: kind.__name__)
def test_every_sample_comes_as_it_is(server: Server, tmp_path: Path, kind: type[Store]) -> None:
    past = Past()
    with storing(kind, past.history, tmp_path / "store") as store:
        expected = past.expected(store)
        # A series that two selectors select comes once.
        selected = ["--match", '{__name__=~"[^g].*"}', "--match", "jobs_total"]
        imported = done(server, *source(store), *past.span, *selected)
        assert (imported["samples"], imported["refused"]) == (count(expected), 0), imported
        assert imported["hours"] == imported["all_hours"] == HOURS + 1
        check_same(rows_of(server, components(expected)), expected, store.tolerance)
        # The same again is the same.
        assert done(server, *source(store), *past.span)["samples"] == count(expected)
        check_same(rows_of(server, components(expected)), expected, store.tolerance)


@pytest.mark.parametrize("kind", STORES, ids=lambda kind: kind.__name__)
def test_an_import_that_was_killed_goes_on_where_it_was(
    server: Server, tmp_path: Path, kind: type[Store]
) -> None:
    past = Past()
    state = tmp_path / "state.json"
    with storing(kind, past.history, tmp_path / "store") as store, relaying(store, 2) as relay:
        flags = [*source(store, relay.url), *past.span, "--state", str(state), "-o", "json"]
        process = Process(command(server.url, *flags), tmp_path / "import.log")
        with running(process):
            wait_for("its third hour", relay.held.is_set, 60)
            process.child.kill()
            process.child.wait()
        until = json.loads(state.read_text())["done_until"]
        assert until == past.start // HOUR * HOUR + 2 * HOUR
        relay.open.set()
        expected = past.expected(store)
        rest = sum(moment >= until for samples in expected.values() for moment in samples)
        assert done(server, *flags[:-2])["samples"] == rest
        check_same(rows_of(server, components(expected)), expected, store.tolerance)
        assert done(server, *flags[:-2])["samples"] == 0
        refused = call(server, *flags, "--match", "jobs_total")
        assert refused.returncode == 1
        assert "--state" in refused.stderr


def few(start: int) -> History:
    times = [start + turn * 1000 for turn in range(10)]
    return {
        f"jobs_total{labels}": dict.fromkeys(times, 1.0)
        for labels in ('{path="/"}', '{job="api",a="1",b="2",c="3"}')
    }


@pytest.mark.parametrize("kind", STORES, ids=lambda kind: kind.__name__)
def test_series_without_a_component_get_one(
    server: Server, tmp_path: Path, kind: type[Store]
) -> None:
    past = Past()
    with storing(kind, few(past.start), tmp_path / "store") as store:
        named = ["--component", "old", "--component-type", "broker", "--label", "origin=before"]
        assert done(server, *source(store), *past.span, *named)["samples"] == 20
        assert {row["component_type"] for row in server.rows(component_name="old")} == {"broker"}
        [api, *_] = server.rows(component_name="api")
        assert api["component_type"] == "application"
        assert api["labels"]["origin"] == "before"


@pytest.mark.parametrize("kind", STORES, ids=lambda kind: kind.__name__)
def test_what_is_refused_is_counted_and_named(
    start_server, tmp_path: Path, kind: type[Store]
) -> None:
    past = Past()
    tokens, token = tmp_path / "tokens", tmp_path / "token"
    tokens.write_text("secret-token-of-a-writer\n")
    token.write_text("secret-token-of-a-writer\n")
    server = start_server("--max-labels", "3", "--auth-token-file", str(tokens))
    with storing(kind, few(past.start), tmp_path / "store") as store:
        unknown = call(server, *source(store), *past.span)
        assert unknown.returncode == 1
        assert "the server answered 401" in unknown.stderr, unknown.stderr
        known = [*source(store), *past.span, "--auth-token-file", str(token)]
        partly = call(server, *known)
        assert partly.returncode == 1
        assert "10 samples" in partly.stdout
        assert "10 refused" in partly.stdout
        assert 'refused: labels: jobs_total{a="1"' in partly.stdout, partly.stdout
        assert len(server.rows(component_name="remote_write")) == 10


def test_it_waits_for_a_server_that_is_away(start_server, tmp_path: Path) -> None:
    past, port = Past(), free_port()
    with storing(VictoriaMetrics, few(past.start), tmp_path / "store") as store:
        flags = [*source(store), *past.span, "--retry-for", "2m"]
        process = Process(command(f"http://127.0.0.1:{port}", *flags), tmp_path / "import.log")
        with running(process):
            wait_for("a try", lambda: "trying again" in process.log.read_text(), 60)
            server = start_server(port=port)
            assert process.child.wait(60) == 0, process.tail()
        assert len(server.rows(component_name="api")) == 10


def test_no_proxy_is_asked_for_a_server_on_this_machine(server: Server, tmp_path: Path) -> None:
    past = Past()
    with storing(VictoriaMetrics, few(past.start), tmp_path / "store") as store:
        here = command(f"http://localhost:{server.port}", *source(store), *past.span)
        # The source is another program: it needs the variable that says so.
        proxy = {"http_proxy": f"http://127.0.0.1:{free_port()}", "no_proxy": "127.0.0.1"}
        ended = subprocess.run(
            [*here, "--retry-for", "1s"],
            env={**os.environ, **proxy},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ended.returncode == 0, ended.stderr
        assert len(server.rows(component_name="api")) == 10


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "--from-prometheus-url"),
        (["--from-prometheus-url", "ftp://h"], "--from-prometheus-url"),
        (["--from-victoriametrics-url", "http://u:p@h"], "--from-victoriametrics-url"),
        (["--from-prometheus-url", "http://h", "--from-victoriametrics-url", "http://h"], "cannot"),
        (["--from-prometheus-url", "http://h", "--server-url", "h"], "--server-url"),
        (["--from-prometheus-url", "http://h", "--match", "rate(up[5m])"], "--match"),
        (["--from-prometheus-url", "http://h", "--component", ""], "--component"),
        (["--from-prometheus-url", "http://h", "--component-type", "x"], "--component"),
        (
            ["--from-prometheus-url", "http://h", "--component", "x", "--component-type", "a b"],
            "--component-type",
        ),
        (["--from-prometheus-url", "http://h", "--state", "s"], "--end"),
        (["--from-prometheus-url", "http://h", "--end", "2000-01-01T00:00:00Z"], "--end"),
        (["--from-prometheus-url", "http://h", "--retry-for", "soon"], "--retry-for"),
        (["--from-prometheus-url", "http://127.0.0.1:1", "--retry-for", "1s"], "Prometheus: "),
        (
            ["--from-prometheus-url", "http://h", "--from-token-file", "/nowhere"],
            "--from-token-file /nowhere: ",
        ),
        (
            [
                "--from-prometheus-url",
                "http://h",
                "--end",
                at(1_800_000_000_000),
                "--state",
                "/n/s",
            ],
            "--state /n/s: ",
        ),
    ],
)
def test_what_is_wrong_is_named(flags: list[str], said: str) -> None:
    ended = subprocess.run(
        [program(), "import", "--start", "2026-01-01T00:00:00Z", *flags],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode != 0
    assert said in ended.stderr, ended.stderr
