"""Commands that the pages show: what they call is there, with these flags."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

import commands
from commands import Call
from pages import DOCS, PAGES, ROOT, name, spoken

PROGRAMS = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
PROGRAMS = PROGRAMS / "noetl-metrics-e2e" / "bin"
OPENAPI = json.loads((DOCS / "openapi.json").read_text())
CHART = ROOT / "charts" / "noetl-metrics"
CRD = yaml.load((ROOT / "crds" / "noetlmetrics.yaml").read_text(), yaml.CSafeLoader)


def helps() -> dict[str, str]:
    """What `--help` says of each role, by its name; docs/cli.md is a copy of that."""
    parts = re.split(r"^## `noetl-metrics ?([\w -]*)`$", (DOCS / "cli.md").read_text(), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


HELPS = helps()


def flags_of(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--?[a-zA-Z][\w-]*", text))


def test_every_program_s_calls_are_found() -> None:
    for program in commands.CHECKED:
        assert commands.of(program), program


def test_noetl_metrics_has_these_roles_and_flags() -> None:
    for call in commands.of("noetl-metrics"):
        nested = " ".join(call.words[:2])
        role = nested if nested in HELPS else call.words[0]
        assert role in HELPS, call
        for word in call.words:
            if word.startswith("-"):
                flag = word.split("=")[0]
                takes = re.search(rf"{re.escape(flag)}(?: <|\n|$|, )", HELPS[role])
                assert takes, f"{call}: {flag}"


def test_flags_in_prose_are_flags_of_the_program() -> None:
    """On the pages for users; where no other program is named before them."""
    ours = flags_of("".join(HELPS.values()))
    # Of helm and Prometheus, which the text around them names.
    others = {"--wait", "--no-hooks", "--enable-feature"}
    wrong = [
        f"{name(page)}: {word}"
        for page in PAGES
        if page.is_relative_to(DOCS) or (page.name == "README.md" and page.parent == ROOT)
        for word in spoken(page)
        if not re.match(r"(\w+=\w+ )*(kubectl|crictl|helm|pg_dump|cargo|make) ", word)
        for flag in re.findall(r"(?<![\w-])--[a-z][\w-]+", word)
        if flag not in ours | others
    ]
    assert not wrong, "\n".join(wrong)


def test_variables_in_prose_are_read_by_the_program() -> None:
    """NoETL's own are known by their page."""
    read = set(re.findall(r"\[env: (\w+)", "".join(HELPS.values())))
    wrong = [
        f"{name(page)}: {word}"
        for page in PAGES
        for word in spoken(page)
        if re.fullmatch(r"NOETL_METRICS_[A-Z_]+", word) and word not in read
    ]
    # The tests' own.
    assert {word.split(": ")[1] for word in wrong} <= {"NOETL_METRICS_BIN"}, "\n".join(wrong)


def test_fields_in_prose_are_fields_of_the_resource() -> None:
    """Some are named without their `spec.`; then they are not looked for."""
    schema = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    wrong = []
    for page in PAGES:
        for word in spoken(page):
            found = re.match(r"spec(\.\w+)+(?![\w*/-])", word)
            if found and page.parent.name != "e2e" and not has_field(schema, found[0].split(".")):
                wrong.append(f"{name(page)}: {word}")
    assert not wrong, "\n".join(wrong)


def has_field(schema: dict, path: list[str]) -> bool:
    for part in path:
        if "additionalProperties" in schema:
            return True
        schema = schema.get("items", schema).get("properties", {}).get(part)
        if schema is None:
            return False
    return True


def test_make_has_these_targets_and_variables() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([\w-]+):", makefile, re.M))
    for call in commands.of("make"):
        for word in call.words:
            variable, value, _ = word.partition("=")
            assert word in targets or (value and f"$({variable})" in makefile), call
    for page in PAGES:
        for word in spoken(page):
            if found := re.match(r"make ([a-z][\w-]*)", word):
                assert found[1] in targets, f"{name(page)}: {word}"


def test_cargo_has_these_tests() -> None:
    crate = (ROOT / "Cargo.toml").read_text()
    tests = set(re.findall(r'^\[\[test\]\]\nname = "(.+)"', crate, re.M))
    for call in commands.of("cargo"):
        assert call.words[0] in ("test", "bench"), call
        if "--test" in call.words:
            assert call.value("--test") in tests, call


def test_helm_is_given_values_that_the_chart_has() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    for call in commands.of("helm"):
        if call.words[0] in ("install", "upgrade"):
            assert (ROOT / call.words[2] / "Chart.yaml").is_file(), call
        if values := call.value("--values"):
            assert (ROOT / values).is_file(), call
        for number, word in enumerate(call.words):
            if word == "--set":
                path = call.words[number + 1].split("=")[0].split(".")
                assert has_field(schema, path), f"{call}: {'.'.join(path)}"


@pytest.mark.parametrize("program", ["helm", "kubectl"])
def test_flags_of_helm_and_kubectl_are_theirs(program: str) -> None:
    path = PROGRAMS / program
    if not path.exists():
        pytest.skip(f"there is no {program}; e2e/cluster/build.sh builds it")
    known: dict[str, set[str]] = {}
    general = help_of(path, "options") if program == "kubectl" else set()
    for call in commands.of(program):
        verb = verb_of(call)
        if verb not in known:
            known[verb] = general | help_of(path, *verb.split(), "--help")
        words = call.words[: call.words.index("--")] if "--" in call.words else call.words
        for word in words:
            if word.startswith("-") and word != "-":
                assert word.split("=")[0] in known[verb] or word == "-it", f"{call}: {word}"


def verb_of(call: Call) -> str:
    """The subcommand; kubectl may have its namespace before it."""
    words = list(call.words)
    while words[0].startswith("-"):
        words = words[2:]
    nested = {"create": 1, "auth": 1, "top": 1, "rollout": 1}.get(words[0], 0)
    verb = " ".join(words[: 1 + nested])
    # `create secret generic`
    return f"{verb} {words[2]}" if verb == "create secret" else verb


def help_of(program: Path, *words: str) -> set[str]:
    done = subprocess.run([program, *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, (words, done.stderr)
    return flags_of(done.stdout)


def test_curl_calls_endpoints_that_there_are() -> None:
    checked = 0
    for call in commands.of("curl"):
        [address] = [word for word in call.words if re.match(r"https?://", word)]
        url = urlsplit(address)
        body = call.value("-d", "--data")
        if url.port not in (8082, 8083):
            # A worker of NoETL's own.
            assert url.path == "/metrics", call
            continue
        described = OPENAPI["paths"].get(url.path)
        assert described, call
        endpoint = described.get("post" if body else "get")
        assert endpoint, call
        allowed = {one["name"] for one in endpoint.get("parameters", []) if one["in"] == "query"}
        assert set(parse_qs(url.query, keep_blank_values=True)) <= allowed, (call, allowed)
        if body:
            assert json.loads(body), call
        checked += 1
    assert checked > 10


def test_files_that_psql_is_given_are_there() -> None:
    for call in commands.of("psql"):
        if file := call.value("--file", "-f"):
            assert (ROOT / file).is_file(), call


def test_go_and_shell_examples_are_formatted() -> None:
    """As gofmt has it, where there is one; shell is checked by `make lint`."""
    if not shutil.which("gofmt"):
        pytest.skip("there is no gofmt")
    files = [str(path) for path in (DOCS / "examples").rglob("*.go")]
    done = subprocess.run(["gofmt", "-l", *files], capture_output=True, text=True, timeout=60)
    assert done.stdout == ""
