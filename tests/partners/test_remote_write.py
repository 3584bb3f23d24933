"""Real senders write to the server: nothing is lost, nothing is doubled, types come along."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from support.process import wait_for
from support.series import Values, of_export, of_rows, series
from support.server import Server
from support.writers import JOB, CurrentPrometheus, Prometheus, VmAgent, Writer, writing

WRITERS = [Prometheus, CurrentPrometheus, VmAgent]

TEXT = """# HELP turns_total Scrapes so far
# TYPE turns_total counter
turns_total {turn}
# HELP temperature_celsius Temperature
# TYPE temperature_celsius gauge
temperature_celsius{{room="1"}} {half}
temperature_celsius{{room="naïve \\\\ \\" ☃"}} -0.1
# TYPE wait_seconds histogram
wait_seconds_bucket{{le="0.1"}} {turn}
wait_seconds_bucket{{le="+Inf"}} {double}
wait_seconds_sum {half}
wait_seconds_count {double}
# TYPE size_bytes summary
size_bytes{{quantile="0.5"}} 10.5
size_bytes_sum 100
size_bytes_count {turn}
# TYPE heap_objects counter
heap_objects {turn}
"""

# What a metric's series show by themselves; that the last one counts has to be said.
SHOWN = {
    "turns_total": "counter",
    "temperature_celsius": "gauge",
    "wait_seconds": "histogram",
    "size_bytes": "summary",
}
DECLARED = {**SHOWN, "heap_objects": "counter"}


class Target:
    """What the senders scrape: every scrape finds other values, until it is told to stand still."""

    def __init__(self) -> None:
        self.turn = 0
        self.still = False
        target = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if not target.still:
                    target.turn += 1
                turn = target.turn
                body = TEXT.format(turn=turn, half=turn / 2, double=2 * turn).encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self.server.server_address[1]}"

    def expected(self) -> Values:
        """What the newest scrape found."""
        text = TEXT.format(turn=self.turn, half=self.turn / 2, double=2 * self.turn)
        return of_export(text)


@pytest.fixture
def target() -> Iterator[Target]:
    made = Target()
    thread = threading.Thread(target=made.server.serve_forever)
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def exported(server: Server, target: Target) -> Values:
    """What the server exports of the target, without the labels that sender and server add."""
    added = {"component": target.address, "component_type": "application"}
    added |= {"job": JOB, "instance": target.address}
    values: Values = {}
    for (name, labels), number in of_export(server.export(component_name=target.address)).items():
        if name.startswith(("noetl_component_", "scrape_", "up")):
            continue
        kept = dict(labels)
        assert added.items() <= kept.items(), (name, kept)
        values[series(name, {k: v for k, v in kept.items() if k not in added})] = number
    return values


def url(server: Server) -> str:
    return f"{server.url}/api/v1/write"


@pytest.mark.parametrize("kind", WRITERS, ids=lambda kind: kind.__name__)
def test_all_series_and_newest_values_arrive(
    server: Server, target: Target, tmp_path: Path, kind: type[Writer]
) -> None:
    with writing(kind, target.address, url(server), tmp_path / "writer") as writer:
        wait_for("some scrapes", lambda: target.turn > 4)
        target.still = True

        def agrees() -> bool:
            assert exported(server, target) == target.expected()
            return True

        wait_for("the server to have the newest values", agrees, 30)
        writer.check_took_all()
        rows = server.rows(component_name=target.address)
        assert of_rows(rows), "they can be queried"
        assert {row["component_type"] for row in rows} == {"application"}
        if isinstance(writer, Prometheus):

            def typed() -> bool:
                text = server.export(component_name=target.address)
                for family, word in (DECLARED if writer.declares else SHOWN).items():
                    assert f"# TYPE {family} {word}\n" in text, text
                assert not writer.declares or "# HELP turns_total Scrapes so far\n" in text
                return True

            wait_for("types and help", typed, 30)
            ours = of_export(server.export(component_name=target.address))
            added = {"component", "component_type"}
            told = {
                series(name, {k: v for k, v in labels if k not in added}) for name, labels in ours
            }
            assert writer.newest().keys() <= told, writer.newest().keys() - told


@pytest.mark.parametrize("kind", WRITERS, ids=lambda kind: kind.__name__)
def test_a_restart_in_the_middle_loses_and_doubles_nothing(
    start_server, target: Target, tmp_path: Path, kind: type[Writer]
) -> None:
    """The counter goes up by one with each scrape: every number must be there, each once."""
    server = start_server()
    remote = url(server)
    with writing(kind, target.address, remote, tmp_path / "writer") as writer:

        def turns() -> list[float]:
            rows = server.rows(component_name=target.address, metric_name="turns_total")
            return sorted(row["metric_value"] for row in rows)

        wait_for("the first samples", lambda: len(turns()) > 2, 30)
        server.process.child.kill()
        server.process.child.wait()
        before = target.turn
        wait_for("scrapes while the server is away", lambda: target.turn > before + 2)
        server = start_server(port=int(remote.split(":")[2].split("/")[0]))
        before = target.turn
        wait_for("scrapes after that", lambda: target.turn > before + 3)
        target.still = True

        def all_there() -> bool:
            assert target.turn in turns(), (target.turn, turns())
            return True

        wait_for("the last sample", all_there, 30)
        seen = turns()
        first = int(seen[0])
        # Standing still, the last number comes again with each scrape.
        moved = [number for number in seen if number != target.turn]
        assert moved == [float(turn) for turn in range(first, target.turn)], seen
        writer.check_took_all()
        times = [
            row["timestamp"]
            for row in server.rows(component_name=target.address, metric_name="turns_total")
        ]
        assert len(times) == len(set(times))


def test_the_end_of_a_target_ends_its_series(
    server: Server, target: Target, tmp_path: Path
) -> None:
    """Prometheus says by stale markers that a target is gone."""
    with writing(Prometheus, target.address, url(server), tmp_path / "writer"):
        wait_for("its series", lambda: exported(server, target), 30)
        target.server.shutdown()
        target.server.server_close()

        def gone() -> bool:
            return not exported(server, target)

        wait_for("the series to leave the export", gone, 40)
        assert server.rows(component_name=target.address, metric_name="turns_total")
