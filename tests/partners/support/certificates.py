"""Certificates of an authority of a test's own, made by openssl."""

import subprocess
from pathlib import Path

import pytest

from support.process import tool


def openssl(*arguments: str | Path) -> None:
    """Runs it."""
    command = [tool("openssl"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        pytest.fail(f"{command}: {done.stderr}")


class Authority:
    """An authority in a folder: its certificate is `ca.crt`."""

    def __init__(self, folder: Path):
        folder.mkdir()
        self.folder = folder
        self.cert, self.key = folder / "ca.crt", folder / "ca.key"
        subject = ["-subj", "/CN=an authority of a test", "-days", "2"]
        new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        openssl("req", "-x509", *new, *subject, "-keyout", self.key, "-out", self.cert)

    def signs(self, name: str) -> tuple[Path, Path]:
        """A certificate for the host `name`, and its key."""
        cert, key, request = (self.folder / f"{name}.{end}" for end in ("crt", "key", "csr"))
        new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        openssl("req", "-new", *new, "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName=DNS:{name}\n")
        signed = ["-in", request, "-CA", self.cert, "-CAkey", self.key, "-CAcreateserial"]
        openssl("x509", "-req", *signed, "-days", "1", "-extfile", extensions, "-out", cert)
        return cert, key
