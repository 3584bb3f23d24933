"""Whether network policies are enforced: our own cluster does so where a case asks for it."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "cluster" / "policies.sh"
#: A script's exit status: it can't be done here.
UNAVAILABLE = 69


@contextlib.contextmanager
def enforced() -> Iterator[None]:
    """Policies are enforced for the length of a `with`; where none can be, the case is skipped."""
    if os.environ.get("E2E_KUBECONFIG"):
        # Its network plugin does, or does not.
        if not os.environ.get("E2E_POLICIES"):
            pytest.skip("E2E_POLICIES does not say that this cluster enforces network policies")
        yield
        return
    done = subprocess.run([SCRIPT, "on"], capture_output=True, text=True)
    if done.returncode == UNAVAILABLE:
        pytest.skip(f"network policies: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    try:
        yield
    finally:
        subprocess.run([SCRIPT, "off"], check=True, capture_output=True)
