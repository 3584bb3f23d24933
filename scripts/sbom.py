"""Lists what an image holds, as a software bill of materials (SBOM): CycloneDX 1.6, JSON.

    python3 scripts/sbom.py FOLDER NAME:TAG OUT.cdx.json --target TRIPLE [flags of cargo's features]

FOLDER is the image's content, with the program `noetl-metrics` in it. Listed are the program, the
crates that it is built of (`cargo tree` says which, Cargo.lock has their checksums, their manifests
the licences), what is linked into it beside them (the libraries of Rust, C and the compiler),
and every other file, with the package that it comes from where dpkg knows. The same sources,
toolchain and files give the same list. It needs no package of Python.

Environment: SOURCE_DATE_EPOCH (the list's date; 0).
"""

import argparse
import datetime
import hashlib
import json
import os
import re
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = "noetl-metrics"
# Static libraries that the linker takes in.
LINKED = ["libc.a", "libgcc_eh.a"]
# Where files of the image come from, if not from the same path of a package.
MADE_BY = {"etc/ssl/certs/ca-certificates.crt": "ca-certificates"}

Component = dict[str, object]
Key = tuple[str, str]


@dataclass(frozen=True)
class Crate:
    """A crate of the program, as `cargo tree` names it."""

    name: str
    version: str
    depth: int

    @property
    def key(self) -> Key:
        return self.name, self.version


def output(*command: str | Path) -> str:
    """What a command prints."""
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def tree(edges: str, flags: list[str]) -> Iterator[Crate]:
    """The crates of the program from its root, each below the one that needs it."""
    command = ["cargo", "tree", "--locked", "--prefix", "depth", "--format", " {p}"]
    for line in output(*command, "--edges", edges, *flags).splitlines():
        depth, name, version = re.match(r"(\d+) (\S+) v(\S+)", line).groups()
        yield Crate(name, version, int(depth))


def graph(crates: list[Crate]) -> dict[Key, set[Key]]:
    """What each crate needs directly; what was shown before is shown without that again."""
    needs: dict[Key, set[Key]] = {}
    above: list[Crate] = []
    for crate in crates:
        del above[crate.depth :]
        needs.setdefault(crate.key, set())
        if above:
            needs[above[-1].key].add(crate.key)
        above.append(crate)
    return needs


def checksums() -> dict[Key, str]:
    """SHA-256 of each crate's archive, by Cargo.lock."""
    pattern = r'name = "(.+)"\nversion = "(.+)"\nsource = ".+"\nchecksum = "(\w+)"'
    found = re.findall(pattern, (ROOT / "Cargo.lock").read_text())
    return {(name, version): checksum for name, version, checksum in found}


def manifests(flags: list[str]) -> dict[Key, dict]:
    """What the manifest of each crate says."""
    triple = flags[flags.index("--target") + 1]
    others = [flag for flag in flags if flag not in ("--target", triple)]
    command = ["cargo", "metadata", "--locked", "--format-version", "1"]
    said = output(*command, "--filter-platform", triple, *others)
    return {(p["name"], p["version"]): p for p in json.loads(said)["packages"]}


def sha256(path: Path) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": hashlib.sha256(path.read_bytes()).hexdigest()}]


def licences(manifest: dict) -> list[dict]:
    """An SPDX expression; older manifests have a slash for OR."""
    if not manifest.get("license"):
        return [{"license": {"name": manifest["license_file"] or "unknown"}}]
    return [{"expression": re.sub(r"\s*/\s*", " OR ", manifest["license"])}]


def crate_ref(key: Key) -> str:
    return f"pkg:cargo/{key[0]}@{quote(key[1], safe='')}"


def crate(key: Key, manifest: dict, checksum: str, is_linked: bool) -> Component:
    """A crate; macros and what they need run as the program is built, and are not in it."""
    component: Component = {
        "type": "library",
        "bom-ref": crate_ref(key),
        "name": key[0],
        "version": key[1],
        "scope": "required" if is_linked else "excluded",
        "hashes": [{"alg": "SHA-256", "content": checksum}],
        "licenses": licences(manifest),
        "purl": crate_ref(key),
    }
    if manifest.get("repository"):
        vcs = {"type": "vcs", "url": manifest["repository"].strip()}
        component["externalReferences"] = [vcs]
    return component


def package(name: str) -> Component:
    """A package of the distribution."""
    form = "${Version} ${Architecture} ${source:Package}"
    version, architecture, source = output("dpkg-query", "-W", "-f", form, name).split()
    release = dict(re.findall(r'^(\w+)="?(.*?)"?$', Path("/etc/os-release").read_text(), re.M))
    distribution = release["ID"]
    purl = f"pkg:deb/{distribution}/{name}@{quote(version, safe='')}?arch={architecture}"
    if "VERSION_ID" in release:
        purl += f"&distro={distribution}-{release['VERSION_ID']}"
    return {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
        "properties": [{"name": "noetl-metrics:source-package", "value": source}],
    }


def package_of(path: Path) -> Component | None:
    """The package that a file of this machine is of, where dpkg knows."""
    if not shutil.which("dpkg-query"):
        return None
    done = subprocess.run(["dpkg-query", "-S", path], capture_output=True, text=True)
    return package(done.stdout.split(":")[0]) if done.returncode == 0 else None


def linked() -> Iterator[Component]:
    """What is linked into the program and is no crate."""
    release = re.search(r"^release: (.+)$", output("rustc", "-vV"), re.M)[1]
    purl = f"pkg:generic/rust-std@{release}"
    yield {
        "type": "library",
        "bom-ref": purl,
        "name": "rust-std",
        "version": release,
        "description": "Rust's standard library, of the toolchain",
        "licenses": [{"expression": "MIT OR Apache-2.0"}],
        "purl": purl,
    }
    for name in LINKED:
        path = Path(output("cc", f"-print-file-name={name}").strip())
        if path.is_absolute():
            alone = {"type": "library", "bom-ref": name, "name": name, "hashes": sha256(path)}
            yield package_of(path.resolve()) or alone


def file(path: Path, inside: str) -> tuple[Component, Component | None]:
    """A file of the image, and the package it comes from."""
    known = MADE_BY.get(inside)
    has_dpkg = known and shutil.which("dpkg-query")
    owner = package(known) if has_dpkg and _is_installed(known) else None
    component = {"type": "file", "bom-ref": f"/{inside}", "name": f"/{inside}"}
    return {**component, "hashes": sha256(path)}, owner


def _is_installed(name: str) -> bool:
    return subprocess.run(["dpkg-query", "-W", name], capture_output=True).returncode == 0


def bom(folder: Path, image: str, flags: list[str]) -> dict:
    """All of it."""
    name, _, tag = image.rpartition(":")
    crates = list(tree("normal", flags))
    root = crates[0].key
    needs = graph(crates)
    in_program = {one.key for one in tree("normal,no-proc-macro", flags)}
    manifest, checksum = manifests(flags), checksums()
    others = {one["bom-ref"]: one for one in linked()}
    program: Component = {
        "type": "application",
        "bom-ref": PROGRAM,
        "name": PROGRAM,
        "version": root[1],
        "hashes": sha256(folder / PROGRAM),
        "licenses": licences(manifest[root]),
        "properties": [{"name": "noetl-metrics:path", "value": f"/{PROGRAM}"}],
    }
    depends = {key: sorted(map(crate_ref, of)) for key, of in needs.items()}
    edges = {crate_ref(key): of for key, of in depends.items() if key != root}
    edges[PROGRAM] = sorted([*depends[root], *others])
    components = [crate(k, manifest[k], checksum[k], k in in_program) for k in needs if k != root]
    top = [PROGRAM]
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        inside = str(path.relative_to(folder))
        if inside == PROGRAM:
            continue
        listed, owner = file(path, inside)
        components.append(listed)
        top.append(str(listed["bom-ref"]))
        if owner:
            others[owner["bom-ref"]] = owner
            edges[str(listed["bom-ref"])] = [str(owner["bom-ref"])]
    components += others.values()
    components.sort(key=lambda component: str(component["bom-ref"]))
    for component in components:
        edges.setdefault(str(component["bom-ref"]), [])
    edges["image"] = top
    date = datetime.datetime.fromtimestamp(
        int(os.environ.get("SOURCE_DATE_EPOCH", "0")), datetime.timezone.utc
    )
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": date.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "lifecycles": [{"phase": "build"}],
            "tools": {"components": [{"type": "application", "name": "scripts/sbom.py"}]},
            "component": {"type": "container", "bom-ref": "image", "name": name, "version": tag},
        },
        "components": [program, *components],
        "dependencies": [{"ref": ref, "dependsOn": edges[ref]} for ref in sorted(edges)],
    }
    same = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(document, sort_keys=True))
    return {**document, "serialNumber": f"urn:uuid:{same}"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("image")
    parser.add_argument("out", type=Path)
    parser.add_argument("--target", required=True)
    known, features = parser.parse_known_args()
    document = bom(known.folder, known.image, ["--target", known.target, *features])
    known.out.parent.mkdir(parents=True, exist_ok=True)
    known.out.write_text(json.dumps(document, indent=1) + "\n")
    count = len(document["components"])
    print(f"{known.out}: {count} components")


if __name__ == "__main__":
    main()
