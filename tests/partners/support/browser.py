"""A real Chromium, and a watch over what a page does wrong in it."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from support.process import ROOT, TOOLS

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`CSP: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`));
"""


def executable() -> str | None:
    """$CHROMIUM, or the distribution's; else `None`, for the one playwright fetched itself."""
    for path in (os.environ.get("CHROMIUM"), "/usr/bin/chromium"):
        if path and Path(path).exists():
            return path
    return None


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A headless browser for the length of a `with`."""
    absent = TOOLS / "absent" / "chromium"
    if executable() is None and absent.exists() and "CI" not in os.environ:
        pytest.skip(f"Chromium: {absent.read_text().strip()}")
    os.environ.setdefault("PLAYWRIGHT_BROWSERS_PATH", str(ROOT / ".cache" / "browsers"))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


class Watch:
    """Collects what a page does wrong during a `with`; at its end there must be nothing."""

    def __init__(self, page: Page):
        self.faults: list[str] = []
        page.add_init_script(VIOLATIONS)
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.faults.append(f"exception: {error}"))
        page.on("requestfailed", self._on_failure)
        page.on("response", self._on_response)

    def _on_console(self, message) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(f"console: {message.text} ({message.location})")

    def _on_failure(self, request) -> None:
        # A request that a click on a link cut short is no fault.
        if request.failure != "net::ERR_ABORTED":
            self.faults.append(f"failed: {request.url} {request.failure}")

    def _on_response(self, response) -> None:
        if response.status >= 400:
            self.faults.append(f"{response.status}: {response.url}")

    def __enter__(self) -> "Watch":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if error is None:
            assert not self.faults, self.faults


def check_layout(page: Page) -> None:
    """Nothing is wider than the window."""
    wide, window = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert wide <= window, f"{page.url} is {wide} wide in a window of {window}"


def check_accessibility(page: Page) -> None:
    """axe has no complaint."""
    results = Axe().run(page)
    assert results.violations_count == 0, f"{page.url}\n{results.generate_report()}"


def bytes_of_first_load(browser: Browser, url: str) -> int:
    """Bytes over the wire until a page with nothing in the cache is quiet."""
    context = browser.new_context()
    try:
        page = context.new_page()
        session = context.new_cdp_session(page)
        loaded: list[float] = []
        session.on(
            "Network.loadingFinished", lambda event: loaded.append(event["encodedDataLength"])
        )
        session.send("Network.enable")
        page.goto(url, wait_until="networkidle")
        return int(sum(loaded))
    finally:
        context.close()
