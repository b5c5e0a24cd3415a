"""A real Chromium before the built viewer, which is served by the fake API under the gateway's headers.

Needs `make web-build`, the Python package playwright, and a Chromium of the system (Playwright's own is not used).
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="the viewer in a browser: playwright is not installed")

FOLDER = Path(__file__).parent
PROJECT_ROOT = FOLDER.parents[1]
DIST = PROJECT_ROOT / "web" / "dist"
AXE = PROJECT_ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
CHROMIUM = os.environ.get("CROWSNEST_CHROMIUM") or shutil.which("chromium")
VIEWPORT = {"width": 1440, "height": 900}
PATIENCE_MS = 8_000


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", int(os.environ.get("CROWSNEST_BROWSER_PORT", "0"))))
        return sock.getsockname()[1]


class Site:
    """The fake API as a process of its own, which can be stopped and started again at the same address."""

    def __init__(self, records: int) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._records = records
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        command = [sys.executable, str(FOLDER / "fake_api.py"), "--port", str(self.port), "--records", str(self._records)]
        self._process = subprocess.Popen([*command, "--rate", "0"], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert "fake API" in line, f"the fake API did not start: {line!r}"

    def stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait(timeout=10)
            self._process = None

    @property
    def running(self) -> bool:
        return self._process is not None

    def control(self, **changes: object) -> None:
        """Set the fake's `rate`, `mode`, `tail`, `skip`, or add a `burst` of records."""
        request = urllib.request.Request(f"{self.url}/__control", json.dumps(changes).encode(), method="POST")
        urllib.request.urlopen(request, timeout=10).read()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
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
def site(served: Site) -> Iterator[Site]:
    """The site as after its start: nothing arrives, nothing fails."""
    if not served.running:
        served.start()
    served.control(rate=0, mode="ok", tail="ok", skip=0, wrong_passwords=0, views={})
    yield served


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


def rows(page: Any) -> Any:
    return page.locator(".list-body [role=row]")


def row_texts(page: Any, count: int = 15) -> list[str]:
    """Texts of the topmost rows once there are any."""
    rows(page).first.wait_for()
    return rows(page).all_inner_texts()[:count]


def eventually(what: Callable[[], Any], seconds: float = PATIENCE_MS / 1000) -> Any:
    """The first true value of `what`, which is looked at until then."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if value := what():
            return value
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")
