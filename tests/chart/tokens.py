"""Tokens for the tests of authorisation: the API server's, and such as it would not issue."""

import base64
import json
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import create_connection, create_server, socket
from threading import Thread

from control_plane import ControlPlane

AUDIENCE = "noetl-metrics"


def apply(plane: ControlPlane, *objects: dict) -> None:
    """Makes objects as they are said."""
    plane.kubectl("apply", "--filename=-", text=_list(objects))


@contextmanager
def applied(plane: ControlPlane, *objects: dict) -> Iterator[None]:
    """Objects for the length of a `with`."""
    apply(plane, *objects)
    try:
        yield
    finally:
        words = ("--ignore-not-found", "--grace-period=0", "--force", "--filename=-")
        plane.kubectl("delete", *words, text=_list(objects))


def account(namespace: str, name: str) -> dict:
    """A ServiceAccount."""
    metadata = {"namespace": namespace, "name": name}
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}


def pod(namespace: str, name: str, service_account: str) -> dict:
    """A pod of a ServiceAccount, which no node will run."""
    containers = [{"name": "c", "image": "i"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"serviceAccountName": service_account, "containers": containers},
    }


def cluster_role(name: str, subject: str, paths: list[str], verb: str) -> list[dict]:
    """A ClusterRole on paths of no resource, and its binding to the ServiceAccount `subject`."""
    group, api = "rbac.authorization.k8s.io", "rbac.authorization.k8s.io/v1"
    namespace, who = subject.split("/")
    role = {"kind": "ClusterRole", "metadata": {"name": name}}
    return [
        {"apiVersion": api, **role, "rules": [{"nonResourceURLs": paths, "verbs": [verb]}]},
        {
            "apiVersion": api,
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
            "subjects": [{"kind": "ServiceAccount", "namespace": namespace, "name": who}],
        },
    ]


def token(plane: ControlPlane, of: str, audience: str | None = AUDIENCE, pod: str = "") -> str:
    """A token of the ServiceAccount `namespace/name`; `None` is the API server's audience."""
    namespace, name = of.split("/")
    words = ["create", "token", name, f"--namespace={namespace}", "--duration=1h"]
    words += [f"--audience={audience}"] if audience else []
    words += ["--bound-object-kind=Pod", f"--bound-object-name={pod}"] if pod else []
    return plane.kubectl(*words).strip()


def signed_again(issued: str, key: Path, **changes: object) -> str:
    """The token with other claims, signed with a key that the test owns."""
    head, claims, _ = issued.split(".")
    changed = {**json.loads(_decoded(claims)), **changes}
    text = f"{head}.{_encoded(json.dumps(changed).encode())}"
    sign = ["openssl", "dgst", "-sha256", "-sign", str(key)]
    done = subprocess.run(sign, input=text.encode(), capture_output=True, check=True, timeout=30)
    return f"{text}.{_encoded(done.stdout)}"


def expired(issued: str, key: Path) -> str:
    """The token as it will be a minute after its end."""
    now = int(time.time())
    return signed_again(issued, key, iat=now - 3600, nbf=now - 3600, exp=now - 60)


def new_key(path: Path) -> Path:
    """A key that no cluster has."""
    command = ["openssl", "genrsa", "-out", str(path), "2048"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return path


def _list(objects: Iterable[dict]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Link:
    """A way to a port of this machine that can be cut."""

    def __init__(self, to: int):
        self.to = to
        self.is_up = True
        self.listener = create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.open: list[socket] = []

    def cut(self) -> None:
        """Ends what is under way, and lets nothing more through."""
        self.is_up = False
        for one in self.open:
            one.close()
        self.open.clear()

    def mend(self) -> None:
        """Lets everything through again."""
        self.is_up = True

    def run(self) -> None:
        """Takes connections until the listener is closed."""
        while True:
            try:
                near, _ = self.listener.accept()
                if not self.is_up:
                    near.close()
                    continue
                far = create_connection(("127.0.0.1", self.to))
            except OSError:
                return
            self.open += [near, far]
            for source, sink in ((near, far), (far, near)):
                Thread(target=_copy, args=(source, sink), daemon=True).start()


def _copy(source: socket, sink: socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    finally:
        source.close()
        sink.close()


@contextmanager
def link(to: int) -> Iterator[Link]:
    """A link for the length of a `with`."""
    made = Link(to)
    Thread(target=made.run, daemon=True).start()
    try:
        yield made
    finally:
        made.listener.close()
        made.cut()
