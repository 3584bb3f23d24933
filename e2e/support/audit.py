"""The API server's audit log, where the cluster lets us read it: who wrote what."""

import json
import os
from pathlib import Path

LOG = os.environ.get("E2E_AUDIT_LOG", "")
WRITES = {"create", "update", "patch", "delete", "deletecollection"}


def available() -> bool:
    return bool(LOG) and os.access(LOG, os.R_OK)


class Audit:
    """What was written since this was made."""

    def __init__(self) -> None:
        self._from = Path(LOG).stat().st_size

    def writes_of(self, user: str) -> list[dict]:
        """Writes of a user, such as system:serviceaccount:NAMESPACE:NAME."""
        with Path(LOG).open() as log:
            log.seek(self._from)
            entries = [json.loads(line) for line in log if line.endswith("\n")]
        return [e for e in entries if e["verb"] in WRITES and e["user"]["username"] == user]


def what(entry: dict) -> str:
    """An entry in a few words."""
    target = entry.get("objectRef", {})
    return (
        f"{entry['verb']} {target.get('resource')} {target.get('namespace')}/{target.get('name')}"
    )
