"""The operator, installed by its chart as a user would, and the resources that it serves.

All cases share one release: its cluster-wide objects exist once. A case that takes it away or
changes its values leaves it to the next one to install it again (`at_defaults`).
"""

import contextlib
import fcntl
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from typing import Any

from support import kube
from support.kube import KubectlError, Namespace, Object
from support.pods import IMAGE
from support.postgres import Postgres
from support.wait import until

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CHART = os.path.join(ROOT, "charts", "noetl-metrics")
SYSTEM = Namespace("noetl-system")
RELEASE = "noetl-metrics"
LEASE = "noetl-metrics-operator"
PODS = "app.kubernetes.io/name=noetl-metrics,app.kubernetes.io/component=operator"
DATABASE = "noetl-metrics-db"
# The least that is a resource.
GOOD = {"database": {"secretRef": {"name": DATABASE}}}
KIND = "noetlmetrics.metrics.noetl.io"


# What the release says of itself where it has the chart's defaults and this run has put it there:
# its chart or image may be another since the run before.
AT_DEFAULTS = f"at defaults, by the run {os.environ.setdefault('E2E_RUN', str(os.getpid()))}"


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """One process at a time: Helm refuses a second change of a release."""
    file = os.path.join(tempfile.gettempdir(), f"noetl-metrics-e2e-{os.getuid()}.lock")
    with open(file, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def helm(*words: str, timeout: float = 180) -> str:
    """What helm prints."""
    done = subprocess.run(["helm", *words], capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, f"helm {' '.join(words)}: {done.stderr.strip()}"
    return done.stdout


def image_values() -> list[str]:
    """The image under test, as the chart takes it."""
    name, _, tag = IMAGE.rpartition(":")
    registry, _, repository = name.partition("/")
    values = {"registry": registry, "repository": repository, "tag": tag}
    return [f"--set-string=image.{key}={value}" for key, value in values.items()]


def install(*flags: str, chart: str = CHART) -> None:
    """Installs or upgrades the release; returns when its pods are ready."""
    with alone():
        _install(*flags, chart=chart)


def _install(*flags: str, chart: str = CHART) -> None:
    defaults = not flags and chart == CHART
    helm(
        "upgrade",
        "--install",
        RELEASE,
        chart,
        f"--namespace={SYSTEM.name}",
        "--create-namespace",
        "--reset-values",
        *image_values(),
        "--wait",
        "--timeout=120s",
        f"--description={AT_DEFAULTS if defaults else 'as a case wants it'}",
        # Helm can neither upgrade nor uninstall a release with objects of a kind that has gone, and
        # cases make kinds come and go.
        "--set-string=scrape.kind=None",
        "--set-string=rules.kind=None",
        *flags,
    )
    kube.kubectl("wait", "--for=condition=Established", f"crd/{KIND}", "--timeout=30s")


def at_defaults() -> None:
    """The release runs at the chart's defaults; installed where the last case left it other."""
    with alone():
        if _description() != AT_DEFAULTS:
            _install()
            return
    SYSTEM.rolled_out(f"deployment/{RELEASE}")


def _description() -> str:
    """What the release says of itself; nothing where it is not deployed."""
    words = ["helm", "status", RELEASE, f"--namespace={SYSTEM.name}", "--output=json"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        assert "not found" in done.stderr, done.stderr
        return ""
    told = json.loads(done.stdout)["info"]
    return told["description"] if told["status"] == "deployed" else ""


def uninstall() -> None:
    """Takes the release away; its namespace and what it keeps stay."""
    # What needs the operator itself: where it is asked which rights were used.
    from support import rights

    # Its rights may go before it does.
    with rights.refused("*"):
        helm("uninstall", RELEASE, f"--namespace={SYSTEM.name}", "--ignore-not-found", "--wait")


def pods() -> list[Object]:
    """The operator's pods that are not about to end."""
    return SYSTEM.pods(PODS)


def leader() -> str:
    """Name of the pod that holds the Lease; LookupError where nobody does."""
    holder = SYSTEM.get("lease", LEASE)["spec"].get("holderIdentity") or ""
    for pod in pods():
        if holder.startswith(pod["metadata"]["name"]):
            return pod["metadata"]["name"]
    raise LookupError(f"the Lease is held by {holder!r}")


class Installation:
    """One NoetlMetrics of a namespace."""

    def __init__(self, space: Namespace, name: str = "noetl"):
        self.space = space
        self.name = name

    def apply(self, **spec: Any) -> "Installation":
        """Applies the resource: the ten lines of the manual, with intervals for the impatient."""
        asked: Object = {
            "database": {"secretRef": {"name": DATABASE, "key": "url"}},
            "retention": {"raw": "7d"},
            "agent": {"metricsInterval": "2s", "heartbeatInterval": "2s"},
            "scrape": {"interval": "2s", "timeout": "2s"},
        }
        self.space.apply(resource(self.name, asked | spec))
        return self

    def apply_unscraped(self, **spec: Any) -> "Installation":
        """The same without a scrape object: nothing is wrong, whatever kinds the cluster has."""
        return self.apply(scrape={"kind": "None"}, **spec)

    def get(self) -> Object:
        return self.space.get("noetlmetrics", self.name)

    def condition(self, kind: str, status: str, seconds: float = 60, generation: int = 0) -> Object:
        """Waits for a condition's status, about the newest spec, and returns the condition."""

        def look() -> Object:
            thing = self.get()
            found = kube.condition(thing, kind)
            told = found.get("observedGeneration", thing["metadata"]["generation"])
            assert told >= max(generation, thing["metadata"]["generation"]), found
            assert found["status"] == status, found
            return found

        return until(f"{kind}={status} of {self.name}", look, seconds=seconds)

    def ready(self, seconds: int = 120) -> "Installation":
        """As a user waits."""
        name = f"noetlmetrics/{self.name}"
        wait = ["wait", "--for=condition=Ready", name, f"--timeout={seconds}s"]
        try:
            self.space.kubectl(*wait, timeout=seconds + 30)
        except KubectlError as error:
            status = json.dumps(self.get().get("status"), indent=1)
            raise AssertionError(f"{error}\n{status}") from error
        return self

    def selector(self, component: str) -> str:
        return (
            f"app.kubernetes.io/name=noetl-metrics,app.kubernetes.io/instance={self.name},"
            f"app.kubernetes.io/component={component}"
        )

    def pods(self, component: str) -> list[Object]:
        return self.space.pods(self.selector(component))

    def children(self) -> dict[str, Object]:
        """What the operator made in the namespace, by kind and name: what it says it owns."""
        owner = self.get()["metadata"]["uid"]
        return {
            name: found
            for name, found in kube.everything(self.space.name).items()
            if any(o["uid"] == owner for o in found["metadata"].get("ownerReferences", []))
        }

    def token(self) -> str:
        """A token that may write: that of the agents."""
        audience = "--audience=noetl-metrics"
        return self.space.kubectl("create", "token", f"{self.name}-agent", audience).strip()


def resource(name: str, spec: Object) -> Object:
    """A NoetlMetrics."""
    kind = {"apiVersion": "metrics.noetl.io/v1alpha1", "kind": "NoetlMetrics"}
    return kind | {"metadata": {"name": name}, "spec": spec}


def with_database(space: Namespace, postgres: Postgres) -> Installation:
    """An installation whose Secret is there, and whose resource is not yet."""
    space.apply(kube.secret(DATABASE, url=postgres.url))
    return Installation(space)


def install_definition() -> None:
    """Only the resource's definition; the release takes it over when it comes."""
    if not kube.exists("crd", KIND):
        file = os.path.join(ROOT, "crds", "noetlmetrics.yaml")
        kube.kubectl("apply", "--server-side", f"--filename={file}")
        owner = {"release-name": RELEASE, "release-namespace": SYSTEM.name}
        notes = [f"meta.helm.sh/{key}={value}" for key, value in owner.items()]
        kube.kubectl("annotate", f"crd/{KIND}", *notes)
        kube.kubectl("label", f"crd/{KIND}", "app.kubernetes.io/managed-by=Helm")
    kube.kubectl("wait", "--for=condition=Established", f"crd/{KIND}", "--timeout=30s")
