"""Values that between them take every branch of every template."""

import pytest

DIGEST = "sha256:" + "a" * 64
SCRAPE_APIS = {
    "VMServiceScrape": "operator.victoriametrics.com/v1beta1",
    "VMPodScrape": "operator.victoriametrics.com/v1beta1",
    "ServiceMonitor": "monitoring.coreos.com/v1",
    "PodMonitor": "monitoring.coreos.com/v1",
}
RULES_APIS = {
    "VMRule": "operator.victoriametrics.com/v1beta1",
    "PrometheusRule": "monitoring.coreos.com/v1",
}

EVERYTHING = {
    "global": {"imageRegistry": "mirror.example.org", "imagePullSecrets": ["mirror"]},
    "image": {"digest": DIGEST, "pullPolicy": "Always"},
    "nameOverride": "nm",
    "commonLabels": {"team": "platform"},
    "crds": {"annotations": {"example.org/note": "kept"}},
    "extraEnv": [{"name": "TZ", "value": "UTC"}],
    "podAnnotations": {"example.org/pod": "yes"},
    "podLabels": {"example.org/pod": "yes"},
    "deploymentAnnotations": {"example.org/deployment": "yes"},
    "priorityClassName": "system-cluster-critical",
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
    ],
    "serviceAccount": {"name": "me", "annotations": {"example.org/account": "yes"}},
    "service": {"annotations": {"example.org/service": "yes"}},
    "networkPolicy": {"from": [{"namespaceSelector": {}}]},
    "scrape": {"kind": "VMPodScrape", "labels": {"scraper": "main"}},
    "rules": {"kind": "VMRule", "labels": {"evaluator": "main"}},
    "dashboards": {
        "labels": {"example.org/dashboard": "yes"},
        "namespace": "grafana",
        "grafanaDashboards": {"enabled": True, "instanceSelector": {"dashboards": "grafana"}},
    },
    "instance": {
        "enabled": True,
        "annotations": {"example.org/instance": "yes"},
        "spec": {
            "server": {
                "replicas": 3,
                "tls": {"secretName": "servers", "clientSecretName": "callers"},
            }
        },
    },
    "rbac": {"readers": ["monitoring/vmagent"], "reviewers": ["noetl/noetl-server"]},
    "extraObjects": [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "as-a-map"}},
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Release.Name }}-text'}",
    ],
}
CASES = {
    "defaults": {},
    "everything": EVERYTHING,
    "namespaced": {"watchNamespaces": ["noetl", "other"]},
    "least": {
        "replicas": 1,
        "crds": {"enabled": False},
        "serviceAccount": {"create": False},
        "rbac": {"create": False, "aggregate": False},
        "networkPolicy": {"enabled": False},
        "dashboards": {"configMaps": {"enabled": False}},
        "tests": {"enabled": False},
    },
    "crd goes with the release": {"crds": {"keep": False}},
    "dashboards by Grafana's operator only": {
        "dashboards": {
            "configMaps": {"enabled": False},
            "grafanaDashboards": {"enabled": True, "instanceSelector": {"a": "b"}},
        }
    },
    **{f"scraped by {kind}": {"scrape": {"kind": kind}} for kind in SCRAPE_APIS},
    **{f"rules as {kind}": {"rules": {"kind": kind}} for kind in RULES_APIS},
}
each_case = pytest.mark.parametrize("values", CASES.values(), ids=CASES)
