"""What a person does with the viewer, in a real browser."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.browser.support import NO_PLAYWRIGHT, eventually, focused, requests_to, row_texts, rows

expect = pytest.importorskip("playwright.sync_api", reason=NO_PLAYWRIGHT).expect

HISTOGRAM = "[aria-roledescription=histogram]"


def levels(page: Any) -> set[str]:
    return set(page.locator(".list-body [role=row] .level .hidden").all_inner_texts())


# ---- logging in


def test_who_logs_in_sees_the_newest_records(open_page):
    page = open_page(user=None)
    expect(page.get_by_label("User name")).to_be_focused()
    page.keyboard.type("anna")
    page.keyboard.press("Tab")
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Name or password is wrong.")
    page.get_by_label("Password").fill("harbour")
    page.keyboard.press("Enter")
    assert len(row_texts(page)) == 15
    expect(page.get_by_role("button", name="Account of anna")).to_be_visible()


def test_who_guesses_is_told_how_long_to_wait(open_page, site):
    site.control(wrong_passwords=5)
    page = open_page(user=None)
    page.get_by_label("User name").fill("anna")
    page.get_by_label("Password").fill("guess")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("Try again in")
    expect(page.get_by_role("button", name="Log in")).to_be_disabled()
    expect(page.get_by_role("button", name="Log in")).to_be_enabled()


def test_a_session_that_ended_leads_back_to_the_same_search(page):
    page.goto(page.url + "?q=rejected")
    row_texts(page)
    page.context.clear_cookies()
    page.keyboard.press("r")
    page.get_by_label("User name").fill("anna")
    page.get_by_label("Password").fill("harbour")
    page.keyboard.press("Enter")
    assert all("rejected" in text for text in row_texts(page))


def test_who_logs_out_is_out(page, site):
    page.get_by_role("button", name="Account of anna").click()
    page.get_by_role("button", name="Log out").click()
    page.get_by_label("User name").wait_for()
    page.goto(site.url + "/strategies")
    page.get_by_label("User name").wait_for()


# ---- searching


def test_a_search_shows_what_matches_and_marks_it(page):
    page.get_by_label("Query (LogsQL)").fill("rejected")
    page.keyboard.press("Enter")
    eventually(lambda: all("rejected" in text for text in row_texts(page)))
    assert page.locator(".list mark").first.inner_text() == "rejected"
    assert "q=rejected" in page.url


def test_a_query_that_is_wrong_is_explained(page):
    page.get_by_label("Query (LogsQL)").fill("(order")
    page.keyboard.press("Enter")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("not valid LogsQL")
    expect(alert).to_contain_text("close every bracket")


def test_facets_become_chips(page):
    facets = page.get_by_role("complementary", name="Facets")
    facets.get_by_role("button", name="ERROR").click()
    eventually(lambda: levels(page) == {"ERROR"})
    facets.get_by_role("button", name="WARNING").click()
    eventually(lambda: levels(page) == {"ERROR", "WARNING"})
    facets.get_by_role("button", name="EMACrossStrategy").click()
    eventually(lambda: all("EMACross" in text for text in row_texts(page)))
    chips = page.get_by_role("list", name="Filters")
    expect(chips).to_contain_text("EMACrossStrategy")
    expect(page.get_by_label("Query (LogsQL)")).to_have_value("")
    chips.get_by_role("button", name="Remove filter component = EMACrossStrategy").click()
    eventually(lambda: not all("EMACross" in text for text in row_texts(page)))
    chips.get_by_role("button", name="level = ERROR").first.click()
    eventually(lambda: levels(page) == {"WARNING"})
    expect(facets.get_by_role("button", name="INFO")).to_be_visible()
    chips.get_by_role("button", name="Remove all").click()
    expect(chips).to_have_count(0)


def test_a_brush_over_the_histogram_narrows_the_range(page):
    expect(page.locator(".bar-INFO").first).to_be_visible()
    box = page.locator(HISTOGRAM).bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 30, steps=5)
    expect(page.locator(".brush")).to_be_visible()
    page.mouse.up()
    page.wait_for_url("**start=*end=*")
    found = parse_qs(urlsplit(page.url).query)
    asked = page.evaluate("([a, b]) => (Date.parse(b) - Date.parse(a)) / 60000", [found["start"][0], found["end"][0]])
    assert 11 < asked < 13, "a fifth of an hour"
    expect(page.get_by_role("button", name="Live: new")).to_have_count(0)
    first = row_texts(page)[0].split()[0]
    shown_end = page.evaluate("(end) => new Date(end).toISOString().slice(11, 23)", found["end"][0])
    assert first <= shown_end
    page.keyboard.press("z")
    page.wait_for_function("(before) => location.search !== before", arg=urlsplit(page.url).query)


def test_a_range_is_chosen_in_the_time_zone_of_the_page(page):
    page.get_by_label("Time zone").select_option("America/New_York")
    page.get_by_role("button", name="Range:").click()
    page.get_by_label("From").fill("2026-01-21T09:30:00")
    page.get_by_label("To", exact=True).fill("2026-01-21T16:00:00")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**start=2026-01-21T14:30:00.000Z&end=2026-01-21T21:00:00.000Z*")
    expect(page.get_by_text("No records match")).to_be_visible()


def test_a_range_that_makes_no_sense_is_refused_where_it_is_typed(page):
    page.get_by_role("button", name="Range:").click()
    page.get_by_label("From").fill("2026-01-21T09:30:00")
    for to, told in (("2026-01-21T09:00:00", "before the second"), ("2026-01-23T09:00:00", "At most 24 hours")):
        page.get_by_label("To", exact=True).fill(to)
        page.get_by_role("button", name="Show").click()
        expect(page.get_by_role("alert")).to_contain_text(told)


def test_the_time_zone_changes_every_time_on_the_page(page):
    def clock() -> str:
        return page.locator(".list-body .cell-time").first.inner_text()

    header = page.get_by_role("columnheader").first
    expect(header).to_contain_text("UTC")
    utc = clock()
    page.get_by_label("Time zone").select_option("Asia/Tokyo")
    expect(header).to_contain_text("Tokyo")
    assert (int(clock()[:2]) - int(utc[:2])) % 24 == 9
    assert clock()[2:] == utc[2:]
    page.reload()
    expect(header).to_contain_text("Tokyo")


def test_older_records_come_while_scrolling_until_there_are_no_more(page):
    page.goto(page.url + "?q=kill+switch&start=6h&live=0")
    row_texts(page)
    page.goto(page.url.replace("kill+switch", "late"))
    row_texts(page)
    held = page.locator(".status b").first
    before = int(held.inner_text().replace(",", ""))
    for _ in range(40):
        page.locator(".list").focus()
        page.keyboard.press("End")
        if page.get_by_text("No older records in this range.").is_visible():
            break
        page.wait_for_timeout(100)
    expect(page.get_by_text("No older records in this range.")).to_be_visible()
    assert int(held.inner_text().replace(",", "")) > before


# ---- live


def test_records_appear_as_they_arrive(page, site):
    expect(page.get_by_role("button", name="Live", exact=True)).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".live-streaming")).to_be_visible()
    before = row_texts(page)[0]
    site.control(burst=3)
    eventually(lambda: row_texts(page)[3] == before, seconds=3)


def test_what_is_read_does_not_move(page, site):
    page.locator(".live-streaming").wait_for()
    page.locator(".list").hover()
    page.mouse.wheel(0, 700)
    eventually(lambda: page.evaluate("document.querySelector('.list').scrollTop") > 500)
    place = "(() => { const e = document.querySelector('.list-slice'); return e.getBoundingClientRect().top + e.innerText })()"
    before = page.evaluate(place)
    site.control(burst=7)
    pill = page.get_by_role("button", name="7 new")
    pill.wait_for()
    assert page.evaluate(place) == before
    pill.click()
    expect(pill).to_have_count(0)
    assert page.evaluate("document.querySelector('.list').scrollTop") == 0


def test_a_pause_holds_the_list_and_goes_on(page, site):
    page.locator(".live-streaming").wait_for()
    page.locator(".list").focus()
    page.keyboard.press("Space")
    before = row_texts(page)
    site.control(burst=4)
    page.get_by_role("button", name="4 new").wait_for()
    assert row_texts(page) == before
    page.keyboard.press("Space")
    eventually(lambda: row_texts(page)[4] == before[0])


def test_skipped_records_can_be_loaded(page, site):
    page.locator(".live-streaming").wait_for()
    before = row_texts(page)[0]
    site.control(skip=5)
    site.control(burst=12)
    marker = rows(page).filter(has_text="5 skipped")
    marker.wait_for()
    assert "5 skipped" in row_texts(page)[7]
    marker.get_by_role("button", name="load").click()
    expect(marker).to_have_count(0)
    assert row_texts(page)[12] == before


def test_a_refused_tail_becomes_a_look_every_five_seconds(page, site):
    site.control(tail="refused")
    page.reload()
    before = row_texts(page)[0]
    page.locator(".live-polling").wait_for()
    expect(page.get_by_role("status").filter(has_text="every 5 s")).to_contain_text("Close one of your other tabs")
    site.control(burst=2)
    eventually(lambda: row_texts(page)[2] == before, seconds=7)


def test_losses_in_the_trading_process_stand_in_the_list(page):
    lost = page.locator(".row-lost")
    page.goto(page.url + "?live=0")
    expect(page.locator(".status-lost")).to_contain_text("449 lost")
    for _ in range(90):
        if lost.count():
            break
        page.locator(".list").focus()
        page.keyboard.press("PageDown")
    expect(lost.first).to_contain_text("412 lost in the trading process")
    expect(lost.first).to_contain_text("ema_cross: overflow")


# ---- one record


def test_a_record_is_read_in_full_and_in_its_context(page):
    page.goto(page.url + "?q=connection+reset&live=0")
    row_texts(page)
    rows(page).filter(has_text="+").first.click()
    drawer = page.get_by_role("complementary", name="Record")
    expect(drawer).to_contain_text("ConnectionResetError: [Errno 104]")
    message = drawer.locator(".record-message").inner_text()
    drawer.get_by_role("tab", name="Context").click()
    anchor = drawer.locator("[aria-current=true]")
    expect(anchor).to_contain_text(message)
    assert {"INFO", "ERROR"} <= set(drawer.locator(".context-row .level .hidden").all_inner_texts())
    shown = drawer.locator(".context-row").count()
    drawer.get_by_role("button", name="20 earlier").click()
    eventually(lambda: drawer.locator(".context-row").count() > shown)
    expect(anchor).to_be_in_viewport()
    assert page.evaluate("document.scrollingElement.scrollTop + document.body.scrollTop") == 0, "the page itself stays"
    drawer.get_by_label("Only the same level").check()
    eventually(lambda: set(drawer.locator(".context-row .level .hidden").all_inner_texts()) == {"ERROR"})


def test_a_field_of_a_record_narrows_the_search(page):
    page.goto(page.url + "?q=filled&live=0")
    row_texts(page)
    rows(page).first.click()
    drawer = page.get_by_role("complementary", name="Record")
    order = drawer.locator("tr", has=page.get_by_role("rowheader", name="order_id")).locator(".field-value").inner_text()
    drawer.get_by_role("button", name="Everything about this order").click()
    page.wait_for_function("() => document.querySelector('.status b').textContent < 10")
    assert all(order in text for text in row_texts(page))


def test_columns_are_chosen_and_stay(page):
    page.get_by_role("button", name="Columns").click()
    page.get_by_role("checkbox", name="price").check()
    page.get_by_role("checkbox", name="component").uncheck()
    page.keyboard.press("Escape")
    expect(page.get_by_role("columnheader", name="price")).to_be_visible()
    page.reload()
    expect(page.get_by_role("columnheader", name="price")).to_be_visible()
    expect(page.get_by_role("columnheader", name="component")).to_have_count(0)
    assert page.locator(".cell-number").first.evaluate("(cell) => getComputedStyle(cell).textAlign") == "right"


# ---- links, views, downloads


def test_a_link_shows_the_same_records_later(page, site, open_page):
    page.get_by_role("complementary", name="Facets").get_by_role("button", name="INFO").click()
    eventually(lambda: levels(page) == {"INFO"})
    page.locator(".live-streaming").wait_for()
    site.control(burst=30)
    page.wait_for_timeout(1_000)
    before = row_texts(page, 40)
    page.keyboard.press("y")
    expect(page.get_by_role("status").filter(has_text="Link copied")).to_be_visible()
    link = page.evaluate("navigator.clipboard.readText()")
    site.control(burst=200)
    other = open_page(link.removeprefix(site.url))
    assert row_texts(other, 40) == before
    other.reload()
    assert row_texts(other, 40) == before


def test_a_link_to_a_record_opens_it_wherever_it_is(page, site, open_page):
    page.goto(page.url + "?live=0")
    row_texts(page)
    for _ in range(12):
        page.locator(".list").focus()
        page.keyboard.press("End")
        page.wait_for_timeout(150)
    page.keyboard.press("Enter")
    page.get_by_role("complementary", name="Record").wait_for()
    message = page.locator(".record-time").inner_text()
    page.keyboard.press("y")
    page.get_by_role("status").filter(has_text="Link copied").wait_for()
    other = open_page(page.evaluate("navigator.clipboard.readText()").removeprefix(site.url))
    expect(other.locator(".record-time")).to_have_text(message)
    expect(other.locator(".row-active")).to_be_in_viewport()


def test_a_view_is_saved_opened_and_deleted(page):
    page.goto(page.url + "?q=rejected&start=6h&f=level:%3DERROR")
    row_texts(page)
    page.get_by_role("button", name="Saved views").click()
    page.get_by_label("Save this search as").fill("Rejected orders")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("button", name="Rejected orders").first.wait_for()
    page.goto(page.url.split("?")[0])
    page.get_by_role("button", name="Saved views").click()
    page.locator(".menu-item", has_text="Rejected orders").click()
    page.wait_for_url("**q=rejected*")
    assert "start=6h" in page.url
    expect(page.get_by_role("list", name="Filters")).to_contain_text("ERROR")
    page.get_by_role("button", name="Saved views").click()
    page.get_by_role("button", name="Delete view Rejected orders").click()
    expect(page.get_by_text("None saved yet.")).to_be_visible()


@pytest.mark.parametrize("kind", ["NDJSON", "CSV"])
def test_a_search_is_downloaded(page, kind):
    page.goto(page.url + "?q=rejected&live=0")
    row_texts(page)
    page.get_by_role("button", name="Download").click()
    with page.expect_download() as waiting:
        page.get_by_role("link", name=kind).click()
    text = Path(waiting.value.path()).read_text()
    found = [json.loads(line) for line in text.splitlines()] if kind == "NDJSON" else list(csv.DictReader(text.splitlines()))
    assert len(found) > 10
    assert all("rejected" in record["_msg"] for record in found)


# ---- strategies


def test_the_scope_of_a_strategy_cannot_be_left(open_page, site):
    page = open_page("/strategies")
    seen = requests_to(page)
    strategies: set[str] = set()

    def read(answer: Any) -> None:
        if "/api/logs/query" in answer.url or "/api/logs/context" in answer.url:
            strategies.update(row["strategy_id"] for row in answer.json()["rows"])

    page.get_by_role("link", name="ema_cross").click()
    row_texts(page)
    page.on("response", read)
    seen.clear()
    page.goto(site.url + "/strategies/ema_cross?strategy_id=mean_reversion&f=strategy_id:%3Dmean_reversion&live=0")
    row_texts(page)
    expect(page.locator(".bar").first).to_be_visible()
    rows(page).first.click()
    page.get_by_role("tab", name="Context").click()
    page.locator(".context-row").first.wait_for()
    page.get_by_label("Query (LogsQL)").fill("strategy_id:mean_reversion")
    page.keyboard.press("Enter")
    expect(page.get_by_text("No records match")).to_be_visible()
    page.get_by_label("Query (LogsQL)").fill("* or strategy_id:mean_reversion")
    page.keyboard.press("Enter")
    eventually(lambda: rows(page).count() > 10)
    assert strategies == {"ema_cross"}, "every record of every answer"
    scoped = [one for one in seen if one]
    assert len(scoped) > 8
    assert all(one.get("strategy_id") == ["ema_cross"] for one in scoped), scoped
    expect(page.locator(".fill-diamond").first).to_be_visible()
    fixed = page.locator(".chip-fixed")
    expect(fixed).to_contain_text("ema_cross")
    expect(fixed.get_by_role("button")).to_have_count(0)
    expect(page.get_by_role("complementary", name="Facets").get_by_role("button", name="mean_reversion")).to_have_count(0)


def test_a_viewer_of_one_strategy_sees_no_other(open_page):
    page = open_page("/strategies", user="vik")
    expect(page.get_by_role("link", name="ema_cross")).to_be_visible()
    expect(page.get_by_role("rowheader")).to_have_count(1)
    page = open_page("/strategies/mean_reversion", user="vik")
    expect(page.get_by_role("alert")).to_contain_text("Ask an operator")


# ---- trouble


def test_an_api_that_goes_away_takes_no_records_from_the_screen_and_comes_back(page, site):
    page.locator(".live-streaming").wait_for()
    before = row_texts(page)
    site.stop()
    page.keyboard.press("r")
    alert = page.get_by_role("alert").filter(has_text="does not answer")
    expect(alert).to_contain_text("Trading is not affected")
    assert row_texts(page) == before
    expect(page.locator(".health-bad")).to_be_visible(timeout=15_000)
    site.start()
    expect(alert).to_have_count(0, timeout=15_000)
    page.locator(".live-streaming").wait_for(timeout=40_000)
    page.wait_for_timeout(1_000)  # what arrived while it was away is fetched first
    first = row_texts(page)[0]
    site.control(burst=2)
    eventually(lambda: row_texts(page)[2] == first)


def test_a_live_page_survives_a_restart_of_the_api_by_itself(page, site):
    page.locator(".live-streaming").wait_for()
    site.stop()
    expect(page.get_by_role("status").filter(has_text="Live is waiting")).to_be_visible(timeout=15_000)
    site.start()
    page.locator(".live-streaming").wait_for(timeout=40_000)
    page.wait_for_timeout(1_000)  # what arrived while it was away is fetched first
    first = row_texts(page)[0]
    site.control(burst=2)
    eventually(lambda: row_texts(page)[2] == first)


@pytest.mark.parametrize(("mode", "told"), [("unavailable", "log store does not answer"), ("timeout", "Narrow the range")])
def test_a_query_that_fails_says_what_to_do(open_page, site, mode, told):
    site.control(mode=mode)
    page = open_page()
    expect(page.get_by_role("alert")).to_contain_text(told)
    site.control(mode="ok")
    page.get_by_role("button", name="Try now").click()
    row_texts(page)


def test_a_search_without_results_offers_ways_on(page):
    page.goto(page.url + "?q=unheard_of&start=5m&f=level:%3DERROR")
    expect(page.get_by_role("heading", name="No records match")).to_be_visible()
    page.get_by_role("button", name="Search the last 24 hours").click()
    page.wait_for_url("**start=24h*")
    page.get_by_role("button", name="Remove the filters").click()
    page.get_by_role("button", name="Clear the query").click()
    assert row_texts(page)


# ---- keyboard


def test_everything_is_done_by_keyboard_alone(page):
    keys = page.keyboard
    keys.press("/")
    keys.type("filled")
    keys.press("Enter")
    page.wait_for_url("**q=filled*")
    eventually(lambda: all("filled" in text for text in row_texts(page)))
    page.locator(".bar").first.wait_for()
    page.locator("body").evaluate("() => document.activeElement.blur()")
    keys.press("j")
    keys.press("j")
    expect(page.locator(".row-active")).to_have_attribute("aria-selected", "true")
    keys.press("Enter")
    drawer = page.get_by_role("complementary", name="Record")
    expect(drawer).to_be_visible()
    first = drawer.locator(".record-time").inner_text()
    keys.press("j")
    expect(drawer.locator(".record-time")).not_to_have_text(first)
    keys.press("c")
    expect(drawer.get_by_role("tab", name="Context")).to_have_attribute("aria-selected", "true")
    keys.press("Escape")
    expect(drawer).to_have_count(0)
    assert focused(page).startswith("DIV|grid|"), "the focus goes back to the list"
    keys.press("?")
    help_sheet = page.get_by_role("dialog", name="Keyboard shortcuts")
    expect(help_sheet).to_be_visible()
    keys.press("j")
    keys.press("Escape")
    expect(help_sheet).to_be_hidden()
    assert focused(page).startswith("DIV|grid|")
    page.locator(HISTOGRAM).focus()
    for _ in range(4):
        keys.press("ArrowLeft")
    keys.press("Shift+ArrowLeft")
    keys.press("Shift+ArrowLeft")
    expect(page.locator(".brush")).to_be_visible()
    keys.press("Enter")
    page.wait_for_url("**start=*end=*")
    keys.press("l")
    page.wait_for_url(lambda url: "end=" not in url)
    theme = page.evaluate("getComputedStyle(document.body).backgroundColor")
    keys.press("d")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != theme


def test_tab_reaches_every_control_and_is_never_trapped(page):
    page.goto(page.url + "?live=0")
    row_texts(page)
    seen: list[str] = []
    for _ in range(90):
        page.keyboard.press("Tab")
        seen.append(focused(page))
        if seen[-1].startswith("BODY"):
            break
    names = " ".join(seen)
    for name in (
        "Logs",
        "Strategies",
        "Query (LogsQL)",
        "Run",
        "Range:",
        "Saved views",
        "Columns",
        "Download",
        "records, at most",
        "ERROR",
    ):
        assert name in names, name
    assert any(one.startswith("DIV|grid|") for one in seen)
    assert seen[-1].startswith("BODY"), "the end of the page is reached"


def test_single_keys_can_be_turned_off(page):
    page.keyboard.press("?")
    page.get_by_label("Shortcuts of a single key").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("f")
    expect(page.get_by_role("complementary", name="Facets")).to_be_visible()


def test_nothing_moves_for_who_wants_no_motion(open_page):
    page = open_page(reduced_motion="reduce")
    page.locator(".live-streaming").wait_for()
    assert page.locator(".live-mark").evaluate("(mark) => getComputedStyle(mark).animationName") == "none"
