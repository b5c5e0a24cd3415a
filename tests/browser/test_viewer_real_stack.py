"""The viewer before the real gateway, API and log store, where nothing is made up but the records.

Runs where `CROWSNEST_VIEWER_URL` names a deployed viewer; `_USER` and `_PASSWORD_FILE` say who logs in, `_STORE_URL` where
VictoriaLogs takes records, `_STORE_CONTAINER` what is stopped and started again.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.browser.support import NO_PLAYWRIGHT, VIEWPORT, eventually, row_texts, rows

expect = pytest.importorskip("playwright.sync_api", reason=NO_PLAYWRIGHT).expect

PREFIX = "CROWSNEST_VIEWER_"
VISIBLE_MS = 15_000
"""A loaded machine, a store that shows a record after a second, and a tail that looks once a second."""

LIVE_MS = 60_000
"""A tail may be refused until the API has noticed that those of the tests before are gone."""

pytestmark = pytest.mark.skipif(PREFIX + "URL" not in os.environ, reason=f"the viewer on a real stack: {PREFIX}URL is not set")


@dataclass
class Stack:
    """What was deployed."""

    url: str
    user: str
    password: str
    store_url: str
    store_container: str

    def insert(self, *texts: str, strategy: str = "ema_cross", level: str = "INFO") -> None:
        """Put records of a strategy into the store, a microsecond apart."""
        now_ns = time.time_ns()
        lines = [
            json.dumps(
                {
                    "_time": str(now_ns + index * 1000),
                    "_msg": text,
                    "level": level,
                    "source": "strategy",
                    "strategy_id": strategy,
                    "component": "BrowserTest",
                }
            )
            for index, text in enumerate(texts)
        ]
        request = urllib.request.Request(
            f"{self.store_url}/insert/jsonline?_stream_fields=strategy_id,source,level",
            "\n".join(lines).encode(),
            {"Content-Type": "application/stream+json"},
        )
        urllib.request.urlopen(request, timeout=10).read()


@pytest.fixture(scope="module")
def stack() -> Stack:
    def setting(name: str) -> str:
        return os.environ[PREFIX + name]

    password = Path(setting("PASSWORD_FILE")).read_text().strip()
    return Stack(setting("URL"), setting("USER"), password, setting("STORE_URL"), setting("STORE_CONTAINER"))


@pytest.fixture(scope="module")
def state(browser: Any, stack: Stack) -> dict[str, Any]:
    """Cookies of a session that began at the login page: logging in is throttled, so once is enough."""
    context = browser.new_context(viewport=VIEWPORT, ignore_https_errors=True)
    page = context.new_page()
    page.goto(stack.url + "/logs")
    page.get_by_label("User name").fill(stack.user)
    page.get_by_label("Password").fill(stack.password)
    page.keyboard.press("Enter")
    page.get_by_role("button", name=f"Account of {stack.user}").wait_for()
    kept = context.storage_state()
    context.close()
    return kept


@pytest.fixture
def page(browser: Any, stack: Stack, state: dict[str, Any]) -> Iterator[Any]:
    context = browser.new_context(viewport=VIEWPORT, ignore_https_errors=True, storage_state=state)
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=stack.url)
    context.set_default_timeout(VISIBLE_MS)
    page = context.new_page()
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("console", lambda message: troubles.append(message.text) if "Content Security" in message.text else None)
    yield page
    context.close()
    assert not troubles, troubles


@pytest.fixture
def word() -> str:
    """A word that only this test's records have."""
    return f"w{uuid.uuid4().hex[:12]}"


def shown(page: Any, stack: Stack, word: str, count: int, path: str = "/logs") -> None:
    """Open the records with a word, as soon as the store shows them all."""
    page.goto(f"{stack.url}{path}?q={word}")
    rows(page).nth(count - 1).wait_for()


def test_records_are_found_and_arrive_while_looking(page, stack, word):
    stack.insert(*(f"{word} before {index}" for index in range(3)))
    shown(page, stack, word, 3)
    page.locator(".live-streaming").wait_for(timeout=LIVE_MS)
    stack.insert(f"{word} after")
    eventually(lambda: f"{word} after" in row_texts(page)[0], VISIBLE_MS / 1000)
    stack.insert("something else")
    stack.insert(f"{word} last")
    eventually(lambda: f"{word} last" in row_texts(page)[0], VISIBLE_MS / 1000)
    assert rows(page).count() == 5


def test_a_brush_narrows_the_range(page, stack, word):
    stack.insert(word)
    shown(page, stack, word, 1)
    page.locator(".bar").first.wait_for()
    box = page.locator("[aria-roledescription=histogram]").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + 30, steps=4)
    page.mouse.up()
    page.wait_for_url("**start=*end=*")
    expect(page.get_by_role("heading", name="No records match")).to_be_visible()


def test_context_shows_what_happened_around_a_record(page, stack, word):
    strategy = f"browser_{word}"
    stack.insert("one", "two", strategy=strategy)
    stack.insert(f"{word} broke", level="ERROR", strategy=strategy)
    stack.insert("three", strategy=strategy)
    shown(page, stack, word, 1)
    rows(page).first.click()
    page.get_by_role("tab", name="Context").click()
    messages = page.locator(".context-message")
    eventually(lambda: messages.all_inner_texts() == ["one", "two", f"{word} broke", "three"], VISIBLE_MS / 1000)
    page.get_by_label("Only the same level").check()
    eventually(lambda: messages.all_inner_texts() == [f"{word} broke"])


def test_a_link_shows_the_same_records_later(page, stack, word):
    stack.insert(*(f"{word} {index}" for index in range(20)))
    shown(page, stack, word, 20)
    before = row_texts(page, 20)
    page.keyboard.press("y")
    page.get_by_role("status").filter(has_text="Link copied").wait_for()
    link = page.evaluate("navigator.clipboard.readText()")
    stack.insert(*(f"{word} later {index}" for index in range(5)))
    page.wait_for_timeout(2_000)
    page.goto(link)
    assert row_texts(page, 40) == before
    page.reload()
    assert row_texts(page, 40) == before


def test_the_scope_of_a_strategy_cannot_be_left(page, stack, word):
    stack.insert(f"{word} mine", strategy="ema_cross")
    stack.insert(f"{word} theirs", strategy="mean_reversion")
    asked: list[dict[str, list[str]]] = []
    page.on("request", lambda one: "/api/logs/" in one.url and asked.append(parse_qs(urlsplit(one.url).query)))
    shown(page, stack, f"{word}+or+strategy_id:mean_reversion", 1, "/strategies/ema_cross")
    page.wait_for_timeout(2_000)
    assert "theirs" not in page.locator(".list").inner_text()
    assert {text for one in asked for text in one.get("strategy_id", [])} == {"ema_cross"}


def test_a_store_that_stops_and_comes_back(page, stack, word):
    stack.insert(word)
    shown(page, stack, word, 1)
    page.locator(".live-streaming").wait_for(timeout=LIVE_MS)
    subprocess.run(["docker", "stop", stack.store_container], check=True, capture_output=True, timeout=60)
    try:
        page.keyboard.press("r")
        alert = page.get_by_role("alert")
        expect(alert).to_be_visible(timeout=30_000)
        expect(alert).to_contain_text("does not answer")
        assert word in row_texts(page)[0], "what was on the screen stays"
    finally:
        subprocess.run(["docker", "start", stack.store_container], check=True, capture_output=True, timeout=60)
    expect(alert).to_have_count(0, timeout=60_000)

    def arrives() -> bool:
        try:
            stack.insert(f"{word} back")
        except OSError:
            return False
        page.wait_for_timeout(2_000)
        return f"{word} back" in row_texts(page)[0]

    eventually(arrives, 90)
