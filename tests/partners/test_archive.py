"""History goes to a real VictoriaMetrics and is the same there; to files; and to another server."""

import csv
import json
import re
import subprocess
import time
from datetime import datetime, timezone
from pathlib import Path

import duckdb
import psycopg
import pytest

from support.postgres import Cluster
from support.process import ROOT, Process, free_port, running, wait_for
from support.relay import relaying
from support.scrapers import VictoriaMetrics, scraping
from support.server import Server, histogram, metric, program

HOURS = 3


def at(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="milliseconds")


@pytest.fixture
def span(server: Server) -> list[str]:
    """Some hours of history, of which some came late; the flags that name it."""
    now = time.time()
    start = now - HOURS * 3600
    server.register("w-1")
    server.register("w-2")
    for turn in range(HOURS * 6):
        moment = {"timestamp": at(start + 60 + turn * 600)}
        took = histogram("took_seconds", {"0.1": turn, "1": 2 * turn}, 0.1 * turn, **moment)
        server.report(
            "w-1",
            metric("jobs_total", "counter", turn, labels={"queue": 'a "quoted" one'}, **moment),
            metric("heat_celsius", "gauge", 0.1 + turn / 3, **moment),
            metric("heat_celsius", "gauge", "NaN", labels={"room": "2"}, **moment),
            metric("limit_ratio", "gauge", "+Inf", **moment),
            took,
        )
        server.report("w-2", metric("heat_celsius", "gauge", -turn, **moment))
    # Replaced, and late.
    moment = {"timestamp": at(start + 60)}
    server.report("w-2", metric("heat_celsius", "gauge", 7, **moment))
    # The server's own samples are none of ours.
    return ["--start", at(start), "--end", at(now), "--match", '{component=~"w-.*"}']


def call(database_url: str, role: str, *flags: str) -> subprocess.CompletedProcess:
    command = [program(), role, "--database-url", database_url, *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def done(database_url: str, role: str, *flags: str) -> dict:
    ended = call(database_url, role, *flags, "-o", "json")
    assert ended.returncode == 0, ended.stderr + ended.stdout
    return json.loads(ended.stdout)


# Two series of w-1 and one of w-2 with one sample each turn, and a histogram of five series.
SAMPLES = HOURS * 6 * (2 + 1 + 1 + 5)


def test_victoriametrics_has_the_same(
    server: Server, database_url: str, span: list[str], tmp_path: Path
) -> None:
    with scraping(VictoriaMetrics, f"127.0.0.1:{server.port}", tmp_path / "vm") as target:
        url = f"http://127.0.0.1:{target.port}"
        # The scraper's own samples, which come meanwhile, have another label.
        labels = ["--label", "origin=history"]
        to = ["--remote-write-url", f"{url}/api/v1/write", *labels]
        exported = done(database_url, "export", *span, *to)
        assert exported["samples"] == SAMPLES
        assert exported["left_out"] == HOURS * 6

        there = ["--victoriametrics-url", url, *labels]

        def check_same() -> bool:
            ended = call(database_url, "verify", *span, *there, "-o", "json")
            found = json.loads(ended.stdout)
            counts = [found[what] for what in ("same", "missing", "different", "more")]
            assert counts == [SAMPLES, 0, 0, 0], found["examples"][:5]
            assert ended.returncode == 0
            return True

        # What was written can be read a moment later.
        wait_for("all of it", check_same, 40)
        # One more here, and one that is another there.
        start = datetime.fromisoformat(span[1]).timestamp()
        server.report("w-2", metric("heat_celsius", "gauge", 1, timestamp=at(start + 61)))
        server.report("w-2", metric("heat_celsius", "gauge", 8, timestamp=at(start + 60)))
        ended = call(database_url, "verify", *span, *there)
        assert ended.returncode == 1
        assert "1 missing, 1 different, 0 more" in ended.stdout
        assert "8 here, 7 there" in ended.stdout


def test_an_export_goes_on_where_it_was(
    server: Server, database_url: str, span: list[str], tmp_path: Path
) -> None:
    state, port = tmp_path / "state.json", free_port()
    away = ["--remote-write-url", f"http://127.0.0.1:{port}/api/v1/write", "--retry-for", "1s"]
    # Nobody listens: it tries for a while, and says why it ends.
    ended = call(database_url, "export", *span, *away, "--state", str(state))
    assert ended.returncode == 1
    assert "refused" in ended.stderr
    path = tmp_path / "history.jsonl"
    to_file = [*span, "--file", str(path), "--state", str(tmp_path / "file.json")]
    whole = done(database_url, "export", *to_file)
    assert whole["samples"] == SAMPLES
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert sum(len(line["values"]) for line in lines) == SAMPLES
    # Half an hour that a run left behind that was killed is not there twice.
    length = json.loads((tmp_path / "file.json").read_text())["extent"]
    path.write_text(path.read_text() + '{"metric":{"__name__":"half"')
    assert done(database_url, "export", *to_file)["samples"] == 0
    assert path.stat().st_size == length
    said = call(database_url, "export", *to_file).stdout
    assert said == f"0 samples in this run, 0 NaN left out; {whole['hours']} hours are done\n"
    # A file that is gone, or has less, is not what the state says.
    path.write_text(path.read_text()[:100])
    refused = call(database_url, "export", *to_file)
    assert refused.returncode == 1
    assert f"{length} bytes are done by --state" in refused.stderr
    assert path.stat().st_size == 100
    # Another span does not go on with this one's state.
    refused = call(database_url, "export", "--match", "jobs_total", *to_file)
    assert refused.returncode == 1
    assert "--state" in refused.stderr


def test_it_begins_with_the_first_hour_that_has_samples(
    server: Server, database_url: str, span: list[str], tmp_path: Path
) -> None:
    first, end = (datetime.fromisoformat(when).timestamp() for when in (span[1], span[3]))
    # The oldest sample is 60 s after the start, and may be in the next hour.
    hours = int(end // 3600 - (first + 60) // 3600) + 1
    ever = ["--start", "1970-01-01T00:00:00Z", *span[2:]]
    to_file = ["--file", str(tmp_path / "h.jsonl"), "--state", str(tmp_path / "state.json")]
    exported = done(database_url, "export", *ever, *to_file)
    assert (exported["samples"], exported["hours"]) == (SAMPLES, hours)
    assert exported["all_hours"] == hours
    again = done(database_url, "export", *ever, *to_file)
    assert (again["samples"], again["hours"], again["all_hours"]) == (0, hours, hours)
    # Also where there is nothing at all in the time that is asked for.
    before = ["--start", "1970-01-01T00:00:00Z", "--end", "1971-01-01T00:00:00Z"]
    folder, state = tmp_path / "none.parquet", tmp_path / "none.json"
    nothing = [*before, "--file", str(folder), "--state", str(state)]
    for _ in range(2):
        assert done(database_url, "export", *nothing)["all_hours"] == 0
        assert rows_of_parquet(folder) == []
    assert json.loads(state.read_text())["extent"] == 1


@pytest.mark.parametrize("name", ["h.jsonl", "h.parquet"])
def test_half_a_century_without_samples_takes_no_time(
    server: Server, database_url: str, span: list[str], tmp_path: Path, name: str
) -> None:
    server.report("w-1", metric("heat_celsius", "gauge", 1, timestamp="1970-01-02T03:04:05Z"))
    ever = ["--start", "1970-01-01T00:00:00Z", *span[2:]]
    to_file = ["--file", str(tmp_path / name), "--state", str(tmp_path / "state.json")]
    exported = done(database_url, "export", *ever, *to_file)
    nans = HOURS * 6 if name.endswith(".parquet") else 0
    assert exported["samples"] == SAMPLES + nans + 1
    assert exported["hours"] == exported["all_hours"] > 50 * 365 * 24
    again = done(database_url, "export", *ever, *to_file)
    assert (again["samples"], again["hours"]) == (0, exported["hours"])
    if nans:
        rows = rows_of_parquet(tmp_path / name)
        assert len(rows) == SAMPLES + nans + 1
        # A file ends with its day.
        assert len(list((tmp_path / name).iterdir())) in (2, 3)


def test_who_waits_for_a_slow_database_is_told_no_sql(
    server: Server, database_url: str, span: list[str], tmp_path: Path
) -> None:
    flags = [*span, "--file", str(tmp_path / "history.csv")]
    said = {}
    for name, more in {"usual": [], "asked for": ["--log", "info,sqlx::query=warn"]}.items():
        command = [program(), "export", "--database-url", database_url, *flags, *more]
        with psycopg.connect(database_url) as connection:
            # It waits for this one longer than a second.
            connection.execute("LOCK TABLE noetl_metrics.sample_late IN ACCESS EXCLUSIVE MODE")
            with running(Process(command, tmp_path / f"{name}.log")) as export:
                time.sleep(3)
                connection.rollback()
                assert export.child.wait(60) == 0, export.tail()
                said[name] = export.log.read_text()
    assert "samples" in said["usual"]
    assert "slow statement" not in said["usual"]
    assert "slow statement" in said["asked for"]


def test_files_of_csv_have_a_row_for_each_sample(
    server: Server, database_url: str, span: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "history.csv"
    chosen = [*span[:4], "--match", 'jobs_total{component="w-1"}', "--file", str(path)]
    assert done(database_url, "export", *chosen)["samples"] == HOURS * 6
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["value"]) for row in rows] == list(range(HOURS * 6))
    assert {row["metric"] for row in rows} == {"jobs_total"}
    assert json.loads(rows[0]["labels"]) == {"queue": 'a "quoted" one'}


def moment(text: str) -> int:
    return round(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000)


def rows_of(server: Server, *components: str) -> list[tuple]:
    """All samples of these components, as the query API has them."""
    rows = [row for name in components for row in server.rows(component_name=name, limit=10_000)]
    return sorted(
        (
            row["component_name"],
            row["component_type"],
            row["metric_name"],
            row["metric_type"],
            json.dumps(row["labels"] or {}, sort_keys=True),
            round(
                datetime.fromisoformat(row["timestamp"].replace("Z", "+00:00")).timestamp() * 1e3
            ),
            str(float(row["metric_value"])),
        )
        for row in rows
        if not row["metric_name"].startswith("noetl_component_")
    )


def rows_of_parquet(folder: Path) -> list[tuple]:
    """All rows of a folder, as DuckDB reads them."""
    rows = duckdb.execute(
        "select component, component_type, metric, metric_type, labels, epoch_ms(timestamp), value "
        f"from '{folder}/*.parquet'"
    ).fetchall()
    return sorted(
        (*names, json.dumps(labels, sort_keys=True), when, str(number))
        for *names, labels, when, number in rows
    )


def test_duckdb_reads_the_same_of_parquet(
    server: Server, database_url: str, span: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "history.parquet"
    exported = done(database_url, "export", *span, "--file", str(folder))
    # NaN is left out of other forms only.
    assert (exported["samples"], exported["left_out"]) == (SAMPLES + HOURS * 6, 0)
    rows = rows_of_parquet(folder)
    assert len(rows) == SAMPLES + HOURS * 6
    assert rows == rows_of(server, "w-1", "w-2")
    assert {row[-1] for row in rows} > {"nan", "inf", "-1.0", "7.0"}
    columns = duckdb.execute(f"describe from '{folder}/*.parquet'").fetchall()
    assert [(name, kind) for name, kind, *_ in columns] == [
        ("timestamp", "TIMESTAMP WITH TIME ZONE"),
        ("metric", "VARCHAR"),
        ("metric_type", "VARCHAR"),
        ("component", "VARCHAR"),
        ("component_type", "VARCHAR"),
        ("labels", "MAP(VARCHAR, VARCHAR)"),
        ("value", "DOUBLE"),
    ]


def test_what_the_page_asks_duckdb_is_answered(
    server: Server,
    database_url: str,
    span: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = (ROOT / "docs" / "database.md").read_text()
    (asked,) = re.findall(r'duckdb -c "([^"]+)"', page)
    (folder,) = re.findall(r"--file (\S+\.parquet)", page)
    monkeypatch.chdir(tmp_path)
    done(database_url, "export", *span, "--file", folder)
    rows = duckdb.execute(asked).fetchall()
    # Both have w-1's queue, whose name the page has.
    assert rows == [("jobs_total", HOURS * 6, float(HOURS * 6 - 1))]


DAYS = 3


@pytest.fixture
def days(server: Server) -> list[str]:
    """Some whole days of history; the flags that name them."""
    day = 24 * 3600
    start = (int(time.time()) // day - DAYS - 1) * day
    server.register("w-1")
    for turn in range(DAYS * 6):
        moment = {"timestamp": at(start + turn * day / 6)}
        labels = {"room": "naïve ☃"}
        server.report(
            "w-1",
            metric("heat_celsius", "gauge", 0.1 + turn / 3, labels=labels, **moment),
            metric("limit_ratio", "gauge", "-Inf", **moment),
        )
    return ["--start", at(start), "--end", at(start + DAYS * day), "--match", '{component="w-1"}']


def test_a_kill_loses_nothing_of_parquet_and_doubles_nothing(
    server: Server, postgres: Cluster, database_url: str, days: list[str], tmp_path: Path
) -> None:
    folder, state = tmp_path / "history.parquet", tmp_path / "state.json"
    flags = [*days, "--file", str(folder), "--state", str(state)]
    with relaying(postgres.port, lambda: any(folder.glob("_part-0002*"))) as relay:
        url = database_url.replace(f":{postgres.port}/", f":{relay.port}/")
        command = [program(), "export", "--database-url", url, *flags]
        with running(Process(command, tmp_path / "export.log")) as export:
            wait_for("it to be in the second file", relay.held.is_set, 60)
            # Nobody else writes there, or notes something as done, as long as it lives.
            for others, file in [(flags, state), (flags[:-2], folder)]:
                refused = call(database_url, "export", *others)
                assert refused.returncode == 1, refused.stdout
                assert f"{file}: another export or import writes it" in refused.stderr
            export.child.kill()
            export.child.wait()
    left = sorted(path.name for path in folder.iterdir())
    assert left == ["_part-0002.parquet.new", "part-0001.parquet"]
    noted = state.read_text()
    assert json.loads(noted)["extent"] == 1
    first = (folder / "part-0001.parquet").stat()

    expected = rows_of(server, "w-1")
    assert len(expected) == DAYS * 6 * 2
    # The second time as if it had been killed before what it had done was noted.
    for _ in range(2):
        exported = done(database_url, "export", *flags)
        assert exported["samples"] == len(expected) * (DAYS - 1) // DAYS
        assert rows_of_parquet(folder) == expected
        names = sorted(path.name for path in folder.iterdir())
        assert names == [f"part-{number:04}.parquet" for number in range(1, DAYS + 1)]
        assert (folder / "part-0001.parquet").stat().st_mtime_ns == first.st_mtime_ns
        state.write_text(noted)

    # What was done and is gone is not passed over.
    (folder / "part-0001.parquet").unlink()
    refused = call(database_url, "export", *flags)
    assert refused.returncode == 1
    assert "not there" in refused.stderr


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--file", "x.txt"], "--file"),
        (["--file", "x.csv", "--label", "1=2"], "--label"),
        (["--file", "x.csv", "--match", "{"], "--match"),
        (["--file", "x.csv", "--end", "yesterday"], "--end"),
        (["--file", "x.csv", "--end", "2000-01-01T00:00:00Z"], "--end"),
        (["--file", "x.csv", "--state", "s"], "--end"),
        ([], "--file"),
        (["--file", "/nowhere/x.csv"], "--file /nowhere/x.csv: "),
        (["--remote-write-url", "http://h", "--token-file", "/no/t"], "--token-file /no/t: "),
    ],
)
def test_what_is_wrong_is_named(database_url: str, flags: list[str], said: str) -> None:
    ended = call(database_url, "export", "--start", "2026-01-01T00:00:00Z", *flags)
    assert ended.returncode != 0
    assert said in ended.stderr, ended.stderr
