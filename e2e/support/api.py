"""The API server's objects, over one `kubectl proxy` for the whole run.

A process of kubectl takes a fifth of a second of a CPU before it asks, and cases ask several times
a second until something has come.
"""

import contextlib
import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx

Object = dict[str, Any]

# How long a request is sent again that the API server has no time for yet, in seconds.
PATIENCE = 30

# All groups, their kinds and their short names in two answers.
DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


class ApiError(AssertionError):
    """The API server refused, or is away; its words."""


@dataclass(frozen=True)
class Resource:
    """A kind in one version of its group."""

    group: str
    version: str
    plural: str
    kind: str
    names: frozenset[str]
    namespaced: bool
    listed: bool

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None, name: str = "") -> str:
        root = f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"
        within = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{root}{within}/{self.plural}" + (f"/{name}" if name else "")


class Api:
    """The API server behind a proxy that holds the credentials."""

    def __init__(self, http: httpx.Client):
        self._http = http
        self._known: list[Resource] = []

    def _ask(self, path: str, accept: str = "application/json", **parameters: str) -> Any:
        """The answer; nothing where there is no such path."""
        answer = self._send("GET", path, params=parameters, headers={"Accept": accept})
        return None if answer is None else answer.json()

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response | None:
        """The answer of success; nothing where there is no such path.

        Told 429 it asks again, as every client of Kubernetes does: a kind that was just defined has
        that for a moment.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                answer = self._http.request(method, path, **options)
            except httpx.TransportError as error:
                raise ApiError(f"{method} {path}: {error}") from error
            if answer.status_code != 429 or time.monotonic() > deadline:
                break
            time.sleep(float(answer.headers.get("Retry-After", "1")))
        if answer.status_code == 404:
            return None
        if not answer.is_success:
            raise ApiError(f"{method} {path}: {answer.status_code} {answer.text.strip()}")
        return answer

    def resources(self) -> list[Resource]:
        """Every kind that the cluster has now, in the first of its versions."""
        self._known = [
            found
            for root in ("/api", "/apis")
            for group in (self._ask(root, DISCOVERY) or {}).get("items", [])
            for found in _resources(group)
        ]
        seen: set[tuple[str, str]] = set()
        # The group names first the version that it prefers.
        return [
            one
            for one in self._known
            if (one.group, one.kind) not in seen and not seen.add((one.group, one.kind))
        ]

    def _find(self, wanted: Callable[[Resource], bool]) -> Resource | None:
        """The first that is wanted; asked anew where it is not known yet."""
        for ask in (lambda: None, self.resources):
            ask()
            if found := next(filter(wanted, self._known), None):
                return found
        return None

    def resource(self, kind: str) -> Resource | None:
        """A kind by its plural, its singular, a short name, or plural.group."""
        return self._find(lambda one: kind.lower() in one.names)

    def apply(self, thing: Object, manager: str, namespace: str | None = None) -> None:
        """Server-side apply, strict about fields, as `kubectl apply --server-side` does it."""
        told = (thing["apiVersion"], thing["kind"])
        resource = self._find(lambda one: (one.api_version, one.kind) == told)
        if resource is None:
            raise ApiError(f"the cluster has no kind {told}")
        meta = thing["metadata"]
        path = resource.path(meta.get("namespace") or namespace or "default", meta["name"])
        flags = {"fieldManager": manager, "force": "true", "fieldValidation": "Strict"}
        kind = {"Content-Type": "application/apply-patch+yaml"}
        content = json.dumps(thing)
        if self._send("PATCH", path, params=flags, headers=kind, content=content) is None:
            raise ApiError(f"PATCH {path}: the cluster has no such namespace, or no such kind")

    def get(self, kind: str, name: str, namespace: str | None = None) -> Object | None:
        """One object; nothing where it, or its kind, is not there."""
        resource = self.resource(kind)
        return resource and self._ask(resource.path(namespace, name))

    def items(self, kind: str, namespace: str | None = None, selector: str = "") -> list[Object]:
        """Objects of a kind, in one namespace or in all."""
        resource = self.resource(kind)
        if resource is None:
            raise ApiError(f"the cluster has no kind {kind}")
        return self.list(resource, namespace, selector)

    def list(
        self, resource: Resource, namespace: str | None = None, selector: str = ""
    ) -> list[Object]:
        """Objects, each with its kind; none where the kind has gone."""
        chosen = {"labelSelector": selector} if selector else {}
        answer = self._ask(resource.path(namespace), **chosen) or {"items": []}
        # A list of a built-in kind leaves it out of each item.
        told = {"apiVersion": resource.api_version, "kind": resource.kind}
        return [told | found for found in answer["items"]]


def _resources(group: Object) -> Iterator[Resource]:
    name = group.get("metadata", {}).get("name", "")
    for version in group["versions"]:
        for one in version.get("resources", []):
            plural, kind = one["resource"], one["responseKind"]["kind"]
            names = {plural, one.get("singularResource") or kind.lower(), kind.lower()}
            names |= {*one.get("shortNames", []), f"{plural}.{name}"}
            yield Resource(
                name,
                version["version"],
                plural,
                kind,
                frozenset(names),
                one["scope"] == "Namespaced",
                {"list", "delete"} <= set(one["verbs"]),
            )


@contextlib.contextmanager
def listening(*words: str) -> Iterator[httpx.Client]:
    """An HTTP client of the port on this machine that a command of kubectl opens, for the length of
    a `with`."""
    command = ["kubectl", *words]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as child:
        try:
            assert child.stdout is not None
            line = child.stdout.readline()
            found = re.search(r"127\.0\.0\.1:\d+", line)
            if found is None:
                raise ApiError(f"{' '.join(command)}: {line}{child.stdout.read()}")
            with httpx.Client(base_url=f"http://{found[0]}", timeout=30, trust_env=False) as http:
                yield http
        finally:
            child.terminate()
            child.communicate()


@contextlib.contextmanager
def proxied() -> Iterator[Api]:
    """The API server of $KUBECONFIG, for the length of a `with`."""
    with listening("proxy", "--port=0") as http:
        yield Api(http)
