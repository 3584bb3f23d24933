"""VictoriaMetrics in pods: VMSingle keeps, vmagent scrapes and writes to it.

vmagent's configuration is made of a VMPodScrape or VMServiceScrape by the rules that the operator
documents, so that what a resource says is what is scraped, without the operator's program.
"""

import base64
import gzip
import json
from typing import Any

import httpx

from support.kube import Namespace, Object
from support.pods import (
    container,
    partner,
    pod_spec,
    ready_at,
    scratch,
    service,
    workload,
)

SINGLE_PORT, AGENT_PORT = 8428, 8429
POD = "__meta_kubernetes_pod_"
SECRETS = "/secrets"


def start_single(space: Namespace, **labels: str) -> None:
    """VMSingle as Deployment and Service `vmsingle`; its pod has these labels too."""
    volumes, mounts = scratch("/data")
    # Without the offset a query does not see the last 30 seconds.
    args = ["-storageDataPath=/data", "-search.latencyOffset=1s", f"-httpListenAddr=:{SINGLE_PORT}"]
    program = container(
        "vmsingle",
        partner("victoria-metrics"),
        args,
        volumeMounts=mounts,
        ports=[{"name": "http", "containerPort": SINGLE_PORT}],
        readinessProbe=ready_at("http", "/health"),
    )
    deployment = workload("Deployment", "vmsingle", pod_spec(program, volumes=volumes))
    deployment["spec"]["template"]["metadata"]["labels"].update(labels)
    space.apply(
        deployment,
        service("vmsingle", SINGLE_PORT, "http"),
    )


def start_agent(
    space: Namespace, configuration: list[Object] | str, secrets: tuple[str, ...] = ()
) -> None:
    """vmagent as Deployment and Service `vmagent`; it finds pods in its own namespace.

    The configuration: scrape configs, or a whole file. Secrets are files of /secrets.
    """
    volumes, mounts = scratch("/data")
    for name in secrets:
        volumes.append({"name": name, "secret": {"secretName": name}})
        mounts.append({"name": name, "mountPath": f"{SECRETS}/{name}"})
    volumes.append({"name": "config", "configMap": {"name": "vmagent"}})
    mounts.append({"name": "config", "mountPath": "/config"})
    if not isinstance(configuration, str):
        whole = {"global": {"scrape_interval": "2s"}, "scrape_configs": configuration}
        configuration = json.dumps(whole)
    url = f"http://vmsingle.{space.name}.svc.cluster.local:{SINGLE_PORT}/api/v1/write"
    args = [
        "-promscrape.config=/config/scrape.yaml",
        f"-remoteWrite.url={url}",
        "-remoteWrite.tmpDataPath=/data",
        "-remoteWrite.flushInterval=1s",
        f"-httpListenAddr=:{AGENT_PORT}",
    ]
    program = container(
        "vmagent",
        partner("vmagent"),
        args,
        volumeMounts=mounts,
        ports=[{"name": "http", "containerPort": AGENT_PORT}],
        readinessProbe=ready_at("http", "/health"),
    )
    space.apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "vmagent"},
            "data": {"scrape.yaml": configuration},
        },
        *reader_of_pods(space, "vmagent"),
        workload(
            "Deployment",
            "vmagent",
            pod_spec(program, volumes=volumes, serviceAccountName="vmagent"),
        ),
        service("vmagent", AGENT_PORT, "http"),
    )


def reader_of_pods(space: Namespace, name: str) -> list[Object]:
    """A ServiceAccount that may find pods, services and endpoints of its namespace."""
    read = ["get", "list", "watch"]
    found = ["pods", "services", "endpoints", "configmaps"]
    rules = [
        {"apiGroups": [""], "resources": found, "verbs": read},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": read},
    ]
    group = "rbac.authorization.k8s.io"
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}},
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": {"name": name}, "rules": rules},
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": group, "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": space.name}],
        },
    ]


def start_operator(space: Namespace, account: str) -> None:
    """VictoriaMetrics' operator, for this namespace, and a VMAgent that selects all of it."""
    args = ["--leader-elect=false"]
    watched = [{"name": "WATCH_NAMESPACE", "value": space.name}]
    program = container("operator", partner("vm-operator"), args, env=watched)
    agent = {
        "apiVersion": "operator.victoriametrics.com/v1beta1",
        "kind": "VMAgent",
        "metadata": {"name": "e2e"},
        "spec": {
            "selectAllByDefault": True,
            "replicaCount": 0,
            "remoteWrite": [{"url": f"http://vmsingle:{SINGLE_PORT}/api/v1/write"}],
        },
    }
    spec = pod_spec(program, serviceAccountName=account)
    space.apply(workload("Deployment", "vm-operator", spec), agent)
    space.rolled_out("deployment/vm-operator")


def configuration_of_operator(space: Namespace, scrape: str) -> str:
    """What the operator made for its VMAgent; LookupError until a scrape object is part of it."""
    packed = space.get("secret", "vmagent-e2e")["data"]["vmagent.yaml.gz"]
    text = gzip.decompress(base64.b64decode(packed)).decode()
    if f"podScrape/{space.name}/{scrape}/0" not in text:
        raise LookupError(text)
    return text


def scrape_configs(scrape: Object) -> list[Object]:
    """vmagent's configuration for a VMPodScrape: one job for each of its endpoints."""
    assert scrape["kind"] == "VMPodScrape", scrape["kind"]
    meta, spec = scrape["metadata"], scrape["spec"]
    return [
        _job(f"podScrape/{meta['namespace']}/{meta['name']}/{number}", meta, spec, endpoint)
        for number, endpoint in enumerate(spec["podMetricsEndpoints"])
    ]


def _job(name: str, meta: Object, spec: Object, endpoint: Object) -> Object:
    chosen = spec.get("namespaceSelector", {})
    spaces = {} if chosen.get("any") else {"names": chosen.get("matchNames") or [meta["namespace"]]}
    made: Object = {
        "job_name": name,
        "kubernetes_sd_configs": [
            {"role": "pod", "namespaces": spaces} if spaces else {"role": "pod"}
        ],
        "honor_labels": endpoint.get("honorLabels", False),
        "relabel_configs": [*_relabel(f"{meta['namespace']}/{meta['name']}", spec, endpoint)],
    }
    same = {
        "path": "metrics_path",
        "scheme": "scheme",
        "params": "params",
        "scrapeTimeout": "scrape_timeout",
        "honorTimestamps": "honor_timestamps",
        "sampleLimit": "sample_limit",
        "max_scrape_size": "max_scrape_size",
    }
    made |= {ours: endpoint[theirs] for theirs, ours in same.items() if theirs in endpoint}
    interval = endpoint.get("scrape_interval") or endpoint.get("interval")
    if interval:
        made["scrape_interval"] = interval
    if tls := endpoint.get("tlsConfig"):
        made["tls_config"] = _tls(tls)
    if endpoint.get("metricRelabelConfigs"):
        made["metric_relabel_configs"] = [_snake(rule) for rule in endpoint["metricRelabelConfigs"]]
    return made


def _tls(asked: Object) -> Object:
    """What keys of Secrets an endpoint names, as files."""

    def file(key: Object) -> str:
        return f"{SECRETS}/{key['name']}/{key['key']}"

    made = {"ca_file": file(asked["ca"]["secret"]), "server_name": asked["serverName"]}
    if "cert" in asked:
        made["cert_file"] = file(asked["cert"]["secret"])
        made["key_file"] = file(asked["keySecret"])
    return made


def _relabel(job: str, spec: Object, endpoint: Object) -> list[Object]:
    """The operator's rules, in its order: which pods, which port, which labels."""
    rules = []
    if endpoint.get("filterRunning", True):
        ended = "Failed|Succeeded"
        rules.append({"action": "drop", "source_labels": [f"{POD}phase"], "regex": ended})
    for key, value in sorted(spec.get("selector", {}).get("matchLabels", {}).items()):
        rules.append(
            {"action": "keep", "source_labels": [f"{POD}label_{_label(key)}"], "regex": value}
        )
    for wanted in spec.get("selector", {}).get("matchExpressions", []):
        rules.append(_expression(wanted))
    rules.append(_port_rule(endpoint))
    rules += [
        {"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace"},
        {"source_labels": [f"{POD}container_name"], "target_label": "container"},
        {"source_labels": [f"{POD}name"], "target_label": "pod"},
    ]
    for key in spec.get("podTargetLabels", []):
        found = f"{POD}label_{_label(key)}"
        rules.append({"source_labels": [found], "target_label": _label(key), "regex": "(.+)"})
    rules.append({"target_label": "job", "replacement": job})
    if spec.get("jobLabel"):
        found = f"{POD}label_{_label(spec['jobLabel'])}"
        rules.append({"source_labels": [found], "target_label": "job", "regex": "(.+)"})
    if isinstance(endpoint.get("port"), str):
        rules.append({"target_label": "endpoint", "replacement": endpoint["port"]})
    return rules + [_snake(rule) for rule in endpoint.get("relabelConfigs", [])]


def _port_rule(endpoint: Object) -> Object:
    """Which declared port is kept: `port` wins over `portNumber` over `targetPort`."""
    name, number = f"{POD}container_port_name", f"{POD}container_port_number"
    if endpoint.get("port"):
        source, value = name, endpoint["port"]
    elif endpoint.get("portNumber"):
        source, value = number, str(endpoint["portNumber"])
    else:
        target = endpoint["targetPort"]
        source, value = (name, target) if isinstance(target, str) else (number, str(target))
    return {"action": "keep", "source_labels": [source], "regex": value}


def _expression(wanted: Object) -> Object:
    label, present = _label(wanted["key"]), f"{POD}labelpresent_{_label(wanted['key'])}"
    values = "|".join(wanted.get("values", []))
    return {
        "In": {"action": "keep", "source_labels": [f"{POD}label_{label}"], "regex": values},
        "NotIn": {"action": "drop", "source_labels": [f"{POD}label_{label}"], "regex": values},
        "Exists": {"action": "keep", "source_labels": [present], "regex": "true"},
        "DoesNotExist": {"action": "drop", "source_labels": [present], "regex": "true"},
    }[wanted["operator"]]


def _label(key: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in key)


def _snake(rule: Object) -> Object:
    names = {"sourceLabels": "source_labels", "targetLabel": "target_label"}
    return {names.get(key, key): value for key, value in rule.items()}


def targets(agent: httpx.Client) -> list[Object]:
    """vmagent's active targets."""
    found = agent.get("/api/v1/targets", params={"state": "active"}).raise_for_status().json()
    return found["data"]["activeTargets"]


def series(store: httpx.Client, expression: str) -> list[dict[str, Any]]:
    """An instant query's result, of VMSingle or Prometheus."""
    found = store.get("/api/v1/query", params={"query": expression}).raise_for_status().json()
    return found["data"]["result"]
