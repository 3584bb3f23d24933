"""Manifests of the pages, whole: a part of one is put into the least that it can be in."""

from dataclasses import dataclass

import yaml

import commands
from pages import blocks

# What a block may be that is no manifest of Kubernetes': it has a check of its own.
OTHERS = {
    "scrape_configs": "Prometheus",
    "remote_write": "Prometheus",
    "rules": "rules",
    "aggregates": "rules",
    "datasources": "Grafana",
    "sidecar": "Grafana's chart",
    "workflow": "NoETL",
}
DATABASE = {"secretRef": {"name": "noetl-metrics-db", "key": "url"}}


@dataclass(frozen=True)
class Shown:
    """A document of YAML, and where it is."""

    where: str
    made: dict

    @property
    def other(self) -> str | None:
        """Whose it is, where it is not Kubernetes'."""
        if "kind" in self.made and "workflow" not in self.made:
            return None
        return next((whose for key, whose in OTHERS.items() if key in self.made), None)


def shown() -> list[Shown]:
    """All documents: of blocks of YAML, and what kubectl is given."""
    texts = [(found.where, found.block.text) for found in blocks("yaml")]
    texts += [(call.where, call.text) for call in commands.of("kubectl") if call.text]
    return [
        Shown(where, made) for where, text in texts for made in yaml.safe_load_all(text) if made
    ]


def of_kubernetes() -> list[Shown]:
    """Manifests, whole."""
    return [Shown(one.where, _whole(one)) for one in shown() if one.other is None]


def _whole(one: Shown) -> dict:
    made = one.made
    if "kind" in made:
        return made
    if set(made) == {"spec"}:
        return _resource(made["spec"])
    if set(made) == {"agent"}:
        return _resource(made)
    if set(made) == {"volumes"}:
        pod = {"containers": [{"name": "it", "image": "it"}], **made}
        metadata = {"name": "it", "namespace": "noetl"}
        template = {"metadata": {}, "spec": pod}
        # A Pod itself would need a ServiceAccount.
        kind = {"apiVersion": "v1", "kind": "PodTemplate"}
        return {**kind, "metadata": metadata, "template": template}
    raise AssertionError(f"{one.where}: what is this? say so in tests/docs/manifests.py: {made}")


def _resource(spec: dict) -> dict:
    return {
        "apiVersion": "metrics.noetl.io/v1alpha1",
        "kind": "NoetlMetrics",
        "metadata": {"name": "shown", "namespace": "noetl"},
        "spec": {"database": DATABASE, **spec},
    }
