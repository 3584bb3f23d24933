"""`helm test`: the chart's own pod reports a sample to an installation and reads it back."""

import pytest

from support import operator
from support.kube import Namespace
from support.operator import RELEASE, SYSTEM, Installation
from support.postgres import Postgres

# Of what else the release has, the values of its test change nothing: other cases run meanwhile.
POD = f"{RELEASE}-test"
# What `noetl-metrics check` writes.
METRIC = "noetl_metrics_check_time_seconds"


def install_for(space: Namespace, *flags: str) -> None:
    """The release, with its test for the installation of that namespace."""
    operator.install(f"--set-string=instance.namespace={space.name}", *flags)


def helm_test() -> str:
    return operator.helm("test", RELEASE, f"--namespace={SYSTEM.name}", "--timeout=120s")


def test_reports_a_sample_and_reads_it_back(installation: Installation, postgres: Postgres):
    space = installation.space
    installation.apply_unscraped().ready()
    install_for(space)
    told = helm_test()
    assert "Phase:" in told, told
    assert "Succeeded" in told, told
    assert f"{METRIC} = " in space.logs(f"pod/{POD}")
    stored = postgres.sql(f"SELECT count(*) FROM noetl.metrics WHERE metric_name = '{METRIC}'")
    assert stored == [["1"]]


def test_fails_where_the_server_does_not_answer(installation: Installation):
    space = installation.space
    installation.apply_unscraped().ready()
    install_for(space, f"--set-string=tests.serverUrl=http://nobody.{space.name}.svc:8082")
    with pytest.raises(AssertionError, match=POD):
        helm_test()
    assert "is --server-url right" in space.logs(f"pod/{POD}")
