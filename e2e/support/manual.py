"""What the pages tell a reader to type, as a shell runs it; each step is timed."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import markdown

from support.operator import image_values

ROOT = Path(__file__).resolve().parents[2]
# As the pages name it; the released image is in no registry here.
HELM = """#!/bin/sh
case $1 in install) exec "{helm}" "$@" {image} ;; *) exec "{helm}" "$@" ;; esac
"""


@dataclass(frozen=True)
class Step:
    """What was done, and how many seconds it took."""

    what: str
    seconds: float


class Manual:
    """Pages, followed word by word but for what a reader puts in."""

    def __init__(self, puts_in: dict[str, str]):
        self.puts_in = puts_in
        self.steps: list[Step] = []

    def block(self, page: str, language: str, pattern: str) -> str:
        """The one block of a page in which the pattern is found."""
        found = [
            block.text
            for block in markdown.blocks((ROOT / page).read_text())
            if block.language == language and re.search(pattern, block.text.strip())
        ]
        assert len(found) == 1, f"{page}: {len(found)} blocks of {language} with {pattern!r}"
        return found[0].strip()

    def follow(self, what: str, page: str, pattern: str, *, seconds: float = 180) -> str:
        """Runs a block; returns what it printed. What it left running is ended."""
        text = self.block(page, "sh", pattern)
        for theirs, ours in self.puts_in.items():
            text = text.replace(theirs, ours)
        with self.timed(what), tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder, "out"), Path(folder, "err")
            status = _run(text, Path(folder), out, err, seconds)
            told, wrong = out.read_text(), err.read_text()
        assert status == 0, f"{page}: {text}\n{told}\n{wrong}"
        return told

    @contextlib.contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """A step of the way."""
        began = time.monotonic()
        yield
        self.steps.append(Step(what, time.monotonic() - began))

    def told(self) -> list[str]:
        """The steps, and how long all of them took."""
        everything = Step("all of it", sum(step.seconds for step in self.steps))
        return [f"{step.seconds:6.1f} s  {step.what}" for step in [*self.steps, everything]]


def _run(text: str, folder: Path, out: Path, err: Path, seconds: float) -> int:
    """The status of a shell that runs it, in the repository's folder."""
    wrapper = folder / "helm"
    wrapper.write_text(HELM.format(helm=shutil.which("helm"), image=" ".join(image_values())))
    wrapper.chmod(0o755)
    with (
        out.open("w") as stdout,
        err.open("w") as stderr,
        subprocess.Popen(
            ["/bin/bash", "-euo", "pipefail", "-c", text],
            cwd=ROOT,
            env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        ) as shell,
    ):
        try:
            return shell.wait(timeout=seconds)
        finally:
            # Nothing may be left of its group.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGTERM)
