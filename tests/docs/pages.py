"""The documentation's pages, and what is in them."""

import re
from dataclasses import dataclass
from pathlib import Path

import markdown

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
SUMMARY = DOCS / "SUMMARY.md"
OUTSIDE = [
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "e2e/README.md",
    "charts/noetl-metrics/README.md",
]
PAGES = sorted([*DOCS.rglob("*.md"), *(ROOT / name for name in OUTSIDE)])


@dataclass(frozen=True)
class Found:
    """A block of code and where it is."""

    where: str
    block: markdown.Block


def name(page: Path) -> str:
    """A page's path in the repository."""
    return str(page.relative_to(ROOT))


def blocks(*languages: str) -> list[Found]:
    """All blocks of code of these languages."""
    return [
        Found(f"{name(page)}:{block.line}", block)
        for page in PAGES
        for block in markdown.blocks(page.read_text())
        if block.language in languages
    ]


def spoken(page: Path) -> list[str]:
    """What stands between backticks in its prose."""
    return re.findall(r"`([^`]+)`", "\n".join(markdown.prose(page.read_text())))
