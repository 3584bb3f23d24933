"""SIGKILL for a container's process, on any cluster that lets a privileged pod run.

Deleting a pod, even without a grace period, sends SIGTERM first; and from inside its own namespace
a container's first process cannot be killed. That one alone is killed, and the kernel ends the
others with it: where its children died first, it would go on to its next work.
"""

import secrets

from support.kube import Namespace, Object, kubectl, namespace
from support.pods import partner
from support.wait import until

# The shell's own means: the image that it runs in has no other programs.
SCRIPT = """
is_of_container() {
  while read -r line; do
    case $line in *"$CONTAINER"*) return 0;; esac
  done <"$1/cgroup"
  return 1
}
is_first() {
  while read -r name numbers; do
    case "$name $numbers" in "NSpid: "*[!0-9]1) return 0;; esac
  done <"$1/status"
  return 1
}
for folder in /proc/[0-9]*; do
  if is_of_container "$folder" && is_first "$folder"; then
    pid=${folder#/proc/}
    kill -KILL "$pid" && echo "killed $pid"
  fi
done 2>/dev/null
"""


def kill(space: Namespace, pod: Object) -> None:
    """Kills the pod's first container, all its processes at once; returns when it has been done."""
    container = pod["status"]["containerStatuses"][0]["containerID"].rpartition("/")[2]
    privileged = {"pod-security.kubernetes.io/enforce": "privileged"}
    with namespace("kill", privileged) as own:
        name = f"kill-{secrets.token_hex(2)}"
        own.apply(_killer(name, pod["spec"]["nodeName"], container))
        until(
            "the killer has run",
            lambda: own.get("pod", name)["status"].get("phase") in ("Succeeded", "Failed"),
            every=0.1,
        )
        told = kubectl("--namespace", own.name, "logs", name)
        assert told.count("killed") == 1, f"no first process of {container}, or several: {told}"


def _killer(name: str, node: str, container: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "nodeName": node,
            "hostPID": True,
            "restartPolicy": "Never",
            "containers": [
                {
                    "name": "kill",
                    "image": partner("postgres"),
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["/bin/sh", "-c", SCRIPT],
                    "env": [{"name": "CONTAINER", "value": container}],
                    "securityContext": {"privileged": True, "runAsUser": 0},
                }
            ],
        },
    }
