"""Certificates of an authority of a case's own, made by openssl, as Secrets."""

import subprocess
from pathlib import Path

from support.kube import Object

NEW = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


class Authority:
    """An authority whose key is in a folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.own = self._make("an authority of a case", days=2)

    def secret(self, name: str, host: str, days: int = 1) -> Object:
        """A Secret with a certificate for a host that ends in so many days, and with ours."""
        by = ["-CA", str(self.own[0]), "-CAkey", str(self.own[1])]
        alternative = ["-addext", f"subjectAltName=DNS:{host}"]
        # It is no authority itself.
        leaf = ["-addext", "basicConstraints=critical,CA:FALSE"]
        cert, key = self._make(name, *by, *alternative, *leaf, days=days)
        pems = {"tls.crt": cert, "tls.key": key, "ca.crt": self.own[0]}
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/tls",
            "metadata": {"name": name},
            "stringData": {key: path.read_text() for key, path in pems.items()},
        }

    def _make(self, name: str, *more: str, days: int) -> tuple[Path, Path]:
        cert, key = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        files = ["-keyout", str(key), "-out", str(cert)]
        words = ["openssl", *NEW, "-subj", f"/CN={name}", "-days", str(days), *more, *files]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return cert, key
