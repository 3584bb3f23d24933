"""`noetl-metrics check` as a program: its lines, by id, and what holds of every report."""

import json
import subprocess
from pathlib import Path

from support.process import ROOT, clean_environment
from support.server import program

DOCS = ROOT / "docs"


class Report:
    """What a run said."""

    def __init__(self, *flags: str, **env: str):
        command = [program(), "check", "--output", "json", *flags]
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            env={**clean_environment(), **env},
        )
        assert done.stdout, done.stderr
        self.code = done.returncode
        self.lines = {line["id"]: line for line in json.loads(done.stdout)}
        self._hold()

    def _hold(self) -> None:
        """What holds of every report: its exit code, and the next step where something is wrong."""
        assert self.code == (1 if self.of("failed") else 0), self
        for line in self.lines.values():
            wrong = line["status"] in ("failed", "warning")
            assert bool(line.get("hint")) == wrong, line
            assert bool(line.get("docs")) == wrong, line
            assert not wrong or (DOCS.parent / line["docs"].split("#")[0]).exists(), line

    def of(self, status: str) -> set[str]:
        """Ids of the lines with a status."""
        return {line["id"] for line in self.lines.values() if line["status"] == status}

    def finds(self, id_: str, status: str, said: str) -> "Report":
        """Asserts that a line has a status, and that its detail explains why."""
        line = self.lines[id_]
        assert line["status"] == status, self
        assert said in line["detail"], line
        return self

    def __repr__(self) -> str:
        seen = [line for line in self.lines.values() if line["status"] != "passed"]
        return f"exit code {self.code}, not passed: {json.dumps(seen, indent=1)}"


def as_people_see_it(*flags: str, **env: str) -> str:
    """The report as text."""
    done = subprocess.run(
        [program(), "check", *flags],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        env={**clean_environment(), **env},
    )
    return done.stdout


def write(path: Path, text: str) -> str:
    """A file with a text; its path as a word."""
    path.write_text(text)
    return str(path)
