"""What this project's pages need of Markdown: links, headings, and blocks of code."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

FENCE = re.compile(r"^( *)(```+)(\w*)\s*$")
LINK = re.compile(r"(\[(?:[^\[\]]|\[[^\[\]]*\])*\]\()([^)\s]+)(\))")
HEADING = re.compile(r"^(#{1,6}) +(.*?) *#*$")


@dataclass(frozen=True)
class Block:
    """A block of code: its language, its text without what indents it, and its first line."""

    language: str
    text: str
    line: int


def blocks(text: str) -> list[Block]:
    """All blocks of code."""
    return [part for part in _parts(text) if isinstance(part, Block)]


def links(text: str) -> Iterator[str]:
    """Where links and pictures lead to."""
    for line in prose(text):
        yield from (found[2] for found in LINK.finditer(line))


def prose(text: str) -> list[str]:
    """Its lines without those of blocks of code."""
    return [part for part in _parts(text) if isinstance(part, str)]


def relinked(text: str, change: Callable[[str], str]) -> str:
    """The text with other links."""
    lines, inside = [], False
    for line in text.split("\n"):
        inside ^= bool(FENCE.match(line)) or line.lstrip().startswith("```")
        if not inside:
            line = LINK.sub(lambda found: found[1] + change(found[2]) + found[3], line)
        lines.append(line)
    return "\n".join(lines)


def anchors(text: str) -> set[str]:
    """What links can name of a page: its headings, in the form that GitHub and mdBook agree on."""
    found: set[str] = set()
    for line in prose(text):
        if heading := HEADING.match(line):
            anchor = _anchor(heading[2])
            number = 0
            while (numbered := anchor + (f"-{number}" if number else "")) in found:
                number += 1
            found.add(numbered)
    return found


def _anchor(heading: str) -> str:
    plain = LINK.sub(lambda link: link[1][1:-2], heading).replace("`", "")
    return re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")


def _parts(text: str) -> Iterator[Block | str]:
    begin: re.Match | None = None
    held: list[str] = []
    first = 0
    for number, line in enumerate(text.split("\n"), 1):
        fence = FENCE.match(line)
        if begin is None and fence:
            begin, held, first = fence, [], number + 1
        elif begin is not None and fence and fence[2] == begin[2] and not fence[3]:
            yield Block(begin[3], "".join(f"{one}\n" for one in held), first)
            begin = None
        elif begin is not None:
            held.append(line.removeprefix(begin[1]))
        else:
            yield line
    if begin is not None:
        raise ValueError(f"the block of code at line {first} has no end")
