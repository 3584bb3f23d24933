"""The status page in a real browser: read and clicked through as a person would."""

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Error, Page, expect

from conftest import StartServer
from support.browser import Watch, bytes_of_first_load, check_accessibility, check_layout, chromium
from support.server import Server, histogram, metric, summary

WORKER = "worker-cpu-01"
LONG = "a-worker-whose-name-is-much-longer-than-any-telephone-is-wide-" + "x" * 120
PAGES = ["/", "/components", "/metrics-explorer", "/status"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def filled(server: Server) -> Server:
    """A server with what the pages have to cope with: history, all types, odd and long texts."""
    now = datetime.now(timezone.utc)
    for component in (WORKER, LONG, "<script>alert(1)</script>"):
        server.register(component)
        for minutes in range(10, -1, -1):
            at = (now - timedelta(minutes=minutes)).isoformat()
            server.report(
                component,
                metric("noetl_system_cpu_usage_percent", "gauge", 45.2 - minutes, timestamp=at),
                metric(
                    "jobs_total",
                    "counter",
                    1000 - minutes,
                    timestamp=at,
                    exemplars=[
                        {"labels": {"trace_id": f"{minutes:032x}", "odd": "<b>&\"'"}},
                        {"labels": {"execution_id": "4" * 18}},
                    ],
                ),
            )
        server.report(
            component,
            histogram("job_duration_seconds", {"0.1": 1, "1": 2}, 3.5, unit="seconds"),
            summary("request_size_bytes", {"0.5": 10, "0.99": 20}, 300, 40),
            metric("not_a_number", "gauge", "NaN"),
            metric("infinite", "gauge", "+Inf"),
            metric("a_name_" + "very_" * 30 + "long", "gauge", 1, help_text="word " * 100),
            metric("odd_info", "gauge", 1, labels={"path": "<b>&\"'\n" + "y" * 300}),
        )
    answer = server.http.post(
        "/api/metrics/report",
        json={"component_name": WORKER, "metrics": [metric("bad name", "gauge", 1)]},
    )
    assert answer.status_code < 500
    server.register("never-reported", "broker")
    return server


def component_page(server: Server) -> str:
    return f"/components/{server.component(WORKER)['runtime_id']}"


def charted_page(server: Server) -> str:
    """The page of a component, with the chart and the exemplars of a counter."""
    page = server.http.get(component_page(server), params={"format": "json"}).json()
    [series] = [row["series_id"] for row in page["rows"] if row["name"] == "jobs_total"]
    return f"{component_page(server)}?series={series}"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1400])
def test_pages_hold_up(filled: Server, browser: Browser, width: int, scheme: str) -> None:
    """Each page, at a telephone's and a desk's width, in both colour schemes."""
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, base_url=filled.url
    )
    page = context.new_page()
    with Watch(page):
        of_jobs = ["/metrics-explorer?name=jobs_total", charted_page(filled)]
        for path in [*PAGES, component_page(filled), *of_jobs]:
            page.goto(path, wait_until="networkidle")
            expect(page.locator("h1")).to_be_visible()
            check_layout(page)
            check_accessibility(page)
    context.close()


def click_through(page: Page, server: Server) -> None:
    page.goto("/")
    expect(page.locator("h1")).to_be_visible()

    page.locator('nav a[href="/components"]').click()
    expect(page).to_have_url(f"{server.url}/components")
    for name in (WORKER, LONG, "<script>alert(1)</script>", "never-reported"):
        expect(page.get_by_role("link", name=name, exact=True)).to_be_visible()

    page.get_by_role("link", name=WORKER, exact=True).click()
    expect(page).to_have_url(f"{server.url}{component_page(server)}")
    expect(page.locator("h1")).to_contain_text(WORKER)
    expect(page.locator("main")).to_contain_text("noetl_system_cpu_usage_percent")
    expect(page.locator("main")).to_contain_text("45.2")

    page.locator('nav a[href="/metrics-explorer"]').click()
    expect(page).to_have_url(f"{server.url}/metrics-explorer")
    page.locator('input[name="q"]').fill("jobs_total")
    page.locator('input[name="q"]').press("Enter")
    expect(page.locator("main")).to_contain_text("jobs_total")
    expect(page.locator("main")).not_to_contain_text("odd_info")

    page.locator('nav a[href="/status"]').click()
    expect(page).to_have_url(f"{server.url}/status")
    expect(page.locator("h1")).to_be_visible()

    page.locator('header a[href="/"]').first.click()
    expect(page).to_have_url(f"{server.url}/")


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_a_click_through(filled: Server, browser: Browser, scripts: bool) -> None:
    context = browser.new_context(base_url=filled.url, java_script_enabled=scripts)
    page = context.new_page()
    with Watch(page):
        click_through(page, filled)
    context.close()


def test_page_follows_new_values(filled: Server, browser: Browser) -> None:
    """What was reported meanwhile appears by itself."""
    context = browser.new_context(base_url=filled.url)
    page = context.new_page()
    with Watch(page):
        page.goto(component_page(filled))
        expect(page.locator("main")).to_contain_text("45.2")
        filled.report(WORKER, metric("noetl_system_cpu_usage_percent", "gauge", 77.125))
        expect(page.locator("main")).to_contain_text("77.1", timeout=30_000)
    context.close()


def test_a_browser_is_asked_for_the_token(
    start_server: StartServer, browser: Browser, tmp_path: Path
) -> None:
    """Where reading is closed: a password, which is the token, opens every page."""
    tokens = tmp_path / "tokens"
    tokens.write_text("open-sesame rights=read\n")
    server = start_server("--auth-token-file", str(tokens), "--auth-read", "required")
    login = {"username": "me", "password": "open-sesame"}
    context = browser.new_context(base_url=server.url, http_credentials=login)
    page = context.new_page()
    for path in PAGES:
        answer = page.goto(path)
        assert answer, path
        assert answer.status == 200, path
    context.close()
    # Without one it asks, which nobody answers here.
    context = browser.new_context(base_url=server.url)
    with pytest.raises(Error, match="INVALID_AUTH_CREDENTIALS"):
        context.new_page().goto("/")
    context.close()


def test_first_load_is_small(filled: Server, browser: Browser) -> None:
    for path in [*PAGES, component_page(filled)]:
        assert bytes_of_first_load(browser, filled.url + path) < 150_000, path


def test_pages_have_a_json_twin(filled: Server) -> None:
    for path in [*PAGES, component_page(filled)]:
        answer = filled.http.get(path, params={"format": "json"})
        assert answer.status_code == 200, path
        assert answer.headers["Content-Type"] == "application/json", path
        assert isinstance(answer.json(), dict), path


def test_pages_are_served_with_care(filled: Server) -> None:
    """A strict content policy, assets that may be kept for good, pages that may not."""
    page = filled.http.get("/")
    policy = page.headers["Content-Security-Policy"]
    assert "unsafe-inline" not in policy
    assert "unsafe-eval" not in policy
    assert "default-src" in policy
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assets = [word.split('"')[0] for word in page.text.split('"/assets/')[1:]]
    assert assets
    for asset in assets:
        answer: httpx.Response = filled.http.get(f"/assets/{asset}")
        assert answer.status_code == 200, asset
        assert "immutable" in answer.headers["Cache-Control"], asset
