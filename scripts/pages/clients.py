"""docs/clients.md: each example is a file, which the page shows as it is.

A comment `<!-- from FILE -->` stands before the block of code that shows the file, on a line of
its own.
"""

import re
from pathlib import Path

LANGUAGES = {
    ".py": "python",
    ".rs": "rust",
    ".go": "go",
    ".sh": "sh",
    ".yaml": "yaml",
}
SHOWN = re.compile(r"(<!-- from (\S+) -->\n)(```\w+\n.*?^```\n)?", re.MULTILINE | re.DOTALL)


def filled(page: str, folder: Path) -> str:
    """The page with what the files hold now."""

    def block(found: re.Match) -> str:
        path = folder / found[2]
        return f"{found[1]}```{LANGUAGES[path.suffix]}\n{path.read_text()}```\n"

    return SHOWN.sub(block, page)
