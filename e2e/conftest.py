"""Fixtures: a namespace of a case's own; on failure, what the cluster says about it."""

import contextlib
import re
import signal
from collections.abc import Iterator

import pytest

from support import kube, operator
from support.postgres import Postgres

FAILED = pytest.StashKey[bool]()


def pytest_configure() -> None:
    """Told to end, as when time is up, a run tells what it was doing, as at Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    """Remembers a failure, for the fixtures that tell why."""
    report = yield
    if report.when in ("setup", "call") and report.failed:
        item.stash[FAILED] = True
    return report


@pytest.fixture(scope="session", autouse=True)
def cluster() -> str:
    """The cluster's version; fails early where there is none."""
    return kube.kubectl("version", "--output=json")


@pytest.fixture
def space(request: pytest.FixtureRequest) -> Iterator[kube.Namespace]:
    """An empty namespace, gone with the case."""
    prefix = re.sub("[^a-z0-9]+", "-", request.node.path.parent.name)
    with kube.namespace(prefix) as made:
        yield made
        if request.node.stash.get(FAILED, False):
            tell(made)


@pytest.fixture
def postgres(space: kube.Namespace) -> Postgres:
    """A PostgreSQL in the case's namespace."""
    return Postgres(space).start()


def tell(space: kube.Namespace) -> None:
    """Prints a namespace's pods, events and logs; a kind that is not there is no matter."""
    for words in (
        ["get", "pods,jobs", "--output=wide"],
        ["get", "noetlmetrics", "--output=yaml"],
        ["get", "events", "--sort-by=.lastTimestamp"],
    ):
        with contextlib.suppress(kube.KubectlError):
            print(space.kubectl(*words))
    for pod in space.items("pods"):
        print(f"--- {pod['metadata']['name']}\n{space.logs('pod/' + pod['metadata']['name'])}")


@pytest.fixture(scope="session")
def _release() -> Iterator[None]:
    """The operator's release is taken away at the end of the run."""
    yield
    operator.uninstall()


@pytest.fixture
def installed(_release: None) -> None:
    """The operator runs, at the chart's defaults."""
    operator.at_defaults()


@pytest.fixture
def installation(
    installed: None, space: kube.Namespace, postgres: Postgres
) -> operator.Installation:
    """A namespace with a database and its Secret; the resource is for the case to apply."""
    return operator.with_database(space, postgres)


@pytest.fixture
def definition() -> None:
    """The resource's definition, with or without the operator."""
    operator.install_definition()
