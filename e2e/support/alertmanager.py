"""An Alertmanager in a pod, which keeps its alerts to itself."""

import json

import httpx

from support.kube import Namespace
from support.pods import container, partner, pod_spec, ready_at, scratch, service, workload

PORT = 9093
# JSON is YAML.
CONFIGURATION = json.dumps({"route": {"receiver": "none"}, "receivers": [{"name": "none"}]})


def start(space: Namespace) -> str:
    """Runs it as Deployment and Service `alertmanager`; returns its address within the cluster."""
    volumes, mounts = scratch("/data")
    volumes.append({"name": "config", "configMap": {"name": "alertmanager"}})
    mounts.append({"name": "config", "mountPath": "/config"})
    program = container(
        "alertmanager",
        partner("alertmanager"),
        [
            "--config.file=/config/alertmanager.yml",
            "--storage.path=/data",
            f"--web.listen-address=:{PORT}",
            # It is the only one.
            "--cluster.listen-address=",
        ],
        volumeMounts=mounts,
        ports=[{"name": "http", "containerPort": PORT}],
        readinessProbe=ready_at("http", "/-/ready"),
    )
    space.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "alertmanager"},
            "data": {"alertmanager.yml": CONFIGURATION},
        },
        workload("Deployment", "alertmanager", pod_spec(program, volumes=volumes)),
        service("alertmanager", PORT, "http"),
    )
    space.rolled_out("deployment/alertmanager")
    return f"http://alertmanager.{space.name}.svc.cluster.local:{PORT}"


def firing(client: httpx.Client) -> dict[str, dict[str, str]]:
    """The labels of each alert that it takes for firing, by the alert's name."""
    answer = client.get("/api/v2/alerts", params={"active": "true"})
    answer.raise_for_status()
    return {found["labels"]["alertname"]: found["labels"] for found in answer.json()}
