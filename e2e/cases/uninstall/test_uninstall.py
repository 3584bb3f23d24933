"""Chart and resource taken away, in both orders: nothing stays but the definition and the data."""

import pytest

from support import kube, operator
from support.operator import KIND, Installation
from support.wait import until

pytestmark = pytest.mark.alone

# What any namespace has, and what the case itself put there.
OURS = ("app.kubernetes.io/part-of", "noetl")


@pytest.fixture
def running(installation: Installation, postgres) -> Installation:
    installation.apply().ready()
    postgres.sql("CREATE TABLE public.bystander AS SELECT 1 AS one")
    return installation


def left_over(installation: Installation) -> list[str]:
    """Objects in the installation's namespace that are ours, Pods that still end among them."""
    return [
        name
        for name, found in kube.everything(installation.space.name).items()
        if found["metadata"].get("labels", {}).get(OURS[0]) == OURS[1]
        or found["kind"] == "NoetlMetrics"
    ]


def left_over_cluster_wide() -> list[str]:
    """Objects beside the installation's namespace that carry the labels of ours."""
    kinds = kube.kubectl(
        "api-resources", "--namespaced=false", "--verbs=list,delete", "--output=name"
    )
    wide = [kind for kind in kinds.split() if "metrics.k8s.io" not in kind]
    chosen = "--selector=app.kubernetes.io/part-of=noetl"
    found = kube.kubectl("get", ",".join(wide), chosen, "--output=name").split()
    found += kube.kubectl(
        "get", "all,secrets,configmaps,leases,roles,rolebindings,serviceaccounts",
        f"--namespace={operator.SYSTEM.name}", chosen, "--output=name",
    ).split()  # fmt: skip
    return [name for name in found if not name.endswith(KIND)]


def check(installation: Installation, postgres) -> None:
    until(
        "nothing is left in the namespace", lambda: not left_over(installation) or None, seconds=60
    )
    until("nothing is left beside it", lambda: not left_over_cluster_wide() or None, seconds=60)
    assert kube.exists("crd", KIND)
    assert postgres.sql("SELECT one FROM public.bystander") == [["1"]]
    assert int(postgres.sql("SELECT count(*) FROM noetl.metrics")[0][0]) > 0


def test_resource_first_then_the_release(running: Installation, postgres):
    running.space.kubectl("delete", "noetlmetrics/noetl", "--timeout=60s")
    until("the children go with it", lambda: not left_over(running) or None, seconds=60)
    operator.uninstall()
    check(running, postgres)


def test_release_first_then_the_resource(running: Installation, postgres):
    operator.uninstall()
    # What runs goes on running: servers and agents need no operator.
    assert running.pods("server")
    assert running.get()
    # No finalizer waits for an operator that is gone.
    running.space.kubectl("delete", "noetlmetrics/noetl", "--timeout=60s")
    check(running, postgres)
