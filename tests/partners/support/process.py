"""Starts the programs that the tests run, and ends them by their process id.

A program gets a random port below the range that the kernel hands out to clients, a log file, and
time to become ready: everything that waits here polls until a deadline.
"""

import contextlib
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

ROOT = Path(__file__).resolve().parents[3]
TOOLS = ROOT / ".cache" / "tools"

T = TypeVar("T")


def wait_for(what: str, look: Callable[[], T], seconds: float = 15) -> T:
    """Polls `look` until it returns something true, and returns that; fails after `seconds`.

    An exception inside `look`, a failed assertion too, is a "not yet"; the last one is shown.
    """
    deadline = time.monotonic() + seconds
    last: BaseException | None = None
    while True:
        try:
            seen = look()
            if seen:
                return seen
        except Exception as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s for {what}; last seen: {last!r}") from last
        time.sleep(0.05)


def free_port() -> int:
    """A port on which nothing listens now; workers of one run never pick the same."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 8
    for port in random.sample(range(12000 + worker * 2000, 14000 + worker * 2000), 200):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port found")


def tool(program: str, package: str | None = None) -> str:
    """Path of a partner: unpacked by scripts/setup.sh, or installed on this machine."""
    unpacked = TOOLS / "bin" / program
    if unpacked.exists():
        return str(unpacked)
    if installed := shutil.which(program):
        return installed
    absent = TOOLS / "absent" / (package or program)
    if absent.exists() and "CI" not in os.environ:
        pytest.skip(f"{program}: {absent.read_text().strip()}")
    raise AssertionError(f"{program} is missing; run scripts/setup.sh test")


def current_prometheus() -> str:
    """A Prometheus of today, as the Kubernetes of e2e builds it; else a skip says so."""
    built = Path.home() / ".cache" / "noetl-metrics-e2e" / "bin" / "prometheus"
    given = Path(os.environ.get("PROMETHEUS_CURRENT", built))
    if not given.exists():
        pytest.skip(f"{given} is missing: make cluster builds a current Prometheus")
    return str(given)


def unprivileged_user() -> str | None:
    """Whom to run a program as that refuses to run as root; `None` where we are not root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in names)


def clean_environment() -> dict[str, str]:
    """This environment without what would configure the programs behind a test's back; in UTC."""
    ours = ("NOETL_", "POSTGRES_", "PG", "DATABASE_URL", "RUST_LOG")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, "TZ": "UTC"}


class Process:
    """A program that runs until `stop`; its output goes to a file."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        cwd: Path | None = None,
    ):
        self.name = Path(command[0]).name
        self.log = log
        as_user = {}
        if user is not None:
            entry = pwd.getpwnam(user)
            as_user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        with log.open("ab") as output:
            self.child = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**clean_environment(), **(env or {})},
                cwd=cwd,
                **as_user,
            )

    def wait_ready(self, look: Callable[[], object], seconds: float = 30) -> None:
        """Waits until `look` succeeds; fails at once where the program ended meanwhile."""

        def alive_and_ready() -> bool:
            return self.child.poll() is not None or bool(look())

        try:
            wait_for(f"{self.name} to be ready", alive_and_ready, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.tail()}") from None
        if self.child.poll() is not None:
            raise AssertionError(f"{self.name} ended with {self.child.returncode}\n{self.tail()}")

    def stop(self, how: signal.Signals = signal.SIGTERM, seconds: float = 15) -> int:
        """Ends the program and returns its exit code; one that does not obey is a failure."""
        if self.child.poll() is None:
            self.child.send_signal(how)
            try:
                self.child.wait(seconds)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
                said = f"{self.name} went on for {seconds} s after {how.name}\n{self.tail()}"
                raise AssertionError(said) from None
        return self.child.returncode

    def tail(self, lines: int = 60) -> str:
        """The end of what the program said."""
        said = self.log.read_text(errors="replace").splitlines()[-lines:]
        return "\n".join([f"--- {self.log}", *said])


@contextlib.contextmanager
def running(process: Process, how: signal.Signals = signal.SIGTERM) -> Iterator[Process]:
    """The process for the length of a `with`; what it said is shown where the test fails."""
    try:
        yield process
    finally:
        told = time.monotonic()
        try:
            process.stop(how)
        finally:
            print(f"{process.tail()}\n--- ended in {time.monotonic() - told:.1f} s")
