"""The demo: one at a time on its data, and nothing of it goes on without it."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from support.process import Process, clean_environment, free_port, running, wait_for
from support.server import program


@pytest.fixture
def data() -> Iterator[Path]:
    # PostgreSQL of the demo is another user where this one is root.
    folder = Path(tempfile.mkdtemp(prefix="noetl-demo-"))
    folder.chmod(0o755)
    yield folder / "data"
    shutil.rmtree(folder, ignore_errors=True)


def command(data: Path, listen: str) -> list[str]:
    return [program(), "demo", "--listen", listen, "--data-dir", str(data)]


def test_a_second_one_is_refused_and_a_hang_up_ends_the_first(data: Path, tmp_path: Path) -> None:
    listen = f"127.0.0.1:{free_port()}"
    # A group of its own, as a terminal's foreground has.
    # Where this runs with nohup, that signal is ignored by whatever it starts.
    heard = ["env", "--default-signal=HUP"]
    first = Process(["setsid", *heard, *command(data, listen)], tmp_path / "demo.log")
    with running(first), httpx.Client(base_url=f"http://{listen}", timeout=20) as http:
        first.wait_ready(lambda: http.get("/readyz").status_code == 200)
        said = wait_for("it says what to do next", lambda: next_steps(first.log))
        for role in ("top", "check"):
            assert f"{program()} {role} --server-url http://{listen}" in said

        second = subprocess.run(
            command(data, f"127.0.0.1:{free_port()}"),
            capture_output=True,
            text=True,
            timeout=60,
            env=clean_environment(),
        )
        assert second.returncode == 1, second.stdout + second.stderr
        assert f"--data-dir {data}: another demo runs with this data" in second.stderr
        assert http.get("/readyz").status_code == 200, "the first one goes on"

        postmaster = data / "postgres" / "data" / "postmaster.pid"
        pid = int(postmaster.read_text().splitlines()[0])
        os.killpg(first.child.pid, signal.SIGHUP)
        wait_for("the demo has ended", lambda: first.child.poll() is not None)
        wait_for("PostgreSQL has ended", lambda: not Path(f"/proc/{pid}").exists(), seconds=30)
        assert not postmaster.exists(), "it was stopped, not killed"


def next_steps(log: Path) -> str:
    text = log.read_text()
    return text if "Ctrl-C stops all of it" in text else ""
