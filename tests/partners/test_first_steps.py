"""The commands of the README's example and of the first steps, run as they are shown."""

import json
import re
import subprocess

import pytest

from support.process import ROOT, clean_environment
from support.server import Server

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def shown(page: str) -> tuple[str, list[str]]:
    """The block of a page that reports, and the blocks of text that follow it."""
    blocks = BLOCK.findall((ROOT / page).read_text())
    at = next(number for number, (_, text) in enumerate(blocks) if "/api/metrics/report" in text)
    return blocks[at][1], [text for language, text in blocks[at + 1 :] if language == "text"]


@pytest.mark.parametrize("page", ["README.md", "docs/get-started.md"])
def test_the_example_does_what_the_page_says(server: Server, page: str) -> None:
    commands, said = shown(page)
    assert "api=http://127.0.0.1:8082\n" in commands
    commands = commands.replace("http://127.0.0.1:8082", server.url)
    done = subprocess.run(
        ["bash", "-euc", commands.replace("curl ", "curl --silent --fail-with-body ")],
        capture_output=True,
        text=True,
        timeout=60,
        env=clean_environment(),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    decoder = json.JSONDecoder()
    registered, end = decoder.raw_decode(done.stdout)
    reported, _ = decoder.raw_decode(done.stdout[end:].lstrip())
    assert int(registered["runtime_id"]) > 0
    assert reported["metrics_inserted"] == 1
    [row] = server.rows(component_name="my-worker", metric_name="jobs_processed_total")
    assert row["metric_value"] == 150
    # What the last command prints, where the page shows it.
    assert page != "README.md" or said
    for text in said[:1]:
        assert text in done.stdout
