"""The chart and what Helm makes of it."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "noetl-metrics"
KNOWS_NOETL_METRICS = ("--api-versions", "metrics.noetl.io/v1alpha1/NoetlMetrics")
RELEASE, NAMESPACE = "metrics", "noetl"


class Chart:
    """Renders the chart as the release `metrics` in the namespace `noetl`."""

    def __init__(self, helm: str):
        self.helm = helm
        self._rendered: dict[str, str] = {}
        self._parsed: dict[str, list[dict]] = {}

    def run(self, values: dict, *flags: str) -> subprocess.CompletedProcess[str]:
        """`helm template` with values, to its end."""
        command = [self.helm, "template", RELEASE, str(CHART), "--namespace", NAMESPACE]
        return subprocess.run(
            [*command, "--values", "-", *flags],
            input=json.dumps(values),
            capture_output=True,
            text=True,
            timeout=60,
        )

    def text(self, values: dict | None = None, *flags: str) -> str:
        """What Helm renders."""
        asked = json.dumps([values, flags])
        if asked not in self._rendered:
            done = self.run(values or {}, *flags)
            assert done.returncode == 0, done.stderr
            self._rendered[asked] = done.stdout
        return self._rendered[asked]

    def objects(self, values: dict | None = None, *flags: str) -> list[dict]:
        """The objects that Helm renders."""
        text = self.text(values, *flags)
        if text not in self._parsed:
            self._parsed[text] = [made for made in yaml.load_all(text, yaml.CSafeLoader) if made]
        return self._parsed[text]

    def refusal(self, values: dict, *flags: str) -> str:
        """Why Helm refuses the values."""
        done = self.run(values, *flags)
        assert done.returncode != 0, f"{values} is not refused"
        return done.stderr


def one(objects: list[dict], kind: str, name: str | None = None) -> dict:
    """The only object of a kind, or of a kind and name."""
    found = every(objects, kind, name)
    assert len(found) == 1, f"{len(found)} objects {kind} {name or ''}"
    return found[0]


def every(objects: list[dict], kind: str, name: str | None = None) -> list[dict]:
    """All objects of a kind, or of a kind and name."""
    named = [made for made in objects if name in (None, made["metadata"]["name"])]
    return [made for made in named if made["kind"] == kind]


def pod_specs(objects: list[dict]) -> Iterator[dict]:
    """The pods among objects, and those that other objects make."""
    for made in objects:
        if made["kind"] == "Pod":
            yield made["spec"]
        elif made["kind"] in ("Deployment", "DaemonSet", "Job", "StatefulSet"):
            yield made["spec"]["template"]["spec"]
