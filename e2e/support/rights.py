"""Whether the rights that the chart gives are exactly those that are used: asked at the end.

What a run has to remember between its processes (when it began, which calls a case expects to be
refused, whether the turns were complete) is in one file, a line for each.
"""

import contextlib
import datetime
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import used_rights
import yaml

from support import audit, operator

RUN = Path(tempfile.gettempdir(), f"noetl-metrics-e2e-rights-{os.environ['E2E_RUN']}.jsonl")
RARE = Path(__file__).parents[1] / "rights.yaml"


def now() -> str:
    """As the audit log writes it."""
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def remember(**what: object) -> None:
    with RUN.open("a") as file:
        file.write(json.dumps(what) + "\n")


def remembered(what: str) -> list[dict]:
    if not RUN.exists():
        return []
    lines = [json.loads(line) for line in RUN.read_text().splitlines()]
    return [line[what] for line in lines if what in line]


def forget() -> None:
    RUN.unlink(missing_ok=True)


@contextlib.contextmanager
def refused(*resources: str) -> Iterator[None]:
    """Meanwhile calls on these resources, or on all (`*`), may be refused: their rights go."""
    began = now()
    try:
        yield
    finally:
        # What was asked before the rights were back may be written down a little later.
        for resource in resources:
            remember(refused={"resource": resource, "began": began, "ended": now()})


def log_of_the_run() -> list[dict]:
    """The entries since the run began, also of a log that was put aside when it was full."""
    log = Path(audit.LOG)
    began = min(remembered("began"), default="")
    files = [*sorted(log.parent.glob(f"{log.stem}-*{log.suffix}")), log]
    entries: list[dict] = []
    for file in files:
        with file.open() as lines:
            entries += used_rights.read(lines)
    return [entry for entry in entries if entry["requestReceivedTimestamp"] >= began]


def granted() -> set[used_rights.Right]:
    """The rights of the chart at its defaults, and those of servers that review tokens."""
    rendered = operator.helm(
        "template",
        operator.RELEASE,
        operator.CHART,
        f"--namespace={operator.SYSTEM.name}",
        '--set-json=rbac.reviewers=["a/b"]',
    )
    return used_rights.granted(made for made in yaml.safe_load_all(rendered) if made)


def told(complete: bool) -> tuple[str, list[str]]:
    """The rights and their use, and what is wrong with them: nothing is, unless all cases ran."""
    given, rare = granted(), used_rights.allowed(yaml.safe_load(RARE.read_text()))
    found = used_rights.found(log_of_the_run(), f"{operator.SYSTEM.name}:{operator.RELEASE}")
    wrong = used_rights.wrong(given, found, remembered("refused"), rare)
    shown = used_rights.table(given, found, rare)
    if complete:
        return shown, wrong
    refused = [line for line in wrong if line.startswith("refused")]
    return "\n".join([shown, "not all cases ran, so it is only told", *refused]), []
