"""The site that mdBook builds, where there is an mdBook: each link of it leads somewhere, and
nothing of it comes from elsewhere."""

import os
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from pages import ROOT, SUMMARY

TOOLS = ROOT / ".cache" / "cargo-tools" / "bin"


class Page(HTMLParser):
    """Ids, links, and what a browser fetches for a page."""

    def __init__(self, path: Path):
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        has = dict(attributes)
        if identifier := has.get("id") or (tag == "a" and has.get("name")):
            self.ids.add(identifier)
        if tag == "a" and has.get("href"):
            self.links.append(has["href"])
        for key in ("src", "href") if tag in ("script", "img", "link", "source") else ():
            if has.get(key):
                self.fetched.append(has[key])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = f"{os.environ['PATH']}:{TOOLS}"
    if not shutil.which("mdbook", path=path):
        pytest.skip("mdbook is not installed; make docs installs it")
    into = tmp_path_factory.mktemp("book") / "site"
    command = [sys.executable, ROOT / "scripts" / "pages", "--site", str(into)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, env={**os.environ, "PATH": path}
    )
    # It fails where mdBook warns.
    assert done.returncode == 0, done.stderr
    return into


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    # One page of all, for printers, has the links of each.
    return {
        path: Page(path)
        for path in site.rglob("*.html")
        if path.name not in ("print.html", "toc.html")
    }


def test_links_of_the_site_lead_somewhere(pages: dict[Path, Page]) -> None:
    wrong = []
    for path, page in pages.items():
        for link in page.links:
            target, _, anchor = unquote(link).partition("#")
            if ":" in target or path.name == "404.html":
                continue
            to = (path.parent / target).resolve() if target else path
            if not to.is_file():
                wrong.append(f"{path.name}: {link}")
            elif anchor and to in pages and anchor not in pages[to].ids:
                wrong.append(f"{path.name}: {link} (no such heading)")
    assert len(pages) > 40
    assert not wrong, "\n".join(wrong)


def test_the_site_needs_no_network(pages: dict[Path, Page]) -> None:
    for path, page in pages.items():
        foreign = [address for address in page.fetched if "//" in address]
        assert not foreign, (path.name, foreign)
        missing = [
            address
            for address in page.fetched
            if path.name != "404.html" and not (path.parent / address).is_file()
        ]
        assert not missing, (path.name, missing)


def test_the_site_has_the_summary_s_pages(site: Path, pages: dict[Path, Page]) -> None:
    listed = SUMMARY.read_text().count("](")
    # index.html is the first of them once more, and 404.html none.
    assert len(pages) >= listed
    assert (site / "index.html").is_file()
    assert "how-it-works.svg" in (site / "how-it-works.html").read_text()
