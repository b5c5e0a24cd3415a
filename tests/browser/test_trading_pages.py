"""What a person does with the pages of trading, budgets, services and the audit log, in a real browser."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.browser.support import NO_PLAYWRIGHT, eventually, focused, requests_to, rows

expect = pytest.importorskip("playwright.sync_api", reason=NO_PLAYWRIGHT).expect

PAGE_ROWS = 100
MINUS = "\N{MINUS SIGN}"
RECOVERY_MS = 20_000
"""The fake has to make its records anew when it starts."""

COLUMN = """([name, what]) => {
  const table = document.querySelector('main table');
  const at = [...table.querySelectorAll('thead th')].findIndex((head) => head.textContent === name);
  return [...table.tBodies[0].rows].map((row) => {
    const inner = row.cells[at].querySelector(what || ':scope');
    return what === 'time' ? inner.dateTime : row.cells[at].textContent;
  });
}"""


def column(page: Any, name: str, what: str = "") -> list[str]:
    """Texts of a column of the page's first table, once it has rows; of a column of times, these as they came."""
    page.locator("tbody tr").first.wait_for()
    return page.evaluate(COLUMN, [name, what])


def choice(page: Any, name: str) -> Any:
    """What a book is narrowed by."""
    return page.get_by_role("combobox", name=name, exact=True)


def card(page: Any, strategy: str) -> Any:
    """One budget."""
    return page.locator(".budget", has=page.get_by_role("heading", name=strategy))


def open_form(page: Any, strategy: str) -> Any:
    """The form that changes a budget."""
    card(page, strategy).get_by_role("button", name="Change").click()
    return page.get_by_role("form", name=f"Change the budget of {strategy}")


def fill(form: Any, dollars: str, reason: str) -> None:
    form.get_by_label("Cap in dollars").fill(dollars)
    form.get_by_label("Reason").fill(reason)


def send(form: Any, dollars: str, reason: str = "a quiet week") -> None:
    fill(form, dollars, reason)
    form.get_by_role("button", name="Change").click()


def tab_until(page: Any, wanted: str, most: int = 60) -> None:
    """Press Tab until what has the focus is called so."""
    for _ in range(most):
        if focused(page).endswith(f"|{wanted}"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not reach {wanted}")


# ---- orders, positions, fills, signals


def test_orders_come_newest_first_a_page_at_a_time(open_page):
    page = open_page("/trading/orders")
    seen = requests_to(page, "/api/trading/orders")
    assert len(column(page, "Order")) == PAGE_ROWS
    page.get_by_role("button", name="Older").click()
    expect(page.locator("tbody tr")).to_have_count(2 * PAGE_ROWS)
    orders = column(page, "Order")
    assert len(set(orders)) == 2 * PAGE_ROWS
    times = column(page, "Time", "time")
    assert times == sorted(times, reverse=True)
    (before,) = seen[-1]["before"]
    assert re.fullmatch(r"\d+-\d+", before), "a page begins at a row, not at a number of rows"


def test_new_orders_appear_by_themselves_and_never_under_who_reads_older_ones(open_page, site):
    page = open_page("/trading/orders")
    newest = column(page, "Order")[0]
    site.control(burst=60)
    eventually(lambda: column(page, "Order")[0] != newest)
    page.get_by_role("button", name="Older").click()
    expect(page.locator("tbody tr")).to_have_count(2 * PAGE_ROWS)
    held = column(page, "Order")
    site.control(burst=60)
    page.wait_for_timeout(6_000)
    assert column(page, "Order") == held


def test_filters_narrow_every_page_and_stand_in_the_address(open_page):
    page = open_page("/trading/orders")
    column(page, "Order")
    choice(page, "Strategy").select_option("ema_cross")
    eventually(lambda: set(column(page, "Strategy")) == {"ema_cross"})
    choice(page, "Instrument").select_option("IBM.NASDAQ")
    eventually(lambda: set(column(page, "Instrument")) == {"IBM.NASDAQ"})
    seen = requests_to(page, "/api/trading/")
    page.get_by_role("button", name="Older").click()
    expect(page.locator("tbody tr")).to_have_count(2 * PAGE_ROWS)
    assert (set(column(page, "Strategy")), set(column(page, "Instrument"))) == ({"ema_cross"}, {"IBM.NASDAQ"})
    assert seen[-1]["strategy_id"] == ["ema_cross"]
    page.get_by_role("navigation", name="Books").get_by_role("link", name="Fills").click()
    expect(page.get_by_role("heading", name="Fills")).to_be_visible()
    page.reload()
    assert set(column(page, "Strategy")) == {"ema_cross"}
    expect(choice(page, "Instrument")).to_have_value("IBM.NASDAQ")
    choice(page, "Strategy").select_option("")
    eventually(lambda: len(set(column(page, "Strategy"))) > 1)
    assert parse_qs(urlsplit(page.url).query) == {"instrument": ["IBM.NASDAQ"]}


def test_a_run_is_chosen_and_shown_alone(open_page):
    page = open_page("/trading/orders")
    choice(page, "Run").locator("option").nth(2).wait_for(state="attached")
    whole = column(page, "Time", "time")[0]
    choice(page, "Run").select_option(index=2)
    eventually(lambda: column(page, "Time", "time")[0] < whole)
    (run,) = parse_qs(urlsplit(page.url).query)["run_id"]
    page.locator("tbody tr").first.get_by_role("link").last.click()
    page.get_by_role("link", name=run).click()
    expect(page.get_by_role("heading", name="Orders")).to_be_visible()
    expect(choice(page, "Run")).to_have_value(run)


@pytest.mark.parametrize("book", ["Positions", "Orders", "Fills", "Signals"])
def test_each_book_has_its_own_page(open_page, book):
    page = open_page("/trading")
    page.get_by_role("navigation", name="Books").get_by_role("link", name=book).click()
    expect(page.get_by_role("heading", name=book, exact=True)).to_be_visible()
    assert len(column(page, "Strategy")) == PAGE_ROWS
    assert page.title() == f"{book} · Crowsnest"
    assert urlsplit(page.url).path == f"/trading/{book.lower()}"


def test_a_position_shows_what_it_won_or_lost_not_by_colour_alone(open_page):
    page = open_page("/trading/positions")
    column(page, "Realized")
    lost, won = page.locator(".text-loss").all_inner_texts(), page.locator(".text-profit").all_inner_texts()
    assert lost
    assert won
    assert all(re.fullmatch(rf"{MINUS}[\d,]+\.\d\d", text) for text in lost)
    assert all(re.fullmatch(r"[\d,]+\.\d\d", text) for text in won)
    sides = set(column(page, "Side"))
    assert "FLAT" in sides
    assert sides <= {"FLAT", "LONG", "SHORT"}
    opened_by = page.locator("tbody tr").first.get_by_role("link").last
    name = opened_by.inner_text()
    opened_by.click()
    expect(page.get_by_role("heading", name=name)).to_be_visible()
    expect(page.get_by_role("group", name="Positions")).to_contain_text(name)


# ---- one order


def test_from_an_order_to_its_fills_positions_and_records_in_one_permalink(open_page, site):
    page = open_page("/trading/orders?strategy_id=ema_cross")
    column(page, "Order")
    link = page.locator("tbody tr", has_text="FILLED").first.get_by_role("link").last
    order = link.inner_text()
    link.click()
    permalink = page.url.removeprefix(site.url)
    assert re.fullmatch(rf"/trading/orders/[0-9a-f]+-2/{order}", permalink)
    for reader in (page, open_page(permalink, user="bert")):
        expect(reader.get_by_role("heading", name=order)).to_be_visible()
        facts = reader.locator(".facts")
        expect(facts).to_contain_text("FILLED")
        expect(facts).to_contain_text(re.compile(r"Decision to fill[\d.]+ (µs|ms)"))
        expect(reader.get_by_role("group", name="Fills")).to_contain_text(order)
        expect(reader.get_by_role("group", name="Positions")).to_contain_text(order)
        expect(reader.get_by_role("group", name="Signal")).to_contain_text("ema_cross")
        records = reader.locator(".order-records li")
        expect(records.first).to_contain_text("order submitted")
        expect(records.filter(has_text="order filled")).to_have_count(1)
    count = page.locator(".order-records li").count()
    page.get_by_role("link", name="Open in the log viewer").click()
    eventually(lambda: rows(page).count() == count)
    asked = parse_qs(urlsplit(page.url).query)
    assert (asked["q"], asked["strategy_id"]) == ([f'order_id:="{order}"'], ["ema_cross"])
    page.goto(site.url + permalink)
    page.locator(".facts").get_by_role("link", name="ema_cross").click()
    page.wait_for_url("**/strategies/ema_cross")


def test_an_order_that_was_rejected_says_why(open_page, site):
    page = open_page("/trading/orders")
    (order,) = page.request.get(site.url + "/api/trading/orders?status=REJECTED&limit=1").json()["rows"]
    page.goto(f"{site.url}/trading/orders/{order['run_id']}/{order['client_order_id']}")
    expect(page.locator(".facts .text-ERROR")).to_have_text(order["reason"])
    expect(page.get_by_text("It was not filled.")).to_be_visible()
    expect(page.locator(".order-records")).to_contain_text(f"order rejected: {order['reason']}")


def test_an_order_whose_records_cannot_be_had_is_still_told_of(open_page, site):
    page = open_page("/trading/orders")
    column(page, "Order")
    site.control(mode="unavailable")
    page.locator("tbody tr", has_text="FILLED").first.get_by_role("link").last.click()
    expect(page.locator(".facts")).to_contain_text("FILLED")
    expect(page.get_by_role("alert")).to_contain_text("The log store does not answer")
    site.control(mode="ok")
    page.get_by_role("button", name="Try now").click()
    expect(page.locator(".order-records li").first).to_be_visible()


def test_an_order_that_is_not_there_is_not_looked_for_again(open_page):
    page = open_page("/trading/orders/none/none")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("There is no order 'none' in the run 'none'.")
    expect(alert).not_to_contain_text("Trying again by itself")


# ---- budgets


def test_usage_bars_say_how_much_of_a_cap_is_bound(open_page):
    page = open_page("/budgets")
    for strategy, state, width, text in (
        ("ema_cross", "within", "62", "155,000.00 dollars bound, 62 % of the cap"),
        ("mean_reversion", "nearly", "93.2505", "93,250.50 dollars bound, 93 % of the cap"),
        ("orb_15min_call_1", "over", "100", "47,200.00 dollars bound, 118 % of the cap: beyond it until positions are closed"),
    ):
        budget = card(page, strategy)
        expect(budget).to_contain_text(text)
        expect(budget.locator(f".usage-{state}")).to_be_visible()
        expect(budget.locator(".usage-used")).to_have_attribute("width", width)
        expect(budget).to_contain_text("In force. Orders denied since the engine started: 3")
    unused = card(page, "pairs_stat_arb")
    expect(unused).to_contain_text("The engine has not run with this budget yet.")
    expect(unused.locator(".usage-bar")).to_have_count(0)


def test_a_lowered_cap_holds_and_is_kept_with_its_reason(open_page):
    page = open_page("/budgets")
    form = open_form(page, "ema_cross")
    send(form, "120000.5", "less risk before the weekend")
    budget = card(page, "ema_cross")
    expect(budget.get_by_role("status")).to_have_text("Changed.")
    expect(form).to_have_count(0)
    expect(budget).to_contain_text("Cap 120,000.50 dollars version 2")
    expect(budget).to_contain_text("129 % of the cap")
    expect(budget).to_contain_text("The engine has yet to take it.")
    expect(budget).to_contain_text("In force.")
    expect(budget).to_contain_text(re.compile("Set by anna, .*: less risk before the weekend"))
    budget.get_by_role("button", name="History").click()
    expect(budget.locator(".history")).to_contain_text("250,000.00 → 120,000.50 by anna: less risk before the weekend")
    card(page, "mean_reversion").get_by_role("button", name="History").click()
    expect(card(page, "mean_reversion")).to_contain_text("It has never been changed.")


@pytest.mark.parametrize(
    ("dollars", "reason"), [("1e9", "why"), ("-5", "why"), ("1.005", "why"), ("", "why"), ("5", ""), ("5", "hm")], ids=str
)
def test_what_cannot_be_a_cap_or_a_reason_is_never_sent(open_page, dollars, reason):
    page = open_page("/budgets")
    seen = requests_to(page, "/api/budgets/ema_cross")
    form = open_form(page, "ema_cross")
    send(form, dollars, reason)
    expect(form.locator("input:invalid")).to_have_count(1)
    page.wait_for_timeout(300)
    assert seen == []
    expect(card(page, "ema_cross")).to_contain_text("version 1")


def test_a_cap_that_is_no_change_is_refused_in_the_form(open_page):
    page = open_page("/budgets")
    form = open_form(page, "ema_cross")
    send(form, "250000")
    expect(form.get_by_role("alert")).to_contain_text("The cap is 250000 already.")
    form.get_by_role("button", name="Cancel").click()
    expect(form).to_have_count(0)
    expect(card(page, "ema_cross")).to_contain_text("version 1")


def test_a_raise_takes_a_second_operator(open_page):
    anna, bert = open_page("/budgets"), open_page("/budgets", user="bert")
    send(open_form(anna, "mean_reversion"), "150000", "it earns well")
    expect(card(anna, "mean_reversion").get_by_role("status")).to_have_text("It is a raise: it waits for another operator.")
    mine = anna.get_by_role("group", name="Raise of mean_reversion")
    expect(mine).to_contain_text("anna asks for 150,000.00 dollars: it earns well")
    expect(card(anna, "mean_reversion")).to_contain_text("Cap 100,000.00 dollars version 1")
    mine.get_by_role("button", name="Confirm").click()
    expect(mine.get_by_role("alert")).to_contain_text("Whoever asks for a raise does not confirm it.")
    expect(card(anna, "mean_reversion")).to_contain_text("version 1")
    theirs = bert.get_by_role("group", name="Raise of mean_reversion")
    expect(theirs).to_contain_text("anna asks for 150,000.00 dollars")
    theirs.get_by_role("button", name="Confirm").click()
    for page in (bert, anna):
        expect(card(page, "mean_reversion")).to_contain_text("Cap 150,000.00 dollars version 2")
        expect(page.get_by_role("group", name="Raise of mean_reversion")).to_have_count(0)
    card(anna, "mean_reversion").get_by_role("button", name="History").click()
    expect(anna.locator(".history")).to_contain_text("100,000.00 → 150,000.00 by anna, confirmed by bert: it earns well")


def test_a_raise_that_is_rejected_changes_nothing(open_page):
    anna, bert = open_page("/budgets"), open_page("/budgets", user="bert")
    send(open_form(anna, "mean_reversion"), "150000")
    raised = bert.get_by_role("group", name="Raise of mean_reversion")
    raised.get_by_role("button", name="Reject").click()
    for page in (bert, anna):
        expect(page.get_by_role("group", name="Raise of mean_reversion")).to_have_count(0)
        expect(card(page, "mean_reversion")).to_contain_text("Cap 100,000.00 dollars version 1")


def test_a_second_raise_waits_until_the_first_is_decided(open_page):
    anna, bert = open_page("/budgets"), open_page("/budgets", user="bert")
    send(open_form(anna, "mean_reversion"), "150000")
    expect(anna.get_by_role("group", name="Raise of mean_reversion")).to_be_visible()
    form = open_form(bert, "mean_reversion")
    send(form, "180000")
    expect(form.get_by_role("alert")).to_contain_text("A raise of mean_reversion to 150000.00 dollars by anna waits already.")
    expect(form.get_by_role("alert")).to_contain_text("Confirm or reject that one first.")


def test_of_two_operators_at_one_budget_the_second_is_told_and_overwrites_nothing(open_page):
    anna, bert = open_page("/budgets"), open_page("/budgets", user="bert")
    form = open_form(anna, "ema_cross")
    fill(form, "240000", "a little less")
    send(open_form(bert, "ema_cross"), "90000", "it loses")
    expect(form).to_contain_text("bert has changed it meanwhile to 90,000.00 (less).")
    expect(form.get_by_label("Cap in dollars")).to_have_value("240000")
    form.get_by_role("button", name="Change").click()
    alert = form.get_by_role("alert")
    expect(alert).to_contain_text("In conflict with what is there")
    expect(alert).to_contain_text("version 2 by now: 90000.00 dollars, changed by bert (it loses); you looked at version 1.")
    expect(alert).to_contain_text("Read it again, and decide anew.")
    form.get_by_role("button", name="Change").click()
    expect(alert).to_contain_text("version 2 by now")
    expect(card(anna, "ema_cross")).to_contain_text("Cap 90,000.00 dollars version 2")
    form.get_by_role("button", name="Cancel").click()
    form = open_form(anna, "ema_cross")
    expect(form.get_by_label("Cap in dollars")).to_have_value("90000.00")
    send(form, "80000")
    expect(card(anna, "ema_cross")).to_contain_text("Cap 80,000.00 dollars version 3")


def test_what_was_typed_outlives_a_database_that_is_away(open_page, site):
    page = open_page("/budgets")
    form = open_form(page, "ema_cross")
    site.control(database="away")
    send(form, "1000", "stop it")
    expect(form.get_by_role("alert")).to_contain_text("The trading database does not answer")
    expect(form.get_by_label("Reason")).to_have_value("stop it")
    site.control(database="ok")
    form.get_by_role("button", name="Change").click()
    expect(card(page, "ema_cross")).to_contain_text("Cap 1,000.00 dollars version 2")


def test_an_engine_that_is_not_heard_of_is_told_of(open_page, site):
    site.control(desk={"silent_seconds": 95})
    page = open_page("/budgets")
    expect(card(page, "ema_cross")).to_contain_text("The engine has not been heard of for")
    expect(card(page, "ema_cross")).not_to_contain_text("In force")


# ---- who may not


def test_a_viewer_looks_at_what_is_theirs_and_changes_nothing(open_page):
    anna, vik = open_page("/budgets"), open_page("/budgets", user="vik")
    send(open_form(anna, "ema_cross"), "300000", "more of it")
    expect(vik.get_by_role("group", name="Raise of ema_cross")).to_contain_text("anna asks for 300,000.00 dollars")
    expect(vik.locator(".budget")).to_have_count(1)
    for name in ("Change", "Confirm", "Reject"):
        expect(vik.get_by_role("button", name=name)).to_have_count(0)
    vik.get_by_role("link", name="Services").click()
    expect(vik.get_by_role("rowheader", name="alloy")).to_be_visible()
    expect(vik.get_by_role("button", name="Restart")).to_have_count(0)
    expect(vik.get_by_role("link", name="Audit")).to_have_count(0)
    vik.get_by_role("link", name="Trading").click()
    assert set(column(vik, "Strategy")) == {"ema_cross"}
    strategies = choice(vik, "Strategy").locator("option")
    expect(strategies).to_have_text(["all", "ema_cross"])


def test_a_viewer_who_knows_an_address_gets_no_further(open_page, site):
    vik = open_page("/audit", user="vik")
    expect(vik.get_by_role("alert")).to_contain_text("This needs the role operator, vik is a viewer.")
    expect(vik.get_by_role("table")).to_have_count(0)
    vik.goto(site.url + "/trading/orders?strategy_id=mean_reversion")
    expect(vik.get_by_role("alert")).to_contain_text("Vik may not see the strategy mean_reversion.")
    page = open_page("/trading/orders?strategy_id=mean_reversion")
    column(page, "Order")
    page.locator("tbody tr").first.get_by_role("link").last.click()
    page.locator(".facts").wait_for()
    vik.goto(page.url)
    expect(vik.get_by_role("alert")).to_contain_text("There is no order")


# ---- services


def test_services_show_their_state_and_the_way_to_their_records(open_page):
    page = open_page("/services")
    assert column(page, "Component") == ["alloy", "api", "mimir", "postgresql", "redis", "trader", "victorialogs"]
    states = dict(zip(column(page, "Component"), column(page, "State"), strict=True))
    assert (states["api"], states["victorialogs"], states["mimir"]) == ("running, healthy", "exited", "running, starting")
    assert page.locator("td.text-ERROR").all_inner_texts() == ["running, unhealthy", "exited"]
    buttons = page.get_by_role("button", name="Restart ")
    assert buttons.evaluate_all("(all) => all.map((one) => one.getAttribute('aria-label'))") == [
        f"Restart {name}" for name in ("alloy", "mimir", "redis", "victorialogs")
    ]
    row = page.locator("tbody tr", has_text="postgresql")
    row.get_by_role("link", name="Records").click()
    chips = page.get_by_role("list", name="Filters")
    expect(chips).to_contain_text("crowsnest-postgresql")


def test_a_restart_takes_a_reason_and_is_in_the_audit_log(open_page):
    page = open_page("/services")
    seen = requests_to(page, "/restart")
    page.get_by_role("button", name="Restart victorialogs").click()
    form = page.get_by_role("form", name="Restart victorialogs")
    form.get_by_role("button", name="Restart victorialogs").click()
    expect(form.locator("input:invalid")).to_have_count(1)
    assert seen == []
    form.get_by_label("Reason").fill("it was killed")
    form.get_by_role("button", name="Restart victorialogs").click()
    expect(form.get_by_role("button", name="Working …")).to_be_disabled()
    expect(page.get_by_role("status")).to_have_text("victorialogs was restarted in 0.4 s.")
    expect(page.locator("tbody tr", has_text="victorialogs").first).to_contain_text("running")
    page.get_by_role("link", name="Audit").click()
    assert column(page, "Action")[:2] == ["services.restart"] * 2
    assert column(page, "Outcome")[:2] == ["done", "allowed"]
    expect(page.locator("tbody tr").first).to_contain_text('{"component":"victorialogs","reason":"it was killed"}')


def test_a_restart_that_is_refused_says_why_and_can_be_left(open_page):
    page = open_page("/services")
    page.get_by_role("button", name="Restart redis").click()
    form = page.get_by_role("form", name="Restart redis")
    form.get_by_label("Reason").fill("it is unhealthy")
    form.get_by_role("button", name="Restart redis").click()
    expect(form.get_by_role("alert")).to_contain_text("The socket proxy does not restart crowsnest-redis.")
    form.get_by_role("button", name="Cancel").click()
    expect(form).to_have_count(0)
    expect(page.get_by_role("button", name="Restart redis")).to_be_focused()


# ---- audit


def test_the_audit_log_is_read_to_its_beginning_and_tells_how_to_verify_it(open_page, site):
    page = open_page("/audit")
    assert len(column(page, "Number")) == PAGE_ROWS
    page.get_by_role("button", name="Older").click()
    expect(page.get_by_role("button", name="Older")).to_have_count(0)
    numbers = [int(text) for text in column(page, "Number")]
    assert numbers == list(range(len(numbers), 0, -1))
    refused = page.locator("td.text-ERROR")
    assert set(refused.all_inner_texts()) == {"refused:unauthenticated"}
    served = page.request.get(site.url + "/api/audit?limit=500").json()["rows"]
    shown = page.locator("tbody td:last-child")
    assert shown.evaluate_all("(all) => all.map((one) => one.title)") == [row["hash"] for row in served]
    assert shown.all_inner_texts() == [row["hash"][:8] for row in served]
    expect(page.get_by_role("main")).to_contain_text("python -m crowsnest.api audit verify")


def test_what_is_refused_stands_in_the_audit_log_too(open_page):
    anna = open_page("/budgets")
    send(open_form(anna, "mean_reversion"), "150000", "it earns well")
    anna.get_by_role("group", name="Raise of mean_reversion").get_by_role("button", name="Confirm").click()
    expect(anna.get_by_role("alert")).to_be_visible()
    anna.get_by_role("link", name="Audit").click()
    assert column(anna, "Action")[:2] == ["budgets.confirm", "budgets.change"]
    assert column(anna, "Outcome")[:2] == ["refused:forbidden", "allowed"]
    expect(anna.locator("tbody tr").nth(1)).to_contain_text('"reason":"it earns well"')


# ---- loading, empty, failed

PAGES = {
    "/trading/positions": "No positions",
    "/trading/orders": "No orders",
    "/trading/fills": "No fills",
    "/trading/signals": "No signals",
    "/budgets": "No budgets",
}


@pytest.mark.parametrize("path", [*PAGES, "/services", "/audit"])
def test_a_page_that_takes_its_time_says_so(open_page, site, path):
    site.control(desk={"database": "slow"})
    page = open_page(path)
    loading = page.get_by_role("status").filter(has_text="Loading")
    expect(loading).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)
    page.locator("tbody tr, .budget").first.wait_for()
    expect(loading).to_have_count(0)


@pytest.mark.parametrize(("path", "told"), PAGES.items())
def test_a_page_without_rows_says_so(open_page, site, path, told):
    site.control(desk={"database": "empty"})
    page = open_page(path)
    expect(page.get_by_role("heading", name=told, exact=True)).to_be_visible()
    expect(page.locator("tbody tr, .budget")).to_have_count(0)


def test_a_link_to_what_is_not_there_shows_nothing_and_can_be_left(open_page):
    page = open_page("/trading/positions?strategy_id=nobody")
    expect(page.get_by_role("heading", name="No positions")).to_be_visible()
    expect(choice(page, "Strategy")).to_have_value("nobody")
    choice(page, "Strategy").select_option("")
    assert len(column(page, "Strategy")) == PAGE_ROWS


@pytest.mark.parametrize("path", [*PAGES, "/services"])
def test_a_page_that_fails_says_why_and_comes_back(open_page, site, path):
    site.control(desk={"database": "away", "docker": "away"})
    page = open_page(path)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("Docker does not answer" if path == "/services" else "The trading database does not answer")
    expect(alert).to_contain_text("Trying again by itself")
    site.control(database="ok", docker="ok")
    page.get_by_role("button", name="Try now").click()
    page.locator("tbody tr, .budget").first.wait_for()
    expect(alert).to_have_count(0)


def test_what_a_stack_was_made_without_is_not_waited_for(open_page, site):
    site.control(desk={"docker": "none"})
    page = open_page("/services")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("Not part of this stack")
    expect(alert).to_contain_text("Set services: true of the pipeline viewer.")
    expect(alert).not_to_contain_text("Trying again by itself")


@pytest.mark.parametrize("path", ["/budgets", "/services", "/trading/orders"])
def test_an_api_that_goes_away_takes_nothing_from_the_screen_and_comes_back(open_page, site, path):
    page = open_page(path)
    shown = page.locator("tbody tr, .budget")
    shown.first.wait_for()
    count = shown.count()
    site.stop()
    alert = page.get_by_role("main").get_by_role("alert")
    expect(alert).to_contain_text("The API does not answer", timeout=RECOVERY_MS)
    expect(shown).to_have_count(count)
    site.start()
    expect(alert).to_have_count(0, timeout=RECOVERY_MS)
    expect(shown).to_have_count(count)


# ---- keyboard


def test_a_budget_is_changed_and_a_component_restarted_by_keyboard_alone(open_page):
    page = open_page("/budgets")
    page.locator(".budget").first.wait_for()
    tab_until(page, "Change")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Cap in dollars")).to_be_focused()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("120000")
    page.keyboard.press("Tab")
    page.keyboard.type("less risk")
    page.keyboard.press("Enter")
    expect(card(page, "ema_cross").get_by_role("status")).to_have_text("Changed.")
    expect(card(page, "ema_cross").get_by_role("button", name="Change")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".history")).to_contain_text("by anna: less risk")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    for _ in range(3):
        page.keyboard.press("Tab")
    assert focused(page).endswith("|Cancel")
    page.keyboard.press("Enter")
    expect(page.get_by_role("form")).to_have_count(0)
    expect(card(page, "ema_cross").get_by_role("button", name="Change")).to_be_focused()

    page.reload()
    tab_until(page, "Services")
    page.keyboard.press("Enter")
    tab_until(page, "Restart alloy")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Reason")).to_be_focused()
    page.keyboard.type("it hangs")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("alloy was restarted in 0.4 s.")
    expect(page.get_by_role("button", name="Restart alloy")).to_be_focused()


def test_a_raise_is_confirmed_by_keyboard_alone(open_page):
    send(open_form(open_page("/budgets"), "ema_cross"), "300000")
    bert = open_page("/budgets", user="bert")
    bert.get_by_role("group", name="Raise of ema_cross").wait_for()
    tab_until(bert, "Confirm")
    bert.keyboard.press("Enter")
    expect(card(bert, "ema_cross")).to_contain_text("Cap 300,000.00 dollars version 2")


def test_an_order_is_found_by_keyboard_alone(open_page):
    page = open_page("/trading/orders")
    column(page, "Order")
    choice(page, "Run").locator("option").nth(2).wait_for(state="attached")
    for _ in range(40):
        if page.evaluate("document.activeElement === document.querySelector('.choice select')"):
            break
        page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")
    page.wait_for_url("**strategy_id=ema_cross*")
    eventually(lambda: set(column(page, "Strategy")) == {"ema_cross"})
    tab_until(page, "Orders")
    assert focused(page).startswith("DIV|group|"), "the table scrolls sideways by the arrow keys"
    order = column(page, "Order")[0]
    tab_until(page, order)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=order)).to_be_visible()
    tab_until(page, "Open in the log viewer", most=80)


def test_the_end_of_a_page_is_reached_by_tab(open_page):
    page = open_page("/audit")
    column(page, "Number")
    tab_until(page, "Audit log")
    page.keyboard.press("Tab")
    assert focused(page).endswith("|Older")
    page.keyboard.press("Tab")
    assert focused(page).startswith("BODY"), "nothing traps the keyboard"


@pytest.mark.parametrize("path", ["/trading/orders", "/budgets", "/services", "/audit"])
def test_a_narrow_screen_scrolls_tables_and_not_the_page(open_page, path):
    page = open_page(path)
    page.set_viewport_size({"width": 390, "height": 800})
    page.locator("tbody tr, .budget").first.wait_for()
    assert page.evaluate("document.querySelector('main').scrollWidth <= document.querySelector('main').clientWidth")
