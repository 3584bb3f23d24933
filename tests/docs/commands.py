"""What the pages' commands call, as a shell reads them: nothing of it is run.

Each block goes through bash, in an empty folder, where every program is one that only writes down
how it was called.
"""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pages import Found, blocks

# Of these nothing is checked; they read what others print.
READERS = ["base64", "grep", "head", "jq", "sed", "openssl", "cat", "date"]
CHECKED = [
    "noetl-metrics",
    "make",
    "cargo",
    "helm",
    "kubectl",
    "curl",
    "psql",
    "duckdb",
    "createdb",
    "pg_dump",
    "pg_restore",
]
PROGRAM = """#!{python} -S
import json, os, sys
name = os.path.basename(sys.argv[0])
# Only where it was said that this is read: anything else may be the terminal.
text = sys.stdin.read() if name == "kubectl" and sys.argv[-1] == "-" else ""
with open(os.environ["CALLS"], "a") as calls:
    calls.write(json.dumps([name, sys.argv[1:], text]) + "\\n")
"""
# What a reader puts in; others have a value that is as good as theirs.
VARIABLES = {
    "DATABASE_URL": "postgres://noetl@127.0.0.1/noetl",
    "TOKEN": "token",
    "NOETL_METRICS_AUTH_TOKEN_FILE": "token",
}


@dataclass(frozen=True)
class Call:
    """A program that a block calls, with what it is given."""

    where: str
    program: str
    words: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.program} {' '.join(self.words)}"

    def value(self, *flags: str) -> str | None:
        """What follows a flag, or stands behind its `=`."""
        for number, word in enumerate(self.words):
            if word in flags and number + 1 < len(self.words):
                return self.words[number + 1]
            if word.split("=")[0] in flags and "=" in word:
                return word.split("=", 1)[1]
        return None


@cache
def calls() -> list[Call]:
    """All calls of all blocks; a block that bash does not read, or a program that is not known, is
    an error."""
    with tempfile.TemporaryDirectory() as folder:
        programs = Path(folder) / "programs"
        programs.mkdir()
        for name in [*READERS, *CHECKED]:
            (programs / name).write_text(PROGRAM.format(python=sys.executable))
            (programs / name).chmod(0o755)
        return [call for found in blocks("sh") for call in _of_block(found, Path(folder))]


def _of_block(found: Found, folder: Path) -> list[Call]:
    written = folder / "calls"
    written.write_text("")
    inside = folder / "inside"
    inside.mkdir(exist_ok=True)
    done = subprocess.run(
        ["/bin/bash", "-c", found.block.text + "\nwait\n"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=inside,
        env={**VARIABLES, "PATH": str(folder / "programs"), "CALLS": str(written), "HOME": folder},
    )
    for wrong in ("syntax error", "command not found", "unexpected EOF"):
        assert wrong not in done.stderr, f"{found.where}: {done.stderr}"
    lines = written.read_text().splitlines()
    return [
        Call(found.where, name, tuple(words), text) for name, words, text in map(json.loads, lines)
    ]


def of(program: str) -> list[Call]:
    """All calls of a program."""
    return [call for call in calls() if call.program == program]
