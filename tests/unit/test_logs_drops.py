"""What is not logged: the default rules take what they should and leave what they must."""

from __future__ import annotations

import logging
import threading

import pytest

from crowsnest.logs.drops import DEFAULT_DROP_RULES, DropRule, DropTable

DROPPED = [
    ("tick", "tick", {}),
    ("tick", "TICK", {}),
    ("tick", "update", {"action": "quote_tick"}),
    ("tick", "QuoteTick(SPY.ARCA,501.2,501.3,100,200,1700000000)", {}),
    ("tick", "Tick SPY 501.25", {}),
    ("tick", "tick: SPY", {}),
    ("tick", "trade tick received", {}),
    ("market_data", "order_book_update", {}),
    ("market_data", "update", {"bids": [[1, 2]], "asks": []}),
    ("market_data", "OrderBookDeltas(instrument_id=SPY)", {}),
    ("market_data", "from exchange", {"raw_message": "{}"}),
    ("health_check", '127.0.0.1:5000 - "GET /health HTTP/1.1" 200', {}),
    ("health_check", '10.0.0.1 [x] "GET /api/logs/health?full=1 HTTP/1.1" 200 12', {}),
    ("health_check", '1.1.1.1 - "HEAD /readyz HTTP/1.1" 204', {}),
    ("health_check", "heartbeat", {}),
    ("health_check", "event", {"action": "ping"}),
    ("pnl", "pnl_update", {}),
    ("pnl", "Daily PnL: $1,250.75", {}),
    ("pnl", "pnl=-3.5%", {}),
]
LOGGED = [
    ("tick size changed to 0.01", {}),
    ("ticker started on 3 symbols", {}),
    ("Ticket 42 opened", {}),
    ("order_submitted", {"symbol": "TICK", "price": 1.0}),
    ("market_data_stale", {"age_seconds": 12}),
    ("order filled", {"order_id": "O-1"}),
    ('127.0.0.1:5000 - "GET /health HTTP/1.1" 503', {}),
    ('127.0.0.1:5000 - "GET /api/orders HTTP/1.1" 200', {}),
    ('127.0.0.1:5000 - "GET /healthy-habits HTTP/1.1" 200', {}),
    ("pnl limit reached", {}),
    ("closed position, pnl=5 after 3 fills", {}),
    ("ping pong strategy started", {}),
]


@pytest.mark.parametrize(("rule", "event", "fields"), DROPPED)
@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO])
def test_what_must_not_be_logged_is_dropped_and_counted(rule: str, event: str, fields: dict[str, object], level: int) -> None:
    table = DropTable()
    assert table.drops(level, "app", event, fields)
    assert table.counts == {**dict.fromkeys((each.name for each in DEFAULT_DROP_RULES), 0), rule: 1}


@pytest.mark.parametrize(("event", "fields"), LOGGED)
def test_everything_else_is_logged(event: str, fields: dict[str, object]) -> None:
    table = DropTable()
    assert not table.drops(logging.INFO, "app", event, fields)
    assert not any(table.counts.values())


@pytest.mark.parametrize(("rule", "event", "fields"), DROPPED)
@pytest.mark.parametrize("level", [logging.WARNING, logging.ERROR, logging.CRITICAL, 35])
def test_nothing_from_warning_on_is_dropped(rule: str, event: str, fields: dict[str, object], level: int) -> None:
    table = DropTable((*DEFAULT_DROP_RULES, DropRule("all", pattern=".")))
    assert not table.drops(level, "app", event, fields)
    assert not any(table.counts.values())


def test_a_rule_of_a_logger_takes_its_children_not_its_namesakes() -> None:
    table = DropTable((DropRule("feed", loggers=("feed.raw",)),))
    assert table.drops(logging.INFO, "feed.raw", "x", {})
    assert table.drops(logging.INFO, "feed.raw.spy", "x", {})
    assert not table.drops(logging.INFO, "feed.rawhide", "x", {})
    assert not table.drops(logging.INFO, "feed", "x", {})


def test_the_first_rule_that_matches_counts() -> None:
    table = DropTable((DropRule("a", events=frozenset({"X"})), DropRule("b", events=frozenset({"x"}))))
    assert table.drops(logging.INFO, "app", "x", {})
    assert table.counts == {"a": 1, "b": 0}


def test_counts_are_exact_under_threads() -> None:
    table = DropTable()
    threads = [threading.Thread(target=lambda: [table.drops(20, "a", "tick", {}) for _ in range(5_000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert table.counts["tick"] == 20_000


def test_a_rule_that_matches_nothing_or_is_named_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="matches nothing"):
        DropRule("empty")
    with pytest.raises(ValueError, match="not a regular expression"):
        DropRule("wrong", pattern="(")
    with pytest.raises(ValueError, match="names of their own"):
        DropTable((DropRule("a", pattern="x"), DropRule("a", pattern="y")))
