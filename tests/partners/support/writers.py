"""Real senders of remote write: they scrape a target every second and write to a server."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from support.process import Process, current_prometheus, free_port, running, tool
from support.series import Values, series, value

JOB = "written"
V2 = "io.prometheus.write.v2.Request"


class Writer:
    """A sender; its own HTTP interface tells how it fared."""

    def __init__(self, target: str, remote: str, folder: Path):
        self.port = free_port()
        self.folder = folder
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=10)
        scrape = {"job_name": JOB, "static_configs": [{"targets": [target]}]}
        every = {"scrape_interval": "1s", "scrape_timeout": "1s"}
        config = {"global": every, "scrape_configs": [scrape], **self.remote(remote)}
        self.config = folder / "writer.yml"
        # JSON is YAML.
        self.config.write_text(json.dumps(config))
        self.process = Process(self.command(remote), folder / "writer.log", cwd=folder)

    def remote(self, url: str) -> dict[str, Any]:
        """What its configuration says of where it writes to."""
        raise NotImplementedError

    def command(self, url: str) -> list[str]:
        """How it is started."""
        raise NotImplementedError

    def metrics(self) -> dict[str, float]:
        """Its own metrics, summed over their labels."""
        sums: dict[str, float] = {}
        for line in self.http.get("/metrics").text.splitlines():
            if line and not line.startswith("#"):
                name, number = line.split("{")[0].split(" ")[0], line.rsplit(" ", 1)[1]
                sums[name] = sums.get(name, 0.0) + float(number)
        return sums


class Prometheus(Writer):
    """Debian's Prometheus: remote write 1.0."""

    message: str | None = None
    features = "exemplar-storage"
    #: Whether it says types and help of all metrics.
    declares = True

    def program(self) -> str:
        return tool("prometheus")

    def remote(self, url: str) -> dict[str, Any]:
        message = {"protobuf_message": self.message} if self.message else {}
        queue = {"batch_send_deadline": "1s", "min_backoff": "30ms", "max_backoff": "500ms"}
        # Types, help and units come by 1.0 once in a while only.
        often = {"metadata_config": {"send": True, "send_interval": "1s"}}
        target = {"url": url, "queue_config": queue, **message, **({} if message else often)}
        return {"remote_write": [{**target, "send_exemplars": True}]}

    def command(self, url: str) -> list[str]:
        return [
            self.program(),
            f"--config.file={self.config}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            f"--enable-feature={self.features}",
            "--log.level=warn",
        ]

    def newest(self) -> Values:
        """The newest values of all its series, by its own account."""
        answer = self.http.get("/api/v1/query", params={"query": f'{{job="{JOB}"}}'})
        assert answer.status_code == 200, answer.text
        return {
            series(labels.pop("__name__"), labels): value(item["value"][1])
            for item in answer.json()["data"]["result"]
            for labels in [item["metric"]]
        }

    def check_took_all(self) -> None:
        """Nothing was refused for good."""
        seen = self.metrics()
        for what in ("samples", "metadata", "exemplars"):
            failed = f"prometheus_remote_storage_{what}_failed_total"
            assert seen.get(failed, 0) == 0, (failed, seen[failed])


class CurrentPrometheus(Prometheus):
    """A current Prometheus: remote write 2.0."""

    message = V2
    features = "exemplar-storage,metadata-wal-records"
    # By 2.0 they come only after they have changed.
    declares = False

    def program(self) -> str:
        return current_prometheus()


class VmAgent(Writer):
    """vmagent of VictoriaMetrics."""

    def remote(self, url: str) -> dict[str, Any]:
        return {}

    def command(self, url: str) -> list[str]:
        return [
            tool("vmagent", "victoria-metrics"),
            f"-promscrape.config={self.config}",
            f"-remoteWrite.url={url}",
            f"-remoteWrite.tmpDataPath={self.folder / 'data'}",
            f"-httpListenAddr=127.0.0.1:{self.port}",
            "-remoteWrite.flushInterval=200ms",
            "-loggerLevel=WARN",
        ]

    def check_took_all(self) -> None:
        """Nothing was refused for good."""
        seen = self.metrics()
        for name in (
            "vmagent_remotewrite_packets_dropped_total",
            "vmagent_remotewrite_samples_dropped_total",
        ):
            assert seen.get(name, 0) == 0, (name, seen[name])


@contextlib.contextmanager
def writing(kind: type[Writer], target: str, remote: str, folder: Path) -> Iterator[Writer]:
    """A sender of that kind, at work for the length of a `with`."""
    folder.mkdir()
    writer = kind(target, remote, folder)
    with running(writer.process), writer.http:
        writer.process.wait_ready(lambda: writer.http.get("/metrics").status_code == 200)
        yield writer
