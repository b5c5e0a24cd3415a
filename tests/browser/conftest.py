"""A real Chromium before the built viewer, which is served by the fake API under the gateway's headers.

Needs `make web-build`, the Python package playwright, and a Chromium of the system (Playwright's own is not used).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.browser.support import CHROMIUM, DIST, NO_PLAYWRIGHT, PATIENCE_MS, VIEWPORT, Site, row_texts


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason=NO_PLAYWRIGHT)
    if not CHROMIUM:
        pytest.skip("the viewer in a browser: no Chromium on this machine (Debian: chromium)")
    with sync_api.sync_playwright() as playwright:
        # The sandbox needs user namespaces, which containers and root sessions often lack; only our own pages are opened.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def served() -> Iterator[Site]:
    if not (DIST / "index.html").is_file():
        pytest.fail("the viewer is not built: run `make web-build`")
    site = Site(records=100_000)
    site.start()
    yield site
    site.stop()


@pytest.fixture
def site(served: Site) -> Site:
    """The site as after its start: nothing arrives, nothing fails, nobody has changed anything."""
    if not served.running:
        served.start()
    served.control(rate=0, mode="ok", tail="ok", skip=0, wrong_passwords=0, views={}, desk={})
    return served


@pytest.fixture
def open_page(browser: Any, site: Site) -> Iterator[Callable[..., Any]]:
    """Open a page as a logged-in user; any script error or breach of the Content-Security-Policy fails the test."""
    contexts: list[Any] = []
    troubles: list[str] = []

    def opened(path: str = "/logs", user: str | None = "anna", theme: str = "dark", **options: Any) -> Any:
        context = browser.new_context(viewport=VIEWPORT, color_scheme=theme, timezone_id="Europe/Zurich", **options)
        contexts.append(context)
        context.grant_permissions(["clipboard-read", "clipboard-write"], origin=site.url)
        context.set_default_timeout(PATIENCE_MS)
        if user:
            context.add_cookies([{"name": "crowsnest_session", "value": f"fake-{user}", "url": site.url}])
        page = context.new_page()
        page.on("pageerror", lambda error: troubles.append(f"script error: {error}"))
        page.on("console", lambda message: troubles.append(message.text) if "Content Security" in message.text else None)
        page.goto(site.url + path)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not troubles, troubles


@pytest.fixture
def page(open_page: Callable[..., Any]) -> Any:
    """The global log page of an operator, with its first records."""
    page = open_page()
    row_texts(page)
    return page
