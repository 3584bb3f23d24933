"""A real Alertmanager that keeps its alerts to itself."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import httpx

from support.process import Process, free_port, running, tool


class Alertmanager:
    """Alertmanager, and what it says of alerts."""

    def __init__(self, folder: Path):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = httpx.Client(base_url=self.url, timeout=10)
        config = folder / "alertmanager.yml"
        # JSON is YAML.
        config.write_text(
            json.dumps({"route": {"receiver": "none"}, "receivers": [{"name": "none"}]})
        )
        command = [
            tool("prometheus-alertmanager"),
            f"--config.file={config}",
            f"--storage.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            # It is the only one, and has no use for a port of its own.
            "--cluster.listen-address=",
        ]
        self.process = Process(command, folder / "alertmanager.log", cwd=folder)

    def alerts(self) -> list[dict]:
        """The alerts that it takes for firing."""
        answer = self.http.get("/api/v2/alerts", params={"active": "true"})
        assert answer.status_code == 200, answer.text
        return answer.json()


@contextlib.contextmanager
def alertmanager(folder: Path) -> Iterator[Alertmanager]:
    """One for the length of a `with`."""
    folder.mkdir()
    made = Alertmanager(folder)
    with running(made.process), made.http:
        made.process.wait_ready(lambda: made.http.get("/-/ready").status_code == 200)
        yield made
