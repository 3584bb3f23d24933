"""The collector from hand-written manifests, without operator and chart; and its HTTP API."""

from typing import Any

import httpx

from support.kube import Object, secret
from support.pods import (
    IMAGE,
    container,
    job,
    pod_spec,
    ready_at,
    scratch,
    service,
    workload,
)

PORT = 8082
DATABASE = [
    {"name": "DATABASE_URL", "valueFrom": {"secretKeyRef": {"name": "database", "key": "url"}}}
]


def database_secret(url: str) -> Object:
    return secret("database", url=url)


def migrate_job() -> Object:
    """Brings the schema forward."""
    return job("migrate", pod_spec(container("migrate", IMAGE, ["migrate"], env=DATABASE)))


def server_objects(*flags: str) -> list[Object]:
    """One server, and its Service."""
    args = ["server", f"--listen=0.0.0.0:{PORT}", "--no-migrate", *flags]
    ports = [{"name": "metrics", "containerPort": PORT}]
    server = container(
        "server",
        IMAGE,
        args,
        env=DATABASE,
        ports=ports,
        readinessProbe=ready_at("metrics", "/readyz"),
    )
    return [workload("Deployment", "server", pod_spec(server)), service("server", PORT, "metrics")]


def agent_objects(url: str, interval: str = "2s") -> list[Object]:
    """An agent on each node; it sees the node's files, and reports under the node's name."""
    volumes, mounts = scratch("/tmp")
    volumes.append({"name": "root", "hostPath": {"path": "/", "type": "Directory"}})
    mounts.append(
        {
            "name": "root",
            "mountPath": "/host",
            "readOnly": True,
            "mountPropagation": "HostToContainer",
        }
    )
    args = ["agent", f"--server-url={url}", "--component-type=node_agent"]
    args += [
        f"--metrics-interval={interval}",
        f"--heartbeat-interval={interval}",
        "--path.rootfs=/host",
    ]
    name = {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}
    agent = container(
        "agent", IMAGE, [*args, "--worker-id=$(NODE_NAME)"], env=[name], volumeMounts=mounts
    )
    spec = pod_spec(agent, volumes=volumes, tolerations=[{"operator": "Exists"}], hostNetwork=True)
    spec["dnsPolicy"] = "ClusterFirstWithHostNet"
    return [workload("DaemonSet", "agent", spec)]


def register(http: httpx.Client, name: str, **more: Any) -> None:
    body = {"name": name, "component_type": "worker_pool", **more}
    http.post("/api/worker/pool/register", json=body).raise_for_status()


def report(http: httpx.Client, component: str, *samples: dict[str, Any]) -> dict[str, Any]:
    """Reports samples of one component; an error status raises."""
    body = {"component_name": component, "metrics": list(samples)}
    return http.post("/api/metrics/report", json=body).raise_for_status().json()


def gauge(name: str, value: float, **labels: str) -> dict[str, Any]:
    return {"metric_name": name, "metric_type": "gauge", "metric_value": value, "labels": labels}


def query(http: httpx.Client, **parameters: str) -> list[dict[str, Any]]:
    """Stored samples, newest first."""
    found = http.get("/api/metrics/query", params=parameters).raise_for_status().json()
    return found["metrics"]
