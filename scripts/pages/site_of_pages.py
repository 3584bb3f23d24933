"""The site: what docs/SUMMARY.md lists, built by mdBook.

Pages outside of docs/ and files that pages link to are brought in below `project/`, since mdBook
knows one folder; links follow. A README becomes the index of its folder.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath

import markdown

BOOK = """[book]
title = "NoETL Metrics"
language = "en"
src = "src"

[build]
build-dir = "{into}"
create-missing = false

[output.html]
default-theme = "light"
preferred-dark-theme = "navy"
# `--flag` stays what it is.
smart-punctuation = false
no-section-label = true

[output.html.fold]
enable = true
"""


def listed(root: Path) -> list[Path]:
    """The pages of the site, in its order, by their paths in the repository."""
    summary = root / "docs" / "SUMMARY.md"
    return [_target(summary, link) for link in markdown.links(summary.read_text())]


def build(root: Path, into: Path) -> int:
    """Builds it; a warning of mdBook's is an error here."""
    source = into.parent / f"{into.name}-source"
    shutil.rmtree(source, ignore_errors=True)
    write_source(root, source, into)
    done = subprocess.run(["mdbook", "build", source], capture_output=True, text=True)
    print(done.stderr.strip(), file=sys.stderr)
    if done.returncode == 0 and " WARN " not in done.stderr:
        print(f"the site is {into}/index.html")
        return 0
    return done.returncode or 1


def write_source(root: Path, source: Path, into: Path) -> None:
    """What mdBook is given."""
    pages = {page: _place(root, page) for page in [root / "docs" / "SUMMARY.md", *listed(root)]}
    files: set[Path] = set()
    for page, place in pages.items():
        text = markdown.relinked(page.read_text(), _links(root, page, pages, files))
        _write(source / "src" / place, text.encode())
    for path in files:
        _write(source / "src" / _place(root, path), path.read_bytes())
    _write(source / "book.toml", BOOK.format(into=into.resolve()).encode())


def _links(root: Path, page: Path, pages: dict[Path, PurePosixPath], files: set[Path]):
    here = _place(root, page).parent

    def change(link: str) -> str:
        if ":" in link or link.startswith("#"):
            return link
        path, mark, anchor = link.partition("#")
        target = _target(page, path)
        if target not in pages:
            if not target.is_file():
                raise SystemExit(f"{page.relative_to(root)}: {link} is no page and no file")
            files.add(target)
        return os.path.relpath(_place(root, target), here) + mark + anchor

    return change


def _target(page: Path, link: str) -> Path:
    return Path(os.path.normpath(page.parent / link.partition("#")[0]))


def _place(root: Path, path: Path) -> PurePosixPath:
    """Where it is on the site, as mdBook's source has it."""
    inside = path.relative_to(root)
    if inside.parts[0] == "docs":
        place = PurePosixPath(*inside.parts[1:])
    else:
        place = PurePosixPath("project", *inside.parts)
    return place.with_name("index.md") if place.name == "README.md" else place


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
