"""Makes the chart's README table, its schema and its copy of the CRD, or checks them.

    python scripts/chart_values.py           writes them
    python scripts/chart_values.py --check   fails where a committed one is out of date

In values.yaml the comment lines above a key are its documentation (from `# --` on) and, after
`# @schema`, JSON that is added to the schema inferred from its default. `{"$crd": "spec"}` stands
for the resource's own schema, so far down as a typing error is likely.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
CHART = ROOT / "charts" / "noetl-metrics"
CRD = ROOT / "crds" / "noetlmetrics.yaml"
CRD_COPY = CHART / "files" / "noetlmetrics.yaml"
MARK = "<!-- From here on made from values.yaml. -->\n"
CRD_DEPTH = 3
KINDS = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}


@dataclass(frozen=True)
class Value:
    """A key of values.yaml."""

    path: tuple[str, ...]
    default: object
    text: str | None
    schema: dict | None


def values(source: str) -> Iterator[Value]:
    """All keys, in the file's order: those with documentation, and the maps that hold them."""
    yield from _values(yaml.compose(source), source.splitlines(), ())


def _values(node: yaml.MappingNode, lines: list[str], path: tuple[str, ...]) -> Iterator[Value]:
    for key, value in node.value:
        text, schema = _comment(lines, key.start_mark.line)
        here = (*path, key.value)
        default = yaml.safe_load(yaml.serialize(value))
        yield Value(here, default, text, schema)
        if text is None:
            if not isinstance(value, yaml.MappingNode) or not value.value:
                raise SystemExit(f"values.yaml: {'.'.join(here)} has no documentation")
            yield from _values(value, lines, here)


def _comment(lines: list[str], line: int) -> tuple[str | None, dict | None]:
    above = []
    while line > 0 and lines[line - 1].strip().startswith("#"):
        line -= 1
        above.insert(0, lines[line].strip().removeprefix("#").strip())
    words, schema, documented = [], None, False
    for comment in above:
        if comment.startswith("-- "):
            words, documented = [comment.removeprefix("-- ")], True
        elif comment.startswith("@schema "):
            schema = json.loads(comment.removeprefix("@schema "))
        elif documented:
            words.append(comment)
    return (" ".join(words) if documented else None), schema


def schema(source: str, crd: dict) -> dict:
    """The JSON schema of values.yaml: closed, so that a typing error is refused."""
    top = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the chart noetl-metrics",
        "type": "object",
        "additionalProperties": False,
        "properties": {},
    }
    for value in values(source):
        parent = top
        for name in value.path[:-1]:
            parent = parent["properties"][name]
        parent["properties"][value.path[-1]] = _schema(value, crd)
    return top


def _schema(value: Value, crd: dict) -> dict:
    if value.text is None:
        closed = {"type": "object", "additionalProperties": False, "properties": {}}
        return closed | (value.schema or {})
    made = {"description": value.text}
    given = dict(value.schema or {})
    if given.pop("$crd", None):
        return made | _closed(_spec(crd), CRD_DEPTH)
    if isinstance(value.default, dict):
        made["type"] = "object"
        if "additionalProperties" not in given:
            raise SystemExit(
                f"values.yaml: {'.'.join(value.path)} needs @schema: what may be in it"
            )
    else:
        made["type"] = KINDS[type(value.default)]
    return made | given


def _spec(crd: dict) -> dict:
    version = crd["spec"]["versions"][0]
    return version["schema"]["openAPIV3Schema"]["properties"]["spec"]


def _closed(node: dict, depth: int) -> dict:
    """A part of the resource's schema: names, types and choices; the API server checks the rest."""
    if depth == 0 or node.get("x-kubernetes-int-or-string"):
        return {}
    made = {name: node[name] for name in ("enum", "minimum", "maximum") if name in node}
    if "type" in node:
        made["type"] = [node["type"], "null"] if node.get("nullable") else node["type"]
    if made.get("enum") and node.get("nullable"):
        made["enum"] = [*made["enum"], None]
    if "properties" in node:
        made["additionalProperties"] = False
        made["properties"] = {
            name: _closed(child, depth - 1) for name, child in node["properties"].items()
        }
    return made


def readme(old: str, source: str) -> str:
    """The README: what somebody wrote, then a table of the values."""
    lines = ["## Values", "", "| value | default | what it sets |", "|---|---|---|"]
    for value in values(source):
        if value.text is not None:
            default = json.dumps(value.default).replace("|", "\\|")
            text = value.text.replace("|", "\\|")
            lines.append(f"| `{'.'.join(value.path)}` | `{default}` | {text} |")
    return old.split(MARK)[0] + MARK + "\n" + "\n".join(lines) + "\n"


def main(check: bool) -> int:
    source = (CHART / "values.yaml").read_text()
    # Where the program's own is there, the chart's is a copy of it.
    crd = (CRD if CRD.exists() else CRD_COPY).read_text()
    readme_file = CHART / "README.md"
    made = {
        CRD_COPY: crd,
        CHART / "values.schema.json": json.dumps(schema(source, yaml.safe_load(crd)), indent=2)
        + "\n",
        readme_file: readme(readme_file.read_text(), source),
    }
    stale = [path for path, text in made.items() if not path.exists() or path.read_text() != text]
    for path in stale:
        if check:
            print(f"{path.relative_to(ROOT)} is out of date; run: make generate", file=sys.stderr)
        else:
            path.write_text(made[path])
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
