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
# What the operators' programs look for at their start, whether anything uses it or not.
BESIDE = {
    "prometheus": (
        "probes",
        "scrapeconfigs",
        "prometheusagents",
        "alertmanagers",
        "thanosrulers",
        "alertmanagerconfigs",
    ),
    "victoriametrics": (),
}


def install(vendor: str, *, everything: bool = False) -> None:
    """Brings a vendor's definitions, and waits until the API server serves them."""
    wanted = NEEDED[vendor] + (BESIDE[vendor] if everything else ())
    files = [FOLDER / vendor / f"{GROUPS[vendor]}_{plural}.yaml" for plural in wanted]
    missing = [str(file) for file in files if not file.exists()]
    assert not missing, f"run e2e/cluster/build.sh, or set E2E_CRDS: {missing}"
    flags = [f"--filename={file}" for file in files]
    kube.kubectl("apply", "--server-side", "--force-conflicts", *flags)
    names = [f"crd/{plural}.{GROUPS[vendor]}" for plural in wanted]
    kube.kubectl("wait", "--for=condition=Established", *names, "--timeout=60s")


def remove(vendor: str) -> None:
    """Takes a vendor's definitions away, and with them the objects of their kinds."""
    found = [
        item["metadata"]["name"]
        for item in kube.items("crds")
        if item["spec"]["group"] == GROUPS[vendor]
    ]
    if found:
        kube.kubectl("delete", "crd", *found, "--timeout=60s")
