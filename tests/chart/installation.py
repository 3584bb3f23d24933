"""An installation on an API server without nodes: the objects that the operator makes, with the
status that a kubelet and the controllers would give them."""

import contextlib
import json
from collections.abc import Iterator
from copy import deepcopy

import yaml

from control_plane import ControlPlane
from support.process import ROOT, wait_for
from support.server import run

NAMESPACE = "noetl"
NAME = "noetl"
SYSTEM = "noetl-check-system"
MONITORING = "monitoring"
NODE = "check-node"
GOLDEN = ROOT / "src" / "operator" / "build" / "golden" / "defaults.yaml"
NOW = "2026-11-26T12:00:00Z"
SERVER = f"app.kubernetes.io/component=server,app.kubernetes.io/instance={NAME}"
LABELS = {"app.kubernetes.io/name": "noetl-metrics", "app.kubernetes.io/component": "operator"}
VICTORIA = "operator.victoriametrics.com"
AGENT_ROLE = "check-agent"
DEFINITION = "noetlmetrics.metrics.noetl.io"

Object = dict


def named(version: str, kind: str, name: str, namespace: str | None = NAMESPACE, **more) -> Object:
    """An object with nothing but these."""
    place = {"namespace": namespace} if namespace else {}
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, **place}, **more}


def definition(kind: str, plural: str) -> Object:
    """The definition of a kind of VictoriaMetrics' operator, which takes whatever it is given."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1beta1", "served": True, "storage": True}
    version["schema"] = {"openAPIV3Schema": anything}
    names = {"kind": kind, "plural": plural, "singular": kind.lower()}
    spec = {"group": VICTORIA, "scope": "Namespaced", "names": names, "versions": [version]}
    made = named(
        "apiextensions.k8s.io/v1", "CustomResourceDefinition", f"{plural}.{VICTORIA}", None
    )
    return {**made, "spec": spec}


RBAC = "rbac.authorization.k8s.io"
WATCH_PODS = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}]
SCRAPERS = [definition("VMPodScrape", "vmpodscrapes"), definition("VMAgent", "vmagents")]


def condition(type_: str, status: str, reason: str, message: str) -> Object:
    """One of the resource's conditions."""
    said = {"type": type_, "status": status, "reason": reason, "message": message}
    return {**said, "lastTransitionTime": NOW}


def built() -> list[Object]:
    """What the operator builds of the least resource, as its own tests have it."""
    objects = [made for made in yaml.safe_load_all(GOLDEN.read_text()) if made]
    for made in objects:
        made["metadata"].pop("ownerReferences", None)
        made["metadata"]["namespace"] = NAMESPACE
    return [made for made in objects if made["kind"] != "VMRule"]


def binding(namespace: str, name: str, kind: str, role: str) -> Object:
    """A RoleBinding of the agents."""
    made = named(f"{RBAC}/v1", "RoleBinding", name, namespace)
    made["roleRef"] = {"apiGroup": RBAC, "kind": kind, "name": role}
    made["subjects"] = [{"kind": "ServiceAccount", "name": f"{NAME}-agent", "namespace": NAMESPACE}]
    return made


def around() -> list[Object]:
    """What is there beside it: its Secret, its agents' role, an operator, a scraper, a node."""
    role = {**named(f"{RBAC}/v1", "ClusterRole", AGENT_ROLE, None), "rules": WATCH_PODS}
    bound = binding(NAMESPACE, f"{NAME}-agent", "ClusterRole", AGENT_ROLE)
    operator = named("apps/v1", "Deployment", "noetl-metrics", SYSTEM)
    operator["metadata"]["labels"] = LABELS
    pod = {"containers": [{"name": "operator", "image": "i"}]}
    template = {"metadata": {"labels": LABELS}, "spec": pod}
    operator["spec"] = {"selector": {"matchLabels": LABELS}, "template": template, "replicas": 1}
    scraper = named(f"{VICTORIA}/v1beta1", "VMAgent", "main", MONITORING)
    scraper["spec"] = {"selectAllByDefault": True}
    collector = named("v1", "Pod", "vmagent-main-0", MONITORING)
    collector["metadata"]["labels"] = {
        "app.kubernetes.io/name": "vmagent",
        "app.kubernetes.io/instance": "main",
    }
    collector["spec"] = {"containers": [{"name": "vmagent", "image": "i"}]}
    slice_ = named("discovery.k8s.io/v1", "EndpointSlice", f"{NAME}-server-1", addressType="IPv4")
    slice_["metadata"]["labels"] = {"kubernetes.io/service-name": f"{NAME}-server"}
    slice_["endpoints"] = [{"addresses": ["10.9.9.1"], "conditions": {"ready": True}}]
    slice_["ports"] = [{"name": "metrics", "port": 8082}]
    node = named("v1", "Node", NODE, None)
    secret = named("v1", "Secret", "noetl-metrics-db", stringData={"url": "postgres://secret"})
    accounts = [named("v1", "ServiceAccount", "default", space) for space in (SYSTEM, MONITORING)]
    accounts.append(named("v1", "ServiceAccount", "default"))
    return [role, bound, *accounts, operator, scraper, collector, slice_, node, secret]


def resource() -> Object:
    """The resource, as ten lines of the guide have it."""
    made = named("metrics.noetl.io/v1alpha1", "NoetlMetrics", NAME)
    return {**made, "spec": {"database": {"secretRef": {"name": "noetl-metrics-db"}}}}


STATUS = {
    "observedGeneration": 1,
    "scrape": {"kind": "VMPodScrape", "name": f"{NAME}-server"},
    "conditions": [
        condition("Ready", "True", "Ready", "servers answer"),
        condition("DatabaseReady", "True", "Reached", "a server reaches the database"),
        condition("ScrapeReady", "True", "VMPodScrape", "it covers the servers"),
        condition("RetentionHealthy", "True", "LastRunSucceeded", "it succeeded"),
        condition("Degraded", "False", "AsExpected", "nothing is"),
    ],
}
COMPLETE = {
    "startTime": NOW,
    "completionTime": NOW,
    "succeeded": 1,
    "uncountedTerminatedPods": {},
    "conditions": [
        {"type": "SuccessCriteriaMet", "status": "True", "lastTransitionTime": NOW},
        {"type": "Complete", "status": "True", "lastTransitionTime": NOW},
    ],
}
FAILED = {
    "startTime": NOW,
    "failed": 1,
    "uncountedTerminatedPods": {},
    "conditions": [
        {"type": "FailureTarget", "status": "True", "lastTransitionTime": NOW},
        {
            "type": "Failed",
            "status": "True",
            "reason": "BackoffLimitExceeded",
            "message": "Job has reached the specified backoff limit",
            "lastTransitionTime": NOW,
        },
    ],
}
SCHEDULED = {
    "currentNumberScheduled": 1,
    "desiredNumberScheduled": 1,
    "numberMisscheduled": 0,
    "numberReady": 1,
}
READY = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}


class Installation:
    """The installation, and ways to break it for the length of a `with`."""

    def __init__(self, plane: ControlPlane):
        self.plane = plane
        self.job = next(made["metadata"]["name"] for made in built() if made["kind"] == "Job")

    def make(self) -> None:
        """Makes all of it, and gives it the status of one that is well."""
        spaces = [named("v1", "Namespace", name, None) for name in (NAMESPACE, SYSTEM, MONITORING)]
        self.plane.kubectl("delete", "crd", DEFINITION, "--ignore-not-found")
        self.apply(yaml.safe_load(run("crd")), *SCRAPERS, *spaces)
        for name in (DEFINITION, *(made["metadata"]["name"] for made in SCRAPERS)):
            self.plane.kubectl("wait", "crd", name, "--for=condition=Established", "--timeout=30s")
        wait_for("the new kinds", lambda: self.apply(*around(), resource()), 30)
        self.apply(*built())
        self.status("noetlmetrics", NAME, STATUS)
        self.status("job", self.job, COMPLETE)
        ran = {"lastScheduleTime": NOW, "lastSuccessfulTime": NOW}
        self.status("cronjob", f"{NAME}-retention", ran)
        self.status("daemonset", f"{NAME}-agent", SCHEDULED)
        self.all_ready("noetl-metrics", SYSTEM)
        self.all_ready(f"{NAME}-server")

    def unmake(self) -> None:
        self.plane.kubectl("delete", "node", NODE, "--ignore-not-found")
        self.plane.kubectl("delete", "clusterrole", AGENT_ROLE, "--ignore-not-found")
        for space in (NAMESPACE, SYSTEM, MONITORING):
            everything = "deployment,replicaset,pod,daemonset,job,cronjob,noetlmetrics"
            self.plane.kubectl(
                "delete", everything, "--all", f"--namespace={space}", "--wait=false", "--force"
            )
        names = [DEFINITION, *(made["metadata"]["name"] for made in SCRAPERS)]
        self.plane.kubectl("delete", "crd", *names, "--ignore-not-found")

    def apply(self, *objects: Object) -> str:
        whole = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        words = ("apply", "--server-side", "--force-conflicts", "--filename=-")
        return self.plane.kubectl(*words, text=json.dumps(whole))

    def get(self, kind: str, name: str, namespace: str = NAMESPACE) -> Object:
        return self.plane.get(kind, name, f"--namespace={namespace}")

    def status(self, kind: str, name: str, status: Object, namespace: str = NAMESPACE) -> None:
        self.patch(kind, name, {"status": status}, namespace, "--subresource=status")

    def patch(
        self, kind: str, name: str, patch: Object, namespace: str | None, *flags: str
    ) -> None:
        place = [f"--namespace={namespace}"] if namespace else []
        words = ("patch", kind, name, *place, "--type=merge", *flags)
        # As an argument it may not be longer than 128 KiB.
        self.plane.kubectl(*words, "--patch-file=/dev/stdin", text=json.dumps(patch))

    def pods(self, selector: str = SERVER, namespace: str = NAMESPACE) -> list[str]:
        """Names of the pods that there are."""
        found = self.plane.get("pods", f"--selector={selector}", f"--namespace={namespace}")
        return [pod["metadata"]["name"] for pod in found["items"]]

    def all_ready(self, deployment: str, namespace: str = NAMESPACE) -> None:
        """Makes a Deployment's pods ready, and waits until the Deployment says so."""

        def ready() -> bool:
            made = self.get("deployment", deployment, namespace)
            labels = made["spec"]["selector"]["matchLabels"]
            selector = ",".join(f"{key}={value}" for key, value in labels.items())
            for pod in self.pods(selector, namespace):
                self.status("pod", pod, READY, namespace)
            return made.get("status", {}).get("readyReplicas") == made["spec"]["replicas"]

        wait_for(f"{deployment} to be ready", ready, 60)

    @contextlib.contextmanager
    def patched(
        self, kind: str, name: str, patch: Object, *flags: str, namespace: str | None = NAMESPACE
    ) -> Iterator[None]:
        """An object with another spec, or with `--subresource=status` another status."""
        place = [f"--namespace={namespace}"] if namespace else []
        before = self.plane.get(kind, name, *place)
        self.patch(kind, name, patch, namespace, *flags)
        try:
            yield
        finally:
            before["metadata"].pop("resourceVersion")
            words = ("replace", "--filename=-", *flags)
            self.plane.kubectl(*words, text=json.dumps(before))

    @contextlib.contextmanager
    def with_status(
        self, kind: str, name: str, status: Object, namespace: str = NAMESPACE
    ) -> Iterator[None]:
        with self.patched(
            kind, name, {"status": status}, "--subresource=status", namespace=namespace
        ):
            yield

    @contextlib.contextmanager
    def with_condition(self, *said: str) -> Iterator[None]:
        """The resource with one of its conditions otherwise."""
        status = deepcopy(STATUS)
        others = [one for one in status["conditions"] if one["type"] != said[0]]
        status["conditions"] = [*others, condition(*said)]
        with self.with_status("noetlmetrics", NAME, status):
            yield

    @contextlib.contextmanager
    def without(self, kind: str, name: str, namespace: str | None = NAMESPACE) -> Iterator[None]:
        """Without an object."""
        place = [f"--namespace={namespace}"] if namespace else []
        before = self.plane.get(kind, name, *place)
        self.plane.kubectl("delete", kind, name, *place)
        for field in ("resourceVersion", "uid", "creationTimestamp"):
            before["metadata"].pop(field, None)
        try:
            yield
        finally:
            self.plane.kubectl("create", "--filename=-", text=json.dumps(before))

    @contextlib.contextmanager
    def bound(self, namespace: str, name: str, kind: str, role: str) -> Iterator[None]:
        """The agents, bound in a namespace to a role; a Role lets them watch pods there."""
        made = [binding(namespace, name, kind, role)]
        if kind == "Role":
            made.append({**named(f"{RBAC}/v1", kind, role, namespace), "rules": WATCH_PODS})
        self.apply(*made)
        try:
            yield
        finally:
            for one in made:
                self.plane.kubectl(
                    "delete", one["kind"], one["metadata"]["name"], f"--namespace={namespace}"
                )

    @contextlib.contextmanager
    def with_pods(self, status: Object) -> Iterator[None]:
        """The servers' pods with a status; afterwards they are ready again."""
        for pod in self.pods():
            unready = {"conditions": [{"type": "Ready", "status": "False"}], **status}
            self.status("pod", pod, unready)
        try:
            yield
        finally:
            for pod in self.pods():
                self.status("pod", pod, {**READY, "containerStatuses": None})
            self.all_ready(f"{NAME}-server")

    @contextlib.contextmanager
    def with_event(self, about: Object, message: str) -> Iterator[None]:
        """A warning about an object, as a kubelet or a controller tells it."""
        told = about["metadata"]
        event = named("v1", "Event", f"{told['name']}.1", told["namespace"])
        event |= {"type": "Warning", "reason": "Failed", "message": message}
        event["lastTimestamp"] = NOW
        event["involvedObject"] = {
            "kind": about["kind"],
            "name": told["name"],
            "namespace": told["namespace"],
            "uid": told["uid"],
        }
        self.plane.kubectl("create", "--filename=-", text=json.dumps(event))
        try:
            yield
        finally:
            place = f"--namespace={told['namespace']}"
            self.plane.kubectl("delete", "event", event["metadata"]["name"], place)
