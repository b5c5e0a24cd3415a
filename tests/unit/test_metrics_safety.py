"""A metric call never raises, never locks up, and never makes more series than it may."""

from __future__ import annotations

import enum
import os
import threading
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from crowsnest.metrics import MetricError, TradingMetrics, init_metrics_exporter
from crowsnest.metrics._labels import OTHER, Label, LabelValues, clean


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__  # type: ignore[assignment]
    __hash__ = None  # type: ignore[assignment]

    def __float__(self) -> float:
        raise RuntimeError("no number")


@given(st.one_of(st.text(), st.text(st.characters(categories=("Cs", "Cc", "Zs"))), st.integers(), st.none(), st.binary()))
def test_a_cleaned_label_is_always_good(value):
    text = clean(value)
    assert 1 <= len(text) <= 128
    assert text.isprintable()
    text.encode()
    assert clean(text) == text


@given(st.lists(st.text(st.characters(categories=("L", "P", "Cs", "Cc"))), max_size=40))
def test_any_label_values_give_a_readable_exposition(values):
    metrics = init_metrics_exporter("data_plane", label_caps={"symbol": 5})
    for value in values:
        metrics.inc("ofi_events_generated", symbol=value)
    samples = [
        s for f in text_string_to_metric_families(metrics.exposition()) for s in f.samples if s.name.startswith("data_ofi")
    ]
    assert sum(sample.value for sample in samples) == len(values)
    assert len(samples) <= 5 + 2  # other and unknown


def test_a_label_beyond_its_cap_becomes_other_and_is_counted():
    metrics = init_metrics_exporter("data_plane", label_caps={"symbol": 3})
    for number in range(10):
        metrics.inc("ofi_events_generated", symbol=f"S{number}")
        metrics.inc("ofi_events_generated", symbol="S0")
    text = metrics.exposition()
    assert 'data_ofi_events_generated_total{service="data_plane",symbol="S0"} 11.0' in text
    assert 'data_ofi_events_generated_total{service="data_plane",symbol="other"} 7.0' in text
    assert metrics.problems() == {"folded:symbol": 7}
    assert 'crowsnest_metrics_folded_labels_total{label="symbol",service="data_plane"} 7.0' in text


def test_the_series_of_a_metric_are_capped_too():
    metrics = init_metrics_exporter("data_plane", max_series_per_metric=4)
    for number in range(9):
        metrics.inc("ticks_received", source=f"s{number % 3}", symbol=f"S{number}")
    text = metrics.exposition()
    assert sum(line.startswith("data_ticks_received_total{") for line in text.splitlines()) == 5
    assert 'data_ticks_received_total{service="data_plane",source="other",symbol="other"} 5.0' in text
    assert metrics.problems() == {"capped:data_ticks_received_total": 5}


def test_a_closed_label_takes_only_what_it_knows_in_any_case():
    metrics = TradingMetrics()
    side = enum.Enum("side", {"BUY": 1})
    for value in ("BUY", "buy", side.BUY, "BUUY"):
        metrics.trades_total.labels(side=value, strategy="ema").inc()
    text = metrics.exposition()
    assert 'trading_trades_total{side="BUY",strategy="ema"} 3.0' in text
    assert 'trading_trades_total{side="other",strategy="ema"} 1.0' in text
    assert LabelValues(Label("x", ("a",), closed=True)).resolve("b") == (OTHER, True)


@pytest.mark.parametrize("value", [None, "x", float("nan"), float("inf"), -1, Hostile(), [], 10**400, Decimal("NaN")])
def test_a_value_that_is_none_is_refused_and_counted(value):
    metrics = init_metrics_exporter("data_plane")
    metrics.inc("ntp_rejects", value)
    metrics.inc("ntp_rejects", Decimal("0.5"))
    assert metrics.problems() == {"bad_value": 1}
    assert 'data_ntp_rejects_total{service="data_plane"} 0.5' in metrics.exposition()


def test_no_call_raises():
    metrics, trading = init_metrics_exporter("data_plane"), TradingMetrics()
    hostile = Hostile()
    for value in (hostile, None, "x", float("nan"), -1):
        metrics.inc("nonsense", value)
        metrics.inc(hostile, value)  # type: ignore[arg-type]
        metrics.inc("ticks_received", value, source=hostile, symbol=value)
        metrics.observe("ticks_received", value, colour="red")
        metrics.set("freshness", value)
        metrics.observe("freshness", value, symbol=[])
        metrics.bind("nonsense").observe(value)  # type: ignore[arg-type]
        trading.record_order(value, value, value, value)  # type: ignore[arg-type]
        trading.record_trade(value, value, value)  # type: ignore[arg-type]
        trading.record_slippage(value)  # type: ignore[arg-type]
        trading.update_portfolio(equity_dollars=value, drawdown_pct=value)  # type: ignore[arg-type]
        trading.system_info.info({"a b": value})
        trading.system_info.info(value)  # type: ignore[arg-type]
        trading.orders_total.labels("too", "few").inc(value)  # type: ignore[arg-type]
        trading.orders_total.inc()
        trading.readiness.report(value, value, value)  # type: ignore[arg-type]
    assert set(metrics.problems()) >= {"unknown_metric", "unknown_label", "missing_label", "wrong_kind", "bad_value"}
    for source in (metrics, trading):
        assert list(text_string_to_metric_families(source.exposition()))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.inc("nonsense"), "data_plane has no metric 'nonsense'; its keys are ticks_received, "),
        (lambda m: m.inc("ntp_rejects", colour="red"), "data_ntp_rejects_total has no label 'colour'; its labels are none"),
        (lambda m: m.inc("ticks_received", symbol="SPY"), "needs the label 'source'; its labels are source, symbol"),
        (lambda m: m.set("ntp_rejects", 1), r"data_ntp_rejects_total has no set\(\)"),
        (lambda m: m.inc("ntp_rejects", -1), "data_ntp_rejects_total cannot take -1"),
    ],
)
def test_strict_mode_says_what_is_wrong(call, message):
    with pytest.raises(MetricError, match=message):
        call(init_metrics_exporter("data_plane", strict=True))
    call(init_metrics_exporter("data_plane"))


def test_a_wrong_label_costs_the_label_and_not_the_sample():
    metrics = init_metrics_exporter("data_plane")
    metrics.inc("ofi_events_generated", symbol="SPY", colour="red")
    metrics.inc("ofi_events_generated")
    text = metrics.exposition()
    assert 'data_ofi_events_generated_total{service="data_plane",symbol="SPY"} 1.0' in text
    assert 'data_ofi_events_generated_total{service="data_plane",symbol="unknown"} 1.0' in text
    assert metrics.problems() == {"unknown_label": 1, "missing_label": 1}


def test_an_unknown_plane_or_cap_is_refused_at_once():
    with pytest.raises(ValueError, match="unknown plane 'moon'"):
        init_metrics_exporter("moon")
    with pytest.raises(ValueError, match="no label colour; labels are"):
        init_metrics_exporter("data_plane", label_caps={"colour": 3})


def test_a_gauge_says_nothing_before_it_is_set():
    assert "\ntrading_kill_switch_active " not in TradingMetrics().exposition()


def test_sums_that_may_fall_have_monotonic_halves():
    metrics = TradingMetrics()
    for pnl in (150.5, -40, -10, 0):
        metrics.record_trade_pnl("ema", pnl)
    for slippage in (3.0, -1.5, 0):
        metrics.record_slippage(slippage)
    text = metrics.exposition()
    assert "trading_trade_pnl_dollars_sum" not in text  # as OpenMetrics and prometheus_client have it
    assert 'trading_trade_profit_dollars_total{strategy="ema"} 150.5' in text
    assert 'trading_trade_loss_dollars_total{strategy="ema"} 50.0' in text
    assert 'trading_slippage_bps_bucket{le="0.0"} 2.0' in text
    assert "trading_slippage_bps_sum 1.5" in text
    assert "trading_slippage_cost_bps_total 3.0" in text
    assert "trading_price_improvement_bps_total 1.5" in text


def test_a_negative_drawdown_is_taken_as_its_magnitude():
    metrics = TradingMetrics()
    metrics.update_portfolio(drawdown_pct=-3.2)
    assert "trading_portfolio_drawdown_pct 3.2" in metrics.exposition()


def test_no_increment_is_lost_between_threads():
    metrics = init_metrics_exporter("data_plane")
    histogram = metrics.bind("freshness", source="a", symbol="b")

    def work() -> None:
        for _ in range(5_000):
            metrics.inc("ntp_rejects")
            histogram.observe(0.02)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    text = metrics.exposition()
    assert 'data_ntp_rejects_total{service="data_plane"} 20000.0' in text
    assert 'data_freshness_seconds_count{service="data_plane",source="a",symbol="b"} 20000.0' in text


def test_a_call_from_within_a_call_does_not_lock_up():
    """As a signal handler does that interrupts an increment."""
    metrics = init_metrics_exporter("data_plane")
    done = threading.Event()

    def work() -> None:
        with metrics._instruments.lock:
            metrics.inc("ntp_rejects")
        done.set()

    threading.Thread(target=work, daemon=True).start()
    assert done.wait(5)


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_fork_under_load_leaves_a_child_that_can_count():
    metrics = init_metrics_exporter("data_plane")
    ended = threading.Event()

    def work() -> None:
        while not ended.is_set():
            with metrics._instruments.lock:
                metrics.inc("ntp_rejects")

    threads = [threading.Thread(target=work, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            child = os.fork()
            if child == 0:
                locked = not metrics._instruments.lock.acquire(timeout=2)
                os._exit(1 if locked else 0)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        ended.set()
        for thread in threads:
            thread.join()
