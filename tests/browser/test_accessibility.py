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


def book(page: Any) -> None:
    page.locator("tbody tr").first.wait_for()


def story(page: Any) -> None:
    """The newest order that was filled."""
    page.locator("tbody tr", has_text="FILLED").first.get_by_role("link").last.click()
    page.locator(".order-records li").first.wait_for()


def budgets(page: Any) -> None:
    page.locator(".budget").nth(3).wait_for()


def change_budget(page: Any, strategy: str, dollars: str) -> Any:
    """Fill in and send the form of a budget; the budget."""
    card = page.locator(".budget", has=page.get_by_role("heading", name=strategy))
    card.get_by_role("button", name="Change").click()
    card.get_by_label("Cap in dollars").fill(dollars)
    card.get_by_label("Reason").fill("a quiet week")
    card.get_by_role("button", name="Change").click()
    return card


def budget_history(page: Any) -> None:
    change_budget(page, "ema_cross", "200000").get_by_text("In force").wait_for()
    page.get_by_role("button", name="History").first.click()
    page.locator(".history li").first.wait_for()


def budget_raise(page: Any) -> None:
    card = change_budget(page, "ema_cross", "300000")
    card.get_by_role("button", name="Confirm").click()
    card.get_by_role("alert").wait_for()


def budget_conflict(page: Any) -> None:
    budgets(page)
    page.get_by_role("button", name="Change").first.click()
    page.evaluate(
        """async () => {
          const { csrf_token } = await (await fetch('/api/auth/me')).json();
          const headers = { 'X-CSRF-Token': csrf_token, 'Content-Type': 'application/json' };
          const body = JSON.stringify({ cap_usd: '9000', version: 1, reason: 'from another window' });
          await fetch('/api/budgets/ema_cross', { method: 'PUT', headers, body });
        }"""
    )
    page.get_by_text("has changed it meanwhile").wait_for()
    form = page.get_by_role("form")
    form.get_by_label("Reason").fill("a quiet week")
    form.get_by_role("button", name="Change").click()
    form.get_by_role("alert").wait_for()


def restart_refused(page: Any) -> None:
    page.get_by_role("button", name="Restart redis").click()
    page.get_by_label("Reason").fill("it is unhealthy")
    page.keyboard.press("Enter")
    page.get_by_role("alert").wait_for()


def loading(page: Any) -> None:
    page.get_by_text("Loading …").wait_for()


AWAY = {"desk": {"database": "away", "docker": "away"}}
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
    "positions": ("/trading/positions", {}, book),
    "orders": ("/trading/orders?strategy_id=ema_cross", {}, book),
    "fills": ("/trading/fills", {}, book),
    "signals": ("/trading/signals", {}, book),
    "order": ("/trading/orders", {}, story),
    "no such order": ("/trading/orders/none/none", {}, failed),
    "orders empty": ("/trading/orders", {"desk": {"database": "empty"}}, lambda page: page.get_by_text("No orders").wait_for()),
    "orders loading": ("/trading/orders", {"desk": {"database": "slow"}}, loading),
    "orders failed": ("/trading/orders", AWAY, failed),
    "budgets": ("/budgets", {}, budgets),
    "budgets of a viewer": ("/budgets", {"user": "vik"}, lambda page: page.locator(".budget").wait_for()),
    "budgets without the engine": ("/budgets", {"desk": {"silent_seconds": 125}}, budgets),
    "budget history": ("/budgets", {}, budget_history),
    "budget raise": ("/budgets", {}, budget_raise),
    "budget conflict": ("/budgets", {}, budget_conflict),
    "budgets failed": ("/budgets", AWAY, failed),
    "services": ("/services", {}, book),
    "services restart refused": ("/services", {}, restart_refused),
    "services failed": ("/services", AWAY, failed),
    "services not in this stack": ("/services", {"desk": {"docker": "none"}}, failed),
    "audit": ("/audit", {}, book),
    "audit of a viewer": ("/audit", {"user": "vik"}, failed),
    "no such page": ("/nowhere", {}, lambda page: page.get_by_role("heading", name="no such page").wait_for()),
}


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("state", STATES)
def test_axe_finds_nothing(open_page, site, state, theme):
    path, options, reach = STATES[state]
    site.control(mode=options.get("mode", "ok"), desk=options.get("desk", {}))
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
