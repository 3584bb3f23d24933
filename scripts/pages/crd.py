"""docs/crd.md: every field of the resource, out of its definition."""

import json
from collections.abc import Iterator

# Kubernetes' own kinds, which its documentation describes; here they are named.
KUBERNETES = {
    "affinity": "Kubernetes' Affinity",
    "nodeAffinity": "Kubernetes' NodeAffinity",
    "tolerations": "list of Kubernetes' Toleration",
    "topologySpread": "list of Kubernetes' TopologySpreadConstraint",
    "selector": "Kubernetes' LabelSelector",
    "namespaceSelector": "Kubernetes' LabelSelector",
    "podSelector": "Kubernetes' LabelSelector",
    "conditions": "list of Kubernetes' Condition",
}
HEAD = (
    "# The resource NoetlMetrics",
    "Every field of `{kind}` ({group}/{version}), as"
    " [crds/noetlmetrics.yaml](../crds/noetlmetrics.yaml) has it;"
    " `kubectl explain {short}.spec --recursive` says the same of a cluster."
    " Made by `make generate`.",
    "What is made from it, and what its conditions mean: [operator.md](operator.md)."
    " Whole ones to start from: [examples](examples/README.md).",
    "{text}",
    "A duration is a number with a unit, such as `90s`, `5m`, `7d`."
    " A default in braces is that of all fields in it together.",
    "",
)
ROW = "| `{name}` | {type} | {default} | {meaning} |"
TABLE = "| field | type | default | meaning |\n|---|---|---|---|"


def page(definition: dict) -> str:
    """The page, from the CustomResourceDefinition."""
    spec = definition["spec"]
    [version] = spec["versions"]
    schema = version["schema"]["openAPIV3Schema"]
    head = "\n\n".join(HEAD).format(
        kind=spec["names"]["kind"],
        short=spec["names"]["shortNames"][0],
        group=spec["group"],
        version=version["name"],
        text=schema["description"],
    )
    parts = [head, *_part("spec", schema["properties"]["spec"])]
    return "\n".join([*parts, *_part("status", schema["properties"]["status"])])


def _part(name: str, node: dict) -> Iterator[str]:
    """What lies directly in it, then a section for each of its objects."""
    yield f"## {name}\n\n{_meaning(node)}\n"
    needed = node.get("required", [])
    sections = {child: made for child, made in node["properties"].items() if "properties" in made}
    simple = [child for child in node["properties"] if child not in sections]
    if simple:
        yield TABLE
        yield from (_row(child, node["properties"][child], child in needed) for child in simple)
        yield ""
    for child, made in sections.items():
        yield f"### {name}.{child}\n\n{_meaning(made)}\n"
        if child in needed:
            yield "It is needed.\n"
        yield TABLE
        yield from _rows("", made)
        yield ""


def _rows(before: str, node: dict) -> Iterator[str]:
    needed = node.get("required", [])
    for child, made in node["properties"].items():
        name = before + child
        yield _row(name, made, child in needed)
        if _of_kubernetes(child, made):
            continue
        if "properties" in made:
            yield from _rows(f"{name}.", made)
        elif "properties" in made.get("items", {}):
            yield from _rows(f"{name}[].", made["items"])


def _row(name: str, node: dict, needed: bool) -> str:
    return ROW.format(
        name=name,
        type=_of_kubernetes(name, node) or _type(node),
        default="needed" if needed and "default" not in node else _default(node),
        meaning=_meaning(node).replace("|", "\\|").replace("\n", " "),
    )


def _of_kubernetes(name: str, node: dict) -> str | None:
    return KUBERNETES.get(name.split(".")[-1]) if node.get("type") in ("object", "array") else None


def _type(node: dict) -> str:
    if "enum" in node:
        return "one of " + ", ".join(f"`{word}`" for word in node["enum"] if word is not None)
    if node.get("x-kubernetes-int-or-string"):
        return "amount"
    if node["type"] == "array":
        return f"list of {_type(node['items'])}"
    if "additionalProperties" in node:
        return f"map of {_type(node['additionalProperties'])}"
    if "minimum" in node and "maximum" in node:
        return f"{node['type']}, {int(node['minimum'])} to {int(node['maximum'])}"
    return "time" if node.get("format") == "date-time" else node["type"]


def _default(node: dict) -> str:
    default = node.get("default")
    if default in (None, {}):
        return ""
    text = default if isinstance(default, str) else json.dumps(default)
    return f"`{text}`"


def _meaning(node: dict) -> str:
    """Its description, and the rules that the API server checks, where a rule has its own words."""
    said = [node.get("description", "")]
    said += [
        rule["message"].rstrip(".").join(("Rule: ", "."))
        for rule in node.get("x-kubernetes-validations", [])
        if "message" in rule
    ]
    return " ".join(part for part in said if part)
