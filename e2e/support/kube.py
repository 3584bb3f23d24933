"""The cluster of $KUBECONFIG: objects are dicts. What cases do often is asked of the API server
(`api`); the rest goes through kubectl, and errors say its words."""

import contextlib
import secrets
import subprocess
from collections.abc import Iterator
from typing import Any

import httpx

from support.api import Api, ApiError, Object, listening, proxied
from support.wait import until


class KubectlError(AssertionError):
    """kubectl refused; its words."""


_connected: list[Api] = []


def api() -> Api:
    """The API server, within `connected`."""
    return _connected[-1]


@contextlib.contextmanager
def connected() -> Iterator[None]:
    """The API server can be asked, for the length of a `with`."""
    with proxied() as found:
        _connected.append(found)
        try:
            yield
        finally:
            _connected.remove(found)


def kubectl(*words: str, stdin: str | None = None, timeout: float = 120) -> str:
    """What kubectl prints."""
    done = subprocess.run(
        ["kubectl", *words], input=stdin, capture_output=True, text=True, timeout=timeout
    )
    if done.returncode != 0:
        raise KubectlError(f"kubectl {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def apply(*objects: Object, manager: str = "e2e", namespace: str | None = None) -> None:
    """Server-side apply, so that what others own stays theirs."""
    for thing in objects:
        api().apply(thing, manager, namespace)


def get(kind: str, name: str, namespace: str | None = None) -> Object:
    """One object; ApiError where it is not there."""
    found = api().get(kind, name, namespace)
    if found is None:
        raise ApiError(f"there is no {kind}/{name} in {namespace or 'the cluster'}")
    return found


def exists(kind: str, name: str, namespace: str | None = None) -> bool:
    """Whether an object, and its kind, is there."""
    return api().get(kind, name, namespace) is not None


def items(kind: str, namespace: str | None = None, selector: str = "") -> list[Object]:
    """Objects of a kind, in one namespace or in all."""
    return api().items(kind, namespace, selector)


def condition(thing: Object, kind: str) -> Object:
    """A condition of the object's status; LookupError where it has none of the kind."""
    for found in thing.get("status", {}).get("conditions", []):
        if found["type"] == kind:
            return found
    raise LookupError(f"no condition {kind}: {thing.get('status')}")


def secret(name: str, **values: str) -> Object:
    """A Secret of text."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "stringData": values,
    }


def everything(namespace: str) -> dict[str, Object]:
    """Every object of the namespace but events, by `kind/name`."""
    return {
        f"{found['kind']}/{found['metadata']['name']}": found
        for resource in api().resources()
        if resource.namespaced and resource.listed and resource.plural != "events"
        for found in api().list(resource, namespace)
    }


# What a status counts: all that is wanted is there, and nothing old is left.
DAEMON_SET = ("updatedNumberScheduled", "numberAvailable")
OTHERS = ("updatedReplicas", "availableReplicas", "replicas")


class Namespace:
    """A namespace of a case's own."""

    def __init__(self, name: str):
        self.name = name

    def apply(self, *objects: Object, manager: str = "e2e") -> None:
        apply(*objects, manager=manager, namespace=self.name)

    def get(self, kind: str, name: str) -> Object:
        return get(kind, name, self.name)

    def items(self, kind: str, selector: str = "") -> list[Object]:
        return items(kind, self.name, selector)

    def exists(self, kind: str, name: str) -> bool:
        return exists(kind, name, self.name)

    def kubectl(self, *words: str, **options: Any) -> str:
        return kubectl("--namespace", self.name, *words, **options)

    def rolled_out(self, what: str, seconds: int = 120) -> None:
        """A Deployment, DaemonSet or StatefulSet is as it should be."""
        kind, _, name = what.partition("/")

        def look() -> bool:
            thing = self.get(kind, name)
            status = thing.get("status", {})
            if thing["kind"] == "DaemonSet":
                wanted, told = status["desiredNumberScheduled"], DAEMON_SET
            else:
                wanted, told = thing["spec"]["replicas"], OTHERS
            assert status.get("observedGeneration") == thing["metadata"]["generation"], status
            assert all(status.get(key, 0) == wanted for key in told), status
            return True

        until(f"{what} is rolled out", look, seconds=seconds)

    def finished(self, job: str, seconds: float = 120) -> None:
        """A Job has succeeded; fails at once where it failed."""

        def look() -> bool:
            status = self.get("job", job).get("status", {})
            if any(
                c["type"] == "Failed" and c["status"] == "True"
                for c in status.get("conditions", [])
            ):
                raise RuntimeError(f"job {job} failed: {self.logs(f'job/{job}')}")
            return status.get("succeeded", 0) > 0

        until(f"job {job} succeeds", look, seconds=seconds)

    def logs(self, what: str, lines: int = 60) -> str:
        with contextlib.suppress(KubectlError):
            return self.kubectl("logs", what, f"--tail={lines}", "--all-containers")
        return ""

    def pods(self, selector: str) -> list[Object]:
        """Pods that are not about to end."""
        return [p for p in self.items("pods", selector) if "deletionTimestamp" not in p["metadata"]]

    @contextlib.contextmanager
    def forward(self, what: str, port: int | str) -> Iterator[httpx.Client]:
        """An HTTP client of a pod's or a service's port."""
        with listening("--namespace", self.name, "port-forward", what, f":{port}") as client:
            yield client


@contextlib.contextmanager
def namespace(prefix: str, labels: dict[str, str] | None = None) -> Iterator[Namespace]:
    """A new namespace for the length of a `with`."""
    name = f"e2e-{prefix[:40].rstrip('-')}-{secrets.token_hex(2)}"
    apply(
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": name,
                "labels": {"metrics.noetl.io/e2e": "true", **(labels or {})},
            },
        }
    )
    made = Namespace(name)
    until("its default service account", lambda: made.exists("serviceaccount", "default"))
    try:
        yield made
    finally:
        kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")
