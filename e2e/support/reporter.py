"""A client that reports on and on, as a worker would: each sample until it is acknowledged."""

import contextlib
import threading
import time
from types import TracebackType

import httpx

from support import collector
from support.operator import Installation

METRIC = "upgrade_step"
# Seconds after which a report without an answer is sent again.
ANSWER = 10


class Reporter:
    """Runs in a thread for the length of a `with`; a connection that ends is made anew."""

    def __init__(self, installation: Installation, component: str):
        self.installation = installation
        self.component = component
        self.acknowledged: list[int] = []
        # Seconds that each report took until it was acknowledged, its retries among them.
        self.took: list[float] = []
        # Answers that a client must not try again after: 4xx but for 408 and 429.
        self.refused: list[str] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._token = installation.token()

    def __enter__(self) -> "Reporter":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join(timeout=60)
        assert not self._thread.is_alive(), "the reporter does not end"

    def _run(self) -> None:
        step, began = 1, time.monotonic()
        registered = False
        while not self._ended.is_set():
            # A forwarded port leads to one pod, and ends with it.
            with (
                contextlib.suppress(AssertionError, OSError, httpx.TransportError),
                self.installation.space.forward(
                    f"service/{self.installation.name}-server", collector.PORT
                ) as server,
            ):
                server.headers["Authorization"] = f"Bearer {self._token}"
                if not registered:
                    collector.register(server, self.component)
                    registered = True
                while not self._ended.is_set():
                    if not self._report(server, step):
                        break
                    self.acknowledged.append(step)
                    self.took.append(time.monotonic() - began)
                    step, began = step + 1, time.monotonic()
                    self._ended.wait(0.1)
            self._ended.wait(0.2)

    def _report(self, server: httpx.Client, step: int) -> bool:
        sample = collector.gauge(METRIC, step, step=str(step))
        body = {"component_name": self.component, "metrics": [sample]}
        # What is sent as the pod ends, a forwarded port may take and lose without a word.
        answer = server.post("/api/metrics/report", json=body, timeout=ANSWER)
        if 400 <= answer.status_code < 500 and answer.status_code not in (408, 429):
            self.refused.append(f"step {step}: {answer.status_code} {answer.text}")
        return answer.status_code == 200
