"""axe finds nothing on any page and state, in both themes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.support import AXE, row_texts, rows


def first_rows(page: Any) -> None:
    row_texts(page)
    page.locator(".bar").first.wait_for()
    page.locator(".facet-value").first.wait_for()


def record(page: Any) -> None:
    first_rows(page)
    rows(page).first.click()
    page.locator(".record-message").wait_for()


def context(page: Any) -> None:
    record(page)
    page.get_by_role("tab", name="Context").click()
    page.locator(".context-row").first.wait_for()


def help_sheet(page: Any) -> None:
    first_rows(page)
    page.keyboard.press("?")
    page.get_by_role("dialog").wait_for()


def menu(name: str) -> Any:
    def opened(page: Any) -> None:
        first_rows(page)
        page.get_by_role("button", name=name).click()
        page.locator(".menu-panel").wait_for()

    return opened


def wrong_password(page: Any) -> None:
    page.get_by_label("User name").fill("anna")
    page.get_by_label("Password").fill("wrong")
    page.keyboard.press("Enter")
    page.get_by_role("alert").get_by_text("wrong").wait_for()


def failed(page: Any) -> None:
    page.get_by_role("button", name="Try now").wait_for()


def empty(page: Any) -> None:
    page.get_by_text("No records match").wait_for()


def active(page: Any) -> None:
    first_rows(page)
    page.keyboard.press("j")
    page.keyboard.press("y")
    page.locator(".toast").wait_for()


def strategies(page: Any) -> None:
    page.get_by_role("link", name="ema_cross").wait_for()


STATES: dict[str, tuple[str, dict[str, Any], Any]] = {
    "login": ("/", {"user": None}, lambda page: page.get_by_label("User name").wait_for()),
    "login refused": ("/", {"user": None}, wrong_password),
    "logs": ("/logs", {}, first_rows),
    "logs of many levels and columns": (
        "/logs?q=rejected+or+reset+or+kill+or+late&columns=strategy_id,order_id,price,quantity&f=!level:%3DDEBUG&live=0",
        {},
        first_rows,
    ),
    "record": ("/logs?q=reset&live=0", {}, record),
    "context": ("/logs?q=filled&live=0", {}, context),
    "active row and link": ("/logs?live=0", {}, active),
    "help": ("/logs?live=0", {}, help_sheet),
    "range menu": ("/logs?live=0", {}, menu("Range:")),
    "views menu": ("/logs?live=0", {}, menu("Saved views")),
    "columns menu": ("/logs?live=0", {}, menu("Columns")),
    "download menu": ("/logs?live=0", {}, menu("Download")),
    "empty": ("/logs?q=unheard_of", {}, empty),
    "failed": ("/logs", {"mode": "unavailable"}, failed),
    "strategies": ("/strategies", {}, strategies),
    "strategy": ("/strategies/ema_cross", {}, first_rows),
    "no such page": ("/nowhere", {}, lambda page: page.get_by_role("heading", name="no such page").wait_for()),
}


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("state", STATES)
def test_axe_finds_nothing(open_page, site, state, theme):
    path, options, reach = STATES[state]
    if "mode" in options:
        site.control(mode=options["mode"])
    # axe is injected past the policy; what the policy allows is tested by every other test.
    page = open_page(path, user=options.get("user", "anna"), theme=theme, bypass_csp=True)
    reach(page)
    page.add_script_tag(path=str(AXE))
    found = page.evaluate("() => axe.run(document, { resultTypes: ['violations'] })")
    told = [
        f"{one['id']} ({one['impact']}): {node['target']} {node['failureSummary']}"
        for one in found["violations"]
        for node in one["nodes"][:3]
    ]
    assert not told, "\n".join(told)
    assert len(found["passes"]) > 5, "axe looked at something"
