"""Real stores of history, filled by a test and asked by nobody else: they scrape nothing."""

import contextlib
import itertools
import math
import subprocess
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx

from support.process import Process, current_prometheus, free_port, running, tool

#: Samples of each series, by its line in the text format: times in milliseconds, and values.
History = Mapping[str, Mapping[int, float]]


def text(number: float) -> str:
    """A value in the text format."""
    if math.isnan(number):
        return "NaN"
    return f"{'+' if number > 0 else '-'}Inf" if math.isinf(number) else repr(float(number))


def lines(history: History, per_second: int) -> Iterator[str]:
    """All samples in the text format; so many units of its times are a second."""
    for series, samples in history.items():
        for at, number in samples.items():
            moment = f"{at}" if per_second == 1000 else f"{at // 1000}.{at % 1000:03}"
            yield f"{series} {text(number)} {moment}\n"


class Store:
    """A store, with a history in it once it is ready."""

    #: What flags call it.
    name = ""
    #: Whether it tells values that are not a number.
    tells_nan = True
    #: How far a value may be from the one that was put in, as a part of it.
    tolerance = 0.0
    #: What the path of a request holds that comes once an hour.
    hourly = ""

    def __init__(self, history: History, folder: Path, *flags: str):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = httpx.Client(base_url=self.url, timeout=30)
        self.history = history
        self.folder = folder
        command = [*self.command(), *flags]
        self.process = Process(command, folder / "store.log", cwd=folder)

    def command(self) -> list[str]:
        """How it is started; what it needs is in its folder then."""
        raise NotImplementedError

    def ready(self) -> bool:
        """Whether it answers, and has the history."""
        raise NotImplementedError


class Prometheus(Store):
    """Prometheus, with blocks that promtool made."""

    name = "prometheus"
    hourly = "/label/__name__/values"

    def program(self) -> str:
        return tool("prometheus")

    def command(self) -> list[str]:
        config, data, given = (self.folder / name for name in ("none.yml", "data", "history.txt"))
        config.write_text("{}\n")
        # OpenMetrics; what has no type may have any name.
        given.write_text("".join(lines(self.history, 1)) + "# EOF\n")
        make = [tool("promtool", "prometheus"), "tsdb", "create-blocks-from", "openmetrics"]
        made = subprocess.run(
            [*make, "--quiet", given, data], capture_output=True, text=True, timeout=60
        )
        assert made.returncode == 0, made.stdout + made.stderr
        return [
            self.program(),
            f"--config.file={config}",
            f"--storage.tsdb.path={data}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--log.level=warn",
        ]

    def ready(self) -> bool:
        return self.http.get("/-/ready").status_code == 200


class CurrentPrometheus(Prometheus):
    """A Prometheus of today: Debian's is of 2023."""

    def program(self) -> str:
        return current_prometheus()


class VictoriaMetrics(Store):
    """VictoriaMetrics, single node."""

    name = "victoriametrics"
    tells_nan = False
    # It stores decimals, of fractions some 12 digits.
    tolerance = 1e-12
    hourly = "/api/v1/export"

    def command(self) -> list[str]:
        return [
            tool("victoria-metrics"),
            f"-storageDataPath={self.folder / 'data'}",
            f"-httpListenAddr=127.0.0.1:{self.port}",
            "-loggerLevel=WARN",
        ]

    def ready(self) -> bool:
        given = "".join(lines(self.history, 1000))
        answer = self.http.post("/api/v1/import/prometheus", content=given)
        # What was written can be read then.
        return answer.status_code == 204 and self.http.get("/internal/force_flush").is_success


@contextlib.contextmanager
def storing(kind: type[Store], history: History, folder: Path, *flags: str) -> Iterator[Store]:
    """A store with a history, for the length of a `with`."""
    folder.mkdir()
    store = kind(history, folder, *flags)
    with running(store.process), store.http:
        store.process.wait_ready(store.ready)
        yield store


class Relay:
    """Stands before a store, and holds requests from the n-th hour on until it is opened."""

    def __init__(self, store: Store, hours: int):
        self.open = threading.Event()
        self.held = threading.Event()
        seen = itertools.count(1)
        relay = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if store.hourly in self.path and next(seen) > hours and not relay.open.is_set():
                    relay.held.set()
                    relay.open.wait()
                answer = store.http.get(self.path)
                # Whoever asked may be gone.
                with contextlib.suppress(OSError):
                    self.send_response(answer.status_code)
                    self.send_header("Content-Length", str(len(answer.content)))
                    self.end_headers()
                    self.wfile.write(answer.content)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@contextlib.contextmanager
def relaying(store: Store, hours: int) -> Iterator[Relay]:
    """A relay before a store, for the length of a `with`."""
    relay = Relay(store, hours)
    thread = threading.Thread(target=relay.server.serve_forever)
    thread.start()
    try:
        yield relay
    finally:
        relay.open.set()
        relay.server.shutdown()
        thread.join()
        relay.server.server_close()
