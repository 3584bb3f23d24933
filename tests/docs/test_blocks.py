"""Blocks of code that the pages show: each language has a check, and each block passes it."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import psycopg
import pytest
import yaml
from kubernetes_validate import validate

import commands
import manifests
from manifests import Shown
from pages import DOCS, PAGES, ROOT, Found, blocks, markdown, name
from support.process import tool
from support.server import run

CHECKED = {"sh", "yaml", "json", "sql", "python", "rust", "go", "text"}
CRD = yaml.load((ROOT / "crds" / "noetlmetrics.yaml").read_text(), yaml.CSafeLoader)
SCHEMA = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
API = json.loads((DOCS / "openapi.json").read_text())
OTHERS = [one for one in manifests.shown() if one.other]


def where(one: Shown | Found) -> str:
    return one.where


def test_blocks_are_of_languages_that_are_checked() -> None:
    for page in PAGES:
        for block in markdown.blocks(page.read_text()):
            assert block.language in CHECKED, f"{name(page)}:{block.line}"


def test_what_is_made_is_up_to_date() -> None:
    """docs/crd.md, and the examples of docs/clients.md: Python, Rust, Go, shell, a playbook."""
    command = [sys.executable, ROOT / "scripts" / "pages", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    page = (DOCS / "clients.md").read_text()
    shown = markdown.blocks(page)
    assert len(shown) == page.count("<!-- from ") > 8
    for path in (DOCS / "examples" / "clients").iterdir():
        assert f"<!-- from examples/clients/{path.name} -->" in page, path.name


@pytest.mark.parametrize("found", blocks("json"), ids=where)
def test_json_is_a_report(found: Found) -> None:
    report = {"$ref": "#/components/schemas/ReportBody", "components": API["components"]}
    jsonschema.validate(json.loads(found.block.text), report)


@pytest.mark.parametrize("one", manifests.of_kubernetes(), ids=where)
def test_manifests_are_what_kubernetes_takes(one: Shown) -> None:
    """By the schemas; tests/chart offers them to a real API server."""
    if one.made["kind"] == "NoetlMetrics":
        jsonschema.validate(one.made, SCHEMA)
        assert set(one.made["spec"]) <= set(SCHEMA["properties"]["spec"]["properties"])
    else:
        validate(one.made, "1.37", strict=True)


def test_every_other_document_has_a_check() -> None:
    known = {"Prometheus", "rules", "Grafana", "Grafana's chart", "NoETL"}
    assert {one.other for one in OTHERS} == known


@pytest.mark.parametrize("one", [it for it in OTHERS if it.other == "Prometheus"], ids=where)
def test_prometheus_takes_its_configuration(one: Shown, tmp_path: Path) -> None:
    made = yaml.safe_dump(one.made)
    # A key of newer versions, which promtool of a distribution may not know yet.
    made = made.replace("  protobuf_message: io.prometheus.write.v2.Request\n", "")
    made = made.replace("/etc/prometheus/noetl-metrics-token", str(tmp_path / "token"))
    (tmp_path / "token").write_text("token")
    (tmp_path / "prometheus.yml").write_text(made)
    command = [tool("promtool", "prometheus"), "check", "config", tmp_path / "prometheus.yml"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("one", [it for it in OTHERS if it.other == "rules"], ids=where)
def test_alert_rules_are_rules(one: Shown, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(one.made))
    run("rules", "check", str(tmp_path / "rules.yaml"))


def statements() -> list[tuple[str, str]]:
    """SQL of blocks, and what psql is given; not its own commands, nor a role, which a test of
    the dashboard makes."""
    found = [
        (f"{name(page)}:{block.line}", block.text)
        for page in PAGES
        for block in markdown.blocks(page.read_text())
        if block.language == "sql"
    ]
    for call in commands.of("psql"):
        given = call.value("-c", "--command")
        if given and not given.startswith("\\"):
            found.append((call.where, given))
    return found


def test_sql_is_what_the_schema_takes(database_url: str) -> None:
    shown = statements()
    assert len(shown) > 4
    with psycopg.connect(database_url) as connection:
        for place, statement in shown:
            try:
                connection.execute(statement)
            except psycopg.Error as error:
                raise AssertionError(f"{place}: {error}") from error
            connection.rollback()
