"""The real Prometheus operator, and a Prometheus that it makes, in a case's namespace."""

from support.kube import Namespace, Object
from support.pods import container, partner, pod_spec, scratch, workload
from support.victoria import reader_of_pods
from support.wait import until

PORT = 9090
# What e2e/cluster/tools/kubernetes/go.mod has; the operator writes flags by it.
VERSION = "v3.10.0"


def start(space: Namespace) -> None:
    """Operator and Prometheus, which selects every scrape and rules object of the namespace."""
    volumes, mounts = scratch("/tmp")
    reloader = partner("prometheus-config-reloader")
    args = [
        f"--namespaces={space.name}",
        f"--prometheus-config-reloader={reloader}",
        "--config-reloader-cpu-request=0",
        "--config-reloader-memory-request=0",
        "--disable-unmanaged-prometheus-configuration",
    ]
    program = container("operator", partner("prometheus-operator"), args, volumeMounts=mounts)
    spec = pod_spec(program, volumes=volumes, serviceAccountName="prometheus-operator")
    space.apply(
        *administrator(space, "prometheus-operator"),
        *reader_of_pods(space, "prometheus"),
        workload("Deployment", "prometheus-operator", spec),
        prometheus(),
    )
    space.rolled_out("deployment/prometheus-operator")
    until(
        "the operator has made Prometheus' StatefulSet",
        lambda: space.exists("statefulset", "prometheus-e2e"),
    )
    space.rolled_out("statefulset/prometheus-e2e")


def prometheus() -> Object:
    everything: Object = {}
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "Prometheus",
        "metadata": {"name": "e2e"},
        "spec": {
            "image": partner("prometheus"),
            "version": VERSION,
            "imagePullPolicy": "IfNotPresent",
            "replicas": 1,
            "serviceAccountName": "prometheus",
            "scrapeInterval": "2s",
            "evaluationInterval": "2s",
            "podMonitorSelector": everything,
            "serviceMonitorSelector": everything,
            "ruleSelector": everything,
            "terminationGracePeriodSeconds": 2,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "fsGroup": 65532},
        },
    }


def administrator(space: Namespace, name: str) -> list[Object]:
    """A ServiceAccount that may do everything in its namespace, and read the cluster."""
    group = "rbac.authorization.k8s.io"
    subject = {"kind": "ServiceAccount", "name": name, "namespace": space.name}
    role = {"apiGroup": group, "kind": "ClusterRole", "name": "cluster-admin"}
    binding = {"apiVersion": f"{group}/v1", "kind": "ClusterRoleBinding"}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}},
        # Named after the namespace, and removed with the case: it is not in the namespace.
        binding
        | {
            "metadata": {"name": f"{space.name}-{name}"},
            "roleRef": role,
            "subjects": [subject],
        },
    ]
