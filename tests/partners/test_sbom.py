"""The list of what the image holds (scripts/sbom.py): whole, true, and as CycloneDX has it."""

import hashlib
import json
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from support.process import ROOT

TARGET = f"{platform.machine()}-unknown-linux-gnu"
# scripts/image.sh builds with these too, as a test below says.
FEATURES = ["--no-default-features"]


def make(folder: Path, out: Path, *features: str) -> str:
    command = [sys.executable, ROOT / "scripts" / "sbom.py", folder, "localhost/x/y:1.2", out]
    done = subprocess.run(
        [*command, "--target", TARGET, *features], capture_output=True, text=True, timeout=170
    )
    assert done.returncode == 0, done.stderr
    return out.read_text()


@pytest.fixture(scope="session")
def content(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What could be in an image; what the program does is of no concern here."""
    folder = tmp_path_factory.mktemp("content")
    (folder / "noetl-metrics").write_bytes(b"program")
    (folder / "etc" / "ssl" / "certs").mkdir(parents=True)
    (folder / "etc" / "ssl" / "certs" / "ca-certificates.crt").write_bytes(b"authorities")
    (folder / "etc" / "unknown").write_bytes(b"other")
    return folder


@pytest.fixture(scope="session")
def text(content: Path) -> str:
    return make(content, content.parent / "made" / "sbom.cdx.json", *FEATURES)


@pytest.fixture(scope="session")
def bom(text: str) -> dict:
    return json.loads(text)


def crates(bom: dict, *scopes: str) -> set[tuple[str, str]]:
    of_cargo = [c for c in bom["components"] if c.get("purl", "").startswith("pkg:cargo/")]
    return {(c["name"], c["version"]) for c in of_cargo if c["scope"] in scopes}


def tree(*flags: str) -> set[tuple[str, str]]:
    """What cargo says, without the program itself."""
    command = ["cargo", "tree", "--locked", "--prefix", "none", "--no-dedupe", "--target", TARGET]
    done = subprocess.run(
        [*command, *flags], capture_output=True, text=True, cwd=ROOT, timeout=170, check=True
    )
    found = set(re.findall(r"^(\S+) v(\S+)", done.stdout, re.M))
    return {crate for crate in found if crate[0] != "noetl-metrics"}


def test_it_is_cyclonedx(text: str) -> None:
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(text) is None
    # It would say so.
    assert validator.validate_str(text.replace('"library"', '"libraries"', 1)) is not None


def test_its_crates_are_those_that_cargo_builds_the_program_of(bom: dict) -> None:
    assert crates(bom, "required", "excluded") == tree("--edges", "normal", *FEATURES)
    linked = tree("--edges", "normal,no-proc-macro", *FEATURES)
    assert crates(bom, "required") == linked
    names = {name for name, _ in linked}
    assert {"tokio", "warp", "ring", "ratatui"} <= names
    assert not {"postgresql_embedded", "proptest", "serde_derive"} & names


def test_the_features_are_those_of_the_image() -> None:
    script = (ROOT / "scripts" / "image.sh").read_text()
    assert f"features=({' '.join(FEATURES)})\n" in script
    cargo, sbom = re.findall(r"cargo build.*?\n\}|scripts/sbom\.py.*?\n\n", script, re.S)
    for command in (cargo, sbom):
        assert '"${features[@]}"' in command, command
        assert "--target" in command, command


def test_each_crate_has_its_licence_and_checksum(bom: dict) -> None:
    lock = (ROOT / "Cargo.lock").read_text()
    for component in bom["components"]:
        if component.get("purl", "").startswith("pkg:cargo/"):
            (licence,) = component["licenses"]
            assert "/" not in licence["expression"], component
            (checksum,) = component["hashes"]
            entry = f'name = "{component["name"]}"\nversion = "{component["version"]}"\n'
            (locked,) = [part for part in lock.split("[[package]]\n") if part.startswith(entry)]
            assert f'checksum = "{checksum["content"]}"' in locked, component


def test_each_file_is_listed_by_its_path_and_hash(bom: dict, content: Path) -> None:
    listed = {c["name"]: c["hashes"] for c in bom["components"] if c["type"] == "file"}
    program = bom["components"][0]
    listed[program["properties"][0]["value"]] = program["hashes"]
    files = {path for path in content.rglob("*") if path.is_file()}
    assert set(listed) == {f"/{path.relative_to(content)}" for path in files}
    for path in files:
        (digest,) = listed[f"/{path.relative_to(content)}"]
        assert digest["content"] == hashlib.sha256(path.read_bytes()).hexdigest(), path


def test_what_is_linked_beside_the_crates_is_listed(bom: dict) -> None:
    names = {c["name"] for c in bom["components"]}
    assert "rust-std" in names
    assert names & {"libc6-dev", "libc.a"}


def test_everything_is_reached_from_the_image(bom: dict) -> None:
    needs = {one["ref"]: one["dependsOn"] for one in bom["dependencies"]}
    seen, left = set(), ["image"]
    while left:
        ref = left.pop()
        if ref not in seen:
            seen.add(ref)
            left += needs[ref]
    assert seen == {"image", *(c["bom-ref"] for c in bom["components"])}
    assert "pkg:cargo/tokio@" in " ".join(needs["noetl-metrics"])


def test_the_same_content_makes_the_same_list(text: str, content: Path, tmp_path: Path) -> None:
    assert make(content, tmp_path / "again.json", *FEATURES) == text
