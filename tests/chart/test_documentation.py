"""Manifests that the documentation shows, offered to a real API server."""

import json
import re
import sys
from collections.abc import Iterator

import pytest

from chart import ROOT
from control_plane import ControlPlane

# What reads the pages is the documentation's tests'.
sys.path += [str(ROOT / "tests" / "docs"), str(ROOT / "scripts" / "pages")]

import manifests

DEFINITION = ROOT / "crds" / "noetlmetrics.yaml"
CRD = "crd/noetlmetrics.metrics.noetl.io"
NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "noetl"}}


@pytest.fixture(scope="module")
def served(api_server: ControlPlane) -> Iterator[ControlPlane]:
    """An API server that knows the resource, and the namespace that the pages speak of."""
    api_server.kubectl("delete", CRD, "--ignore-not-found")
    api_server.kubectl("create", "--filename", str(DEFINITION))
    api_server.kubectl("wait", "--for=condition=Established", CRD)
    api_server.kubectl("apply", "--filename=-", text=json.dumps(NAMESPACE))
    yield api_server
    # Helm would take it for another's.
    api_server.kubectl("delete", CRD)


# Strictly: a field that is not known is an error.
OFFER = ("create", "--dry-run=server", "--validate=strict", "--filename=-")


def test_the_api_server_takes_what_the_pages_show(served: ControlPlane) -> None:
    shown = manifests.of_kubernetes()
    assert len(shown) > 8
    # Each has a name that says where it is: kubectl's complaint has it.
    for one in shown:
        one.made["metadata"]["name"] = re.sub(r"[^a-z0-9]+", "-", one.where.lower())
    made = "\n---\n".join(json.dumps(one.made) for one in shown)
    taken = served.kubectl(*OFFER, text=made)
    for one in shown:
        assert one.made["metadata"]["name"] in taken, one.where


def test_a_field_that_is_not_there_is_refused(served: ControlPlane) -> None:
    made = next(one.made for one in manifests.of_kubernetes() if one.made["kind"] == "NoetlMetrics")
    wrong = {**made, "spec": {**made["spec"], "retentoin": {}}}
    assert "retentoin" in served.refusal(*OFFER, text=json.dumps(wrong))
