"""The definitions (CRDs) of scrapers, which a cluster may have or not."""

import os
from pathlib import Path

from support import kube

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "noetl-metrics-e2e"
FOLDER = Path(os.environ.get("E2E_CRDS", CACHE / "crds"))
GROUPS = {"victoriametrics": "operator.victoriametrics.com", "prometheus": "monitoring.coreos.com"}
# The kinds that the operator may make, and those that a Prometheus is made of.
NEEDED = {
    "victoriametrics": ("vmpodscrapes", "vmservicescrapes", "vmrules", "vmagents", "vmsingles"),
    "prometheus": ("podmonitors", "servicemonitors", "prometheusrules", "prometheuses"),
}


def install(vendor: str, *, everything: bool = False) -> None:
    """Brings a vendor's definitions that are not there, and waits until they are served.

    `everything`: those too that the vendor's own operator asks for at its start.
    """
    wanted = NEEDED[vendor]
    if everything and vendor == "prometheus":
        wanted += ("probes",)
    elif everything:
        wanted = tuple(file.stem.partition("_")[2] for file in (FOLDER / vendor).glob("*.yaml"))
    files = [FOLDER / vendor / f"{GROUPS[vendor]}_{plural}.yaml" for plural in wanted]
    missing = [str(file) for file in files if not file.exists()]
    assert not missing, f"run e2e/cluster/build.sh, or set E2E_CRDS: {missing}"
    there = {item["metadata"]["name"] for item in kube.items("crds")}
    if absent := [file for file in files if _name(file) not in there]:
        flags = [f"--filename={file}" for file in absent]
        # Megabytes of schema, each of which the API server takes apart.
        kube.kubectl("apply", "--server-side", "--force-conflicts", *flags, timeout=300)
    names = [f"crd/{_name(file)}" for file in files]
    kube.kubectl("wait", "--for=condition=Established", *names, "--timeout=60s")


def _name(file: Path) -> str:
    """The definition's name, by its file's."""
    group, _, plural = file.stem.partition("_")
    return f"{plural}.{group}"


def remove(vendor: str) -> None:
    """Takes a vendor's definitions away, and with them the objects of their kinds."""
    found = [
        item["metadata"]["name"]
        for item in kube.items("crds")
        if item["spec"]["group"] == GROUPS[vendor]
    ]
    if found:
        kube.kubectl("delete", "crd", *found, "--timeout=60s")
