"""Writes charts/noetl-metrics/dashboards/*.json, or says which of them are out of date.

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
import system
import worker

FOLDER = Path(__file__).resolve().parents[2] / "charts" / "noetl-metrics" / "dashboards"
DASHBOARDS = {
    "system": system.DASHBOARD,
    "worker": worker.DASHBOARD,
    "server": noetl_server.DASHBOARD,
    "custom": custom.DASHBOARD,
    "collector": collector.DASHBOARD,
}


def main(check: bool) -> int:
    stale = []
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, dashboard in DASHBOARDS.items():
        path = FOLDER / f"{name}.json"
        text = json.dumps(model.render(dashboard), indent=2, ensure_ascii=False) + "\n"
        if check and (not path.exists() or path.read_text() != text):
            stale.append(path.name)
        elif not check:
            path.write_text(text)
    for name in stale:
        print(f"dashboards/{name} is out of date; run: make generate", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
