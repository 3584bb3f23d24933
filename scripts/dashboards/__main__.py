"""Writes the dashboards of charts/noetl-metrics/dashboards, and the one for PostgreSQL in
docs/examples/grafana, or says which of them are out of date.

python scripts/dashboards           writes them
python scripts/dashboards --check   fails where a committed one is not what is described here
"""

import json
import sys
from pathlib import Path

import collector
import custom
import model
import noetl_server
import postgresql
import system
import worker

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "charts" / "noetl-metrics" / "dashboards"
DASHBOARDS = {
    "system": system.DASHBOARD,
    "worker": worker.DASHBOARD,
    "server": noetl_server.DASHBOARD,
    "custom": custom.DASHBOARD,
    "collector": collector.DASHBOARD,
}


def made() -> dict[Path, dict]:
    """All dashboards and where they are."""
    rendered = {FOLDER / f"{name}.json": model.render(one) for name, one in DASHBOARDS.items()}
    return rendered | {ROOT / "docs/examples/grafana/postgresql.json": postgresql.render()}


def main(check: bool) -> int:
    stale = []
    for path, dashboard in made().items():
        text = json.dumps(dashboard, indent=2, ensure_ascii=False) + "\n"
        if check and (not path.exists() or path.read_text() != text):
            stale.append(path)
        elif not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    for path in stale:
        print(f"{path.relative_to(ROOT)} is out of date; run: make generate", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
