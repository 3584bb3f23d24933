"""Fixtures: Helm, the series that running programs export, and the chart's files."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from chart import Chart
from contract import Exports, exports
from control_plane import ControlPlane, control_plane

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
# Where the end-to-end tests keep the programs of their cluster.
PROGRAMS = CACHE / "noetl-metrics-e2e" / "bin"


def missing(what: str) -> NoReturn:
    """Skips the test, or fails it where the programs were built for it."""
    said = f"there is no {what}; e2e/cluster/build.sh builds it"
    if "E2E_PROGRAMS" in os.environ:
        raise AssertionError(said)
    pytest.skip(said)


@pytest.fixture(scope="session")
def helm() -> str:
    """Path of Helm: $HELM, what the end-to-end tests built, or installed on this machine."""
    for path in (os.environ.get("HELM"), PROGRAMS / "helm", shutil.which("helm")):
        if path and Path(path).exists():
            return str(path)
    missing("helm")


@pytest.fixture(scope="session")
def api_server(helm: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A Kubernetes API server of the tests' own, without nodes."""
    if not all((PROGRAMS / name).exists() for name in ("etcd", "kube-apiserver", "kubectl")):
        missing("kube-apiserver")
    with control_plane(PROGRAMS, helm, tmp_path_factory.mktemp("control-plane")) as running:
        yield running


@pytest.fixture(scope="session")
def chart(helm: str) -> Chart:
    """The chart, as Helm renders it."""
    return Chart(helm)


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exports]:
    """A server, an agent and reporters that run for the length of the tests."""
    with exports(tmp_path_factory.mktemp("exports")) as running:
        yield running
