"""A Kubernetes control plane without a node: objects are kept and controlled, nothing runs."""

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from support.process import Process, free_port, running

TOKEN = "tests"


class ControlPlane:
    """Helm and kubectl against the API server, as its administrator."""

    def __init__(self, programs: Path, helm: str, folder: Path, port: int):
        self.kubectl_path = str(programs / "kubectl")
        self.helm_path = helm
        self.port = port
        # What its tokens are signed with, and its certificate with that of who signed it.
        self.key = folder / "accounts.key"
        self.certificates = folder / "certificates" / "apiserver.crt"
        self.config = folder / "kubeconfig"
        cluster = {"server": f"https://127.0.0.1:{port}", "insecure-skip-tls-verify": True}
        # JSON is YAML.
        self.config.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "it", "cluster": cluster}],
                    "users": [{"name": "it", "user": {"token": TOKEN}}],
                    "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
                    "current-context": "it",
                }
            )
        )

    def helm(self, *words: str) -> str:
        """What Helm prints; a failure of it is one of the test."""
        return self._run(self.helm_path, *words)

    def kubectl(self, *words: str, text: str | None = None) -> str:
        """What kubectl prints; a failure of it is one of the test."""
        return self._run(self.kubectl_path, *words, text=text)

    def refusal(self, *words: str, text: str | None = None) -> str:
        """What kubectl complains of."""
        try:
            said = self.kubectl(*words, text=text)
        except AssertionError as error:
            return str(error)
        raise AssertionError(f"{words} is not refused: {said}")

    def get(self, *words: str) -> dict:
        """An object, or a list of objects."""
        return json.loads(self.kubectl("get", *words, "--output=json"))

    def _run(self, *words: str, text: str | None = None) -> str:
        done = subprocess.run(
            words,
            input=text,
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "KUBECONFIG": str(self.config)},
        )
        assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
        return done.stdout


@contextlib.contextmanager
def control_plane(programs: Path, helm: str, folder: Path) -> Iterator[ControlPlane]:
    """A control plane on this machine's loopback for the length of a `with`."""
    store, peers, port = free_port(), free_port(), free_port()
    (folder / "tokens.csv").write_text(f"{TOKEN},admin,1,system:masters\n")
    key = folder / "accounts.key"
    subprocess.run(
        ["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True, timeout=60
    )
    etcd = [
        str(programs / "etcd"),
        f"--data-dir={folder / 'etcd'}",
        "--unsafe-no-fsync",
        f"--listen-client-urls=http://127.0.0.1:{store}",
        f"--advertise-client-urls=http://127.0.0.1:{store}",
        f"--listen-peer-urls=http://127.0.0.1:{peers}",
        f"--initial-advertise-peer-urls=http://127.0.0.1:{peers}",
        f"--initial-cluster=default=http://127.0.0.1:{peers}",
    ]
    server = [
        str(programs / "kube-apiserver"),
        f"--etcd-servers=http://127.0.0.1:{store}",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--cert-dir={folder / 'certificates'}",
        f"--token-auth-file={folder / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        "--service-cluster-ip-range=10.97.0.0/24",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
    ]
    controllers = [
        str(programs / "kube-controller-manager"),
        # What says of a Deployment that it is there, and what clears up after it.
        "--controllers=deployment-controller,replicaset-controller,garbage-collector-controller",
        f"--kubeconfig={folder / 'kubeconfig'}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        f"--secure-port={free_port()}",
        f"--cert-dir={folder / 'certificates'}",
    ]
    with contextlib.ExitStack() as stack:
        stack.enter_context(running(Process(etcd, folder / "etcd.log")))
        api = Process(server, folder / "api-server.log")
        stack.enter_context(running(api))
        plane = ControlPlane(programs, helm, folder, port)
        api.wait_ready(lambda: plane.kubectl("get", "--raw", "/readyz") == "ok", 60)
        stack.enter_context(running(Process(controllers, folder / "controllers.log")))
        yield plane
