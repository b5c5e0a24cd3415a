"""What the tests of the viewer share: the site they look at, and how to read the list."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

FOLDER = Path(__file__).parent
PROJECT_ROOT = FOLDER.parents[1]
DIST = PROJECT_ROOT / "web" / "dist"
AXE = PROJECT_ROOT / "web" / "node_modules" / "axe-core" / "axe.min.js"
CHROMIUM = os.environ.get("CROWSNEST_CHROMIUM") or shutil.which("chromium")
NO_PLAYWRIGHT = "the viewer in a browser: playwright is not installed"
VIEWPORT = {"width": 1440, "height": 900}
PATIENCE_MS = 8_000


def free_port() -> int:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
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
            self._process.communicate(timeout=10)
            self._process = None

    @property
    def running(self) -> bool:
        return self._process is not None

    def control(self, **changes: object) -> None:
        """Set the fake's `rate`, `mode`, `tail`, `skip`, `database`, `docker`; add a `burst` of records; begin a new `desk`."""
        request = urllib.request.Request(f"{self.url}/__control", json.dumps(changes).encode(), method="POST")
        urllib.request.urlopen(request, timeout=10).read()


def rows(page: Any) -> Any:
    """Rows in the page; those that tell of a loss stand in every list, whatever is searched for."""
    return page.locator(".list-body [role=row]:not(.row-lost)")


def row_texts(page: Any, count: int = 15) -> list[str]:
    """Texts of the topmost rows once there are any."""
    rows(page).first.wait_for()
    return rows(page).all_inner_texts()[:count]


def requests_to(page: Any, path: str = "/api/logs/") -> list[dict[str, list[str]]]:
    """Parameters of each request to the API that the page makes from now on."""
    seen: list[dict[str, list[str]]] = []
    page.on("request", lambda one: path in one.url and seen.append(parse_qs(urlsplit(one.url).query)))
    return seen


def focused(page: Any) -> str:
    """Tag, role and name of what has the focus."""
    return page.evaluate(
        """() => {
          const at = document.activeElement;
          return [at.tagName, at.role, at.getAttribute('aria-label') ?? at.textContent.slice(0, 40)].join('|');
        }"""
    )


def eventually(what: Callable[[], Any], seconds: float = PATIENCE_MS / 1000) -> Any:
    """The first true value of `what`, which is looked at until then."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if value := what():
            return value
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")
