"""Manifests that every case needs, with pods as the restricted profile wants them."""

import os
from typing import Any

Object = dict[str, Any]

REGISTRY = os.environ.get("E2E_REGISTRY", "localhost")
# The image under test.
IMAGE = os.environ.get("E2E_IMAGE", f"{REGISTRY}/noetl-metrics:e2e")


def partner(name: str) -> str:
    """The image of one of the programs that e2e/images.sh packs."""
    return f"{REGISTRY}/{name}:e2e"


def container(name: str, image: str, args: list[str], **more: Any) -> Object:
    """A container of the restricted profile."""
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": args,
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        **more,
    }


def ready_at(port: str | int, path: str) -> Object:
    """A readiness probe that asks often: tests wait for it."""
    return {"httpGet": {"path": path, "port": port}, "periodSeconds": 1, "timeoutSeconds": 5}


def pod_spec(*containers: Object, **more: Any) -> Object:
    """A pod's spec of the restricted profile, gone at once when it is deleted."""
    return {
        "terminationGracePeriodSeconds": 2,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": list(containers),
        **more,
    }


def scratch(*paths: str) -> tuple[list[Object], list[Object]]:
    """Writable folders: the pod's volumes, and the container's mounts."""
    names = [path.strip("/").replace("/", "-").replace(".", "-") for path in paths]
    volumes = [{"name": name, "emptyDir": {}} for name in names]
    mounts = [{"name": n, "mountPath": p} for n, p in zip(names, paths, strict=True)]
    return volumes, mounts


def workload(kind: str, name: str, spec: Object, *, replicas: int | None = None) -> Object:
    """A Deployment or DaemonSet whose pods are labelled app=NAME."""
    counted = {} if kind == "DaemonSet" else {"replicas": 1 if replicas is None else replicas}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {
            **counted,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": spec},
        },
    }


def job(name: str, spec: Object) -> Object:
    """A Job of one try."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {
            "backoffLimit": 0,
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": spec | {"restartPolicy": "Never"},
            },
        },
    }


def service(name: str, port: int, target: str | int) -> Object:
    """A Service in front of the pods labelled app=NAME."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "selector": {"app": name},
            "ports": [{"name": "main", "port": port, "targetPort": target}],
        },
    }
