"""Installations beside each other, with long names, and in namespaces that allow little."""

import pytest

from support import kube, operator
from support.kube import Namespace
from support.operator import Installation
from support.postgres import Postgres
from support.wait import until

LONG = "n" + "x" * 62


def quota(pods: int) -> kube.Object:
    """A ResourceQuota of so many pods."""
    spec = {"hard": {"pods": str(pods)}}
    meta = {"name": "few"}
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": meta, "spec": spec}


def uids(installation: Installation) -> set[str]:
    return {child["metadata"]["uid"] for child in installation.children().values()}


def test_two_in_a_namespace_one_with_the_longest_name(
    installation: Installation, postgres: Postgres
):
    space = installation.space
    postgres.sql("CREATE DATABASE other")
    space.apply(kube.secret("other-db", url=f"{postgres.url.rpartition('/')[0]}/other"))
    other = Installation(space, LONG)
    installation.apply_unscraped()
    other.apply_unscraped(database={"secretRef": {"name": "other-db", "key": "url"}})
    installation.ready()
    other.ready()
    # Each has all of its own.
    assert not uids(installation) & uids(other)
    assert len(uids(installation)) == len(uids(other))
    space.kubectl("delete", f"noetlmetrics/{LONG}", "--timeout=60s")
    assert installation.ready().pods("server")


@pytest.mark.timeout(600)
def test_a_quota_that_is_used_up_is_named_and_heals(
    installed: None, space: Namespace, postgres: Postgres
):
    installation = operator.with_database(space, postgres)
    # PostgreSQL and an agent: none is left for the rest.
    space.apply(quota(2))
    installation.apply_unscraped(server={"replicas": 2})

    def says_why() -> bool:
        told = kube.condition(installation.get(), "Available")
        assert told["status"] == "False", told
        return "exceeded quota" in told["message"]

    until("the condition names the quota", says_why, seconds=120)
    space.apply(quota(20))
    # The controllers of Kubernetes try again later and later.
    installation.ready(seconds=240)
    installation.condition("Degraded", "False", seconds=120)


@pytest.mark.parametrize("agent", [True, False], ids=["with agents", "without agents"])
def test_restricted_pods_are_enforced(installation: Installation, agent: bool):
    space = installation.space
    enforce = "pod-security.kubernetes.io/enforce=restricted"
    kube.kubectl("label", "namespace", space.name, enforce, "--overwrite")
    spec = {} if agent else {"agent": {"enabled": False}}
    installation.apply_unscraped(**spec).ready(seconds=120)
    assert len(installation.pods("server")) == 2
    if agent:
        # An agent sees its node's files, which the profile forbids; servers run all the same.
        told = installation.condition("Degraded", "True", seconds=120)
        assert "PodSecurity" in told["message"], told
        assert installation.pods("agent") == []
    else:
        installation.condition("Degraded", "False", seconds=60)
