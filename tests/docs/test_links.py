"""Every link leads somewhere, and every page can be found."""

import re
from pathlib import Path

import pytest

import markdown
import site_of_pages
from pages import DOCS, PAGES, ROOT, SUMMARY, name


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_to_a_file_and_a_heading(page: Path) -> None:
    wrong = []
    for link in markdown.links(page.read_text()):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.is_file():
            wrong.append(f"{link}: there is no such file")
        elif anchor and anchor not in markdown.anchors(target.read_text()):
            wrong.append(f"{link}: {name(target)} has no such heading")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("folder", ["src", "charts", "scripts", "tests", "e2e", "migrations"])
def test_pages_that_code_names_are_there(folder: str) -> None:
    """Code, the chart and messages name pages by their path in the repository."""
    wrong = []
    for path in (ROOT / folder).rglob("*"):
        if path.suffix not in (".rs", ".py", ".sh", ".yaml", ".tpl", ".txt", ".sql", ".json"):
            continue
        for found in re.finditer(r"docs/([\w/.-]+\.md)(?:#([\w-]+))?", path.read_text()):
            page = DOCS / found[1]
            # Names that are put together (`docs/runbooks/{}.md`) have no letter there.
            if not page.is_file():
                wrong.append(f"{name(path)}: {found[0]}")
            elif found[2] and found[2] not in markdown.anchors(page.read_text()):
                wrong.append(f"{name(path)}: {found[0]} (no such heading)")
    assert not wrong, "\n".join(wrong)


def test_every_page_is_in_the_summary() -> None:
    listed = site_of_pages.listed(ROOT)
    assert len(listed) == len(set(listed)), "a page is listed twice"
    unlisted = {name(page) for page in PAGES} - {name(page) for page in listed} - {name(SUMMARY)}
    assert unlisted == set()


def test_the_index_names_what_the_summary_lists() -> None:
    index = DOCS / "README.md"
    named = {
        (DOCS / link).resolve() for link in markdown.links(index.read_text()) if ":" not in link
    }
    of_docs = {page for page in site_of_pages.listed(ROOT) if page.parent == DOCS and page != index}
    assert {name(page) for page in of_docs - named} == set()


def test_pages_begin_with_a_heading_and_have_one_of_its_level() -> None:
    for page in PAGES:
        lines = markdown.prose(page.read_text())
        assert lines[0].startswith("# "), name(page)
        assert sum(line.startswith("# ") for line in lines) == 1 or page == SUMMARY, name(page)
