"""Fixtures: Helm, the series that running programs export, and the chart's files."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from chart import Chart
from contract import Exports, exports


@pytest.fixture(scope="session")
def helm() -> str:
    """Path of Helm: $HELM, what the end-to-end tests built, or installed on this machine."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    for path in (os.environ.get("HELM"), cache / "noetl-metrics-e2e" / "bin" / "helm"):
        if path and Path(path).exists():
            return str(path)
    if installed := shutil.which("helm"):
        return installed
    if "CI" in os.environ:
        raise AssertionError("helm is missing; build it with: make cluster")
    pytest.skip("there is no helm; set HELM, or build it with: make cluster")


@pytest.fixture(scope="session")
def chart(helm: str) -> Chart:
    """The chart, as Helm renders it."""
    return Chart(helm)


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exports]:
    """A server, an agent and reporters that run for the length of the tests."""
    with exports(tmp_path_factory.mktemp("exports")) as running:
        yield running
