"""Writes what is made in docs/, or builds the site.

python scripts/pages              writes docs/crd.md and the examples in docs/clients.md
python scripts/pages --check      fails where one of them is out of date
python scripts/pages --site DIR   builds the site with mdBook, into that directory
"""

import sys
from pathlib import Path

import clients
import crd
import site_of_pages
import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"


def made() -> dict[Path, str]:
    """The pages that are made, or partly made, and what has to be in them."""
    definition = yaml.load((ROOT / "crds" / "noetlmetrics.yaml").read_text(), yaml.CSafeLoader)
    page = DOCS / "clients.md"
    return {
        DOCS / "crd.md": crd.page(definition),
        page: clients.filled(page.read_text(), DOCS),
    }


def main(check: bool) -> int:
    texts = made().items()
    stale = [path for path, text in texts if not path.exists() or path.read_text() != text]
    for path in stale:
        if check:
            print(f"{path.relative_to(ROOT)} is out of date; run: make generate", file=sys.stderr)
        else:
            path.write_text(made()[path])
    return 1 if check and stale else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--site"]:
        sys.exit(site_of_pages.build(ROOT, Path(sys.argv[2])))
    sys.exit(main("--check" in sys.argv[1:]))
