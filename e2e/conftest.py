"""Fixtures: a namespace of a case's own; on failure, what the cluster says about it. And which
cases run at the same time, and which when nothing else does."""

import contextlib
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

from support import audit, kube, operator, rights
from support.manual import Manual
from support.postgres import Postgres

FAILED = pytest.StashKey[bool]()
RIGHTS = pytest.StashKey[list[str]]()
MANUALS = pytest.StashKey[list[Manual]]()


# Cases under way, where others run them.
UNDER_WAY: list[str] = []
# Folders whose cases share an installation or a pod: one after the other, in one process.
ONE_BY_ONE = ("at_rest", "helm_test")


class Scheduling(LoadScopeScheduling):
    """Each case goes to the process that is free, but for those of a folder that shares."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if file.split("/")[-2] in ONE_BY_ONE else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Scheduling:
    return Scheduling(config, log)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--turn",
        choices=("together", "alone"),
        help="only the cases that run at the same time, or only those marked alone; else all",
    )


def pytest_configure() -> None:
    """Told to end, as when time is up, a run tells what it was doing, as at Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves the cases of this turn; the longest begin first, so that none is the last for long."""
    if turn := config.getoption("turn"):
        others = [
            item for item in items if bool(item.get_closest_marker("alone")) != (turn == "alone")
        ]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]
    if turn == "together":
        items.sort(key=lambda item: item.get_closest_marker("long") is None)


def pytest_runtest_logstart(nodeid: str) -> None:
    UNDER_WAY.append(nodeid)


def pytest_runtest_logfinish(nodeid: str) -> None:
    UNDER_WAY.remove(nodeid)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for nodeid in UNDER_WAY:
        terminalreporter.write_line(f"not done: {nodeid}")
    for manual in terminalreporter.config.stash.get(MANUALS, []):
        terminalreporter.section("a newcomer's path")
        for line in manual.told():
            terminalreporter.write_line(line)
    if told := terminalreporter.config.stash.get(RIGHTS, None):
        terminalreporter.section("rights, and how often each was used")
        for line in told:
            terminalreporter.write_line(line)


def is_complete(session: pytest.Session) -> bool:
    """Whether all cases of this turn ran, and none failed."""
    option = session.config.option
    folders = {Path(given).name for given in option.file_or_dir}
    chosen = option.keyword or option.markexpr or option.deselect or folders - {"cases"}
    return not chosen and session.testscollected > 0 and session.exitstatus == pytest.ExitCode.OK


def pytest_sessionstart(session: pytest.Session) -> None:
    config = session.config
    if not config.getoption("collectonly") and not hasattr(config, "workerinput"):
        rights.remember(began=rights.now())


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """The operator's release is taken away at the end of the run; between two turns it stays. Then
    all has been done that rights are given for."""
    config = session.config
    if config.getoption("collectonly") or hasattr(config, "workerinput"):
        return
    turn = config.getoption("turn")
    rights.remember(complete={"turn": turn, "is": is_complete(session)})
    if turn == "together":
        return
    operator.uninstall()
    if not audit.available():
        return
    turns = {told["turn"] for told in rights.remembered("complete") if told["is"]}
    shown, wrong = rights.told(complete=None in turns or {"together", "alone"} <= turns)
    rights.forget()
    config.stash[RIGHTS] = [shown, *wrong]
    if wrong:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    """Remembers a failure, for the fixtures that tell why; a second run begins without one."""
    report = yield
    if report.when == "setup":
        item.stash[FAILED] = report.failed
    elif report.when == "call":
        item.stash[FAILED] |= report.failed
    return report


@pytest.fixture(scope="session", autouse=True)
def cluster() -> Iterator[str]:
    """The cluster's version; fails early where there is none."""
    version = kube.kubectl("version", "--output=json")
    with kube.connected():
        yield version


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


@pytest.fixture
def manuals(request: pytest.FixtureRequest) -> list[Manual]:
    """Whose steps are told at the end of the run."""
    return request.config.stash.setdefault(MANUALS, [])


@pytest.fixture
def installed() -> None:
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
