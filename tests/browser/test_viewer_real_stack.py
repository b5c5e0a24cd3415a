"""The viewer through the real gateway, before the real API, log store, database and engine; only records are made up."""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import docker
import pytest

from infra.catalogue import catalogue
from infra.health import container_url
from tests.browser.support import NO_PLAYWRIGHT, VIEWPORT, eventually, row_texts, rows
from tests.e2e.conftest import StackUnderTest, made_stacks
from tests.figures import figure

expect = pytest.importorskip("playwright.sync_api", reason=NO_PLAYWRIGHT).expect

VISIBLE_MS = 15_000
"""A loaded machine, a store that shows a record after a second, and a tail that looks once a second."""

TRADED = "hourly_buy"
"""Buys a share in every new hour of the market: of daily bars, with each day."""

DENIED_WITHIN_SECONDS = 1.0
ENGINE_MS = 60_000
"""The engine starts beside the API, tries the database again every two seconds, and fills its first orders."""

LIVE_MS = 60_000
"""A tail may be refused until the API has noticed that those of the tests before are gone."""

pytestmark = [pytest.mark.docker, pytest.mark.stack]
TREE = {
    "name_prefix": "cngw-browser",
    "port_offset": 31100,
    "pipelines": {
        "logs": {"collector": "none"},
        "trading": {
            "components": ["postgresql", "trader"],
            "trader": {"strategies": [TRADED], "bars_per_second": 60, "cap_usd": 100_000},
        },
        "viewer": None,
        "metrics": {"containers": "none"},
        "gateway": None,
    },
}


@dataclass
class Stack:
    """What was deployed."""

    url: str
    user: str
    password: str
    under_test: StackUnderTest

    @property
    def store_url(self) -> str:
        """The store's own address, which changes when it is started again."""
        client = docker.from_env()
        try:
            return container_url(client, self.under_test.settings, catalogue()["victorialogs"], "http") or ""
        finally:
            client.close()

    @property
    def store_container(self) -> str:
        return self.under_test.container("victorialogs")

    def command(self, *words: str) -> str:
        """What the API's command line says, in its container."""
        command = ["docker", "exec", self.under_test.container("api"), "python3", "-m", "crowsnest.api", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

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
def make_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., StackUnderTest]]:
    yield from made_stacks(tmp_path_factory)


@pytest.fixture(scope="module")
def stack(browser: Any, make_stack: Callable[..., StackUnderTest]) -> Stack:
    under_test = make_stack("cngw-browser", TREE)
    under_test.configure()
    under_test.up()
    under_test.ansible("database")
    password = under_test.secret("api_admin_password").read_text()
    return Stack(under_test.settings.gateway_url or "", "admin", password, under_test)


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


def test_an_operator_gets_to_a_tool_and_a_stranger_to_the_sign_in_and_back(browser, page, stack, word):
    """VictoriaLogs' own pages find their scripts and their data below the gateway's path, within its policy."""
    stack.insert(f"{word} seen")
    page.goto(stack.url + "/logs")
    page.get_by_role("button", name=f"Account of {stack.user}").click()
    tools = page.locator(".menu-panel a")
    assert tools.all_inner_texts() == ["VictoriaLogs", "Prometheus", "Alertmanager"]
    tools.first.click()
    page.wait_for_url("**/victorialogs/select/vmui/**")
    # From elsewhere: a page that is open already writes its own query over the one in the address.
    page.goto("about:blank")
    page.goto(f"{stack.url}/victorialogs/select/vmui/#/?query={word}&g0.range_input=5m&g0.relative_time=last_5_minutes")
    eventually(lambda: f"{word} seen" in page.locator("body").inner_text(), VISIBLE_MS / 1000)

    stranger = browser.new_context(viewport=VIEWPORT, ignore_https_errors=True).new_page()
    stranger.goto(stack.url + "/prometheus/graph")
    assert stranger.url == f"{stack.url}/?next=/prometheus/"
    stranger.get_by_label("User name").fill(stack.user)
    stranger.get_by_label("Password").fill(stack.password)
    stranger.keyboard.press("Enter")
    stranger.wait_for_url("**/prometheus/**")
    stranger.get_by_text("Prometheus").first.wait_for()
    stranger.context.close()


def test_the_sign_in_sends_nobody_to_another_site(browser, stack):
    for elsewhere in ("//evil.example/", "https://evil.example/", "/\\evil.example/", "javascript:alert(1)"):
        context = browser.new_context(viewport=VIEWPORT, ignore_https_errors=True)
        page = context.new_page()
        page.goto(f"{stack.url}/?next={elsewhere}")
        page.get_by_label("User name").fill(stack.user)
        page.get_by_label("Password").fill(stack.password)
        page.keyboard.press("Enter")
        page.get_by_role("button", name=f"Account of {stack.user}").wait_for()
        assert page.url.startswith(f"{stack.url}/")
        context.close()


# ---- trading


def budget_card(page: Any, stack: Stack) -> Any:
    """The budget of the strategy that trades, once the engine holds it to it."""
    page.goto(f"{stack.url}/budgets")
    card = page.locator(".budget", has=page.get_by_role("heading", name=TRADED))
    expect(card).to_contain_text("In force", timeout=ENGINE_MS)
    return card


def change_cap(card: Any, dollars: str, reason: str) -> None:
    card.get_by_role("button", name="Change").click()
    form = card.get_by_role("form")
    form.get_by_label("Cap in dollars").fill(dollars)
    form.get_by_label("Reason").fill(reason)
    form.get_by_role("button", name="Change").click()


def orders(page: Any, stack: Stack, **asked: str) -> list[dict[str, Any]]:
    """The API's newest orders of the strategy, oldest first."""
    answer = page.request.get(f"{stack.url}/api/trading/orders", params={"strategy_id": TRADED, "limit": 500, **asked})
    assert answer.ok, answer.text()
    return answer.json()["rows"][::-1]


def test_a_cap_changed_in_the_ui_denies_the_next_order_within_a_second(page, stack):
    card = budget_card(page, stack)
    eventually(lambda: orders(page, stack, status="FILLED"), ENGINE_MS / 1000)
    change_cap(card, "1", "stop it")
    expect(card.get_by_role("status")).to_have_text("Changed.", timeout=VISIBLE_MS)
    eventually(lambda: orders(page, stack, status="DENIED"), VISIBLE_MS / 1000)
    page.wait_for_timeout(2_000)
    (budget,) = page.request.get(f"{stack.url}/api/budgets").json()["budgets"]
    changed = datetime.fromisoformat(budget["changed"])
    bought = [order for order in orders(page, stack, start=budget["changed"]) if order["side"] == "BUY"]
    first = next(place for place, order in enumerate(bought) if order["status"] == "DENIED")
    seconds = (datetime.fromisoformat(bought[first]["time"]) - changed).total_seconds()
    figure("a cap lowered in the viewer: to the first denied order, s", f"{seconds:.2f}")
    assert 0 < seconds <= DENIED_WITHIN_SECONDS
    assert {order["status"] for order in bought[first:]} == {"DENIED"}
    assert "cap 1.00 (version 2)" in bought[first]["reason"]
    expect(card).to_contain_text("Cap 1.00 dollars version 2", timeout=VISIBLE_MS)
    expect(card).to_contain_text(re.compile(r"Orders denied since the engine started: [1-9]"))

    page.goto(f"{stack.url}/trading/orders/{bought[first]['run_id']}/{bought[first]['client_order_id']}")
    expect(page.locator(".facts .text-ERROR")).to_contain_text("BUDGET_EXCEEDED")
    expect(page.get_by_text("It was not filled.")).to_be_visible()
    expect(page.locator(".order-records")).to_contain_text("order denied", timeout=VISIBLE_MS)
    page.goto(f"{stack.url}/audit")
    row = page.locator("tbody tr", has_text="budgets.change").first
    expect(row).to_contain_text("stop it")
    expect(row).to_contain_text(stack.user)
    assert "intact" in stack.command("audit", "verify")


def test_two_operators_at_one_budget(browser, page, stack):
    """One gets a clear conflict, and takes the other's raise back up."""
    password = re.search(r"berta: (\S+)", stack.command("users", "add", "berta", "--role", "operator"))[1]
    context = browser.new_context(viewport=VIEWPORT, ignore_https_errors=True)
    berta = context.new_page()
    berta.set_default_timeout(VISIBLE_MS)
    berta.goto(stack.url + "/budgets")
    berta.get_by_label("User name").fill("berta")
    berta.get_by_label("Password").fill(password)
    berta.keyboard.press("Enter")
    berta.get_by_role("button", name="Account of berta").wait_for()
    mine, theirs = budget_card(page, stack), budget_card(berta, stack)
    mine.get_by_role("button", name="Change").click()
    form = mine.get_by_role("form")
    change_cap(theirs, "0.50", "not even that")
    expect(form).to_contain_text("berta has changed it meanwhile to 0.50 (less).", timeout=VISIBLE_MS)
    form.get_by_label("Cap in dollars").fill("0.75")
    form.get_by_label("Reason").fill("a little less")
    form.get_by_role("button", name="Change").click()
    expect(form.get_by_role("alert")).to_contain_text("changed by berta (not even that)")
    form.get_by_role("button", name="Cancel").click()

    change_cap(mine, "90000", "it may trade again")
    expect(mine.get_by_role("status")).to_have_text("It is a raise: it waits for another operator.")
    raised = berta.get_by_role("group", name=f"Raise of {TRADED}")
    expect(raised).to_contain_text(f"{stack.user} asks for 90,000.00 dollars: it may trade again", timeout=VISIBLE_MS)
    raised.get_by_role("button", name="Confirm").click()
    expect(mine).to_contain_text("Cap 90,000.00 dollars", timeout=VISIBLE_MS)
    expect(mine).to_contain_text("In force", timeout=VISIBLE_MS)
    context.close()
