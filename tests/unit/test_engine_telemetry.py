"""The engine's metrics come from what happened; nothing here needs NautilusTrader."""

from __future__ import annotations

import re
import socket

import pytest

from crowsnest.engine.analysis import Portfolio, minimum_variance, population_stability
from crowsnest.engine.telemetry import COOL_DOWN_DAYS, VOLATILITY_DAYS, Telemetry

SYMBOLS = ("AAPL", "IBM")


@pytest.fixture
def telemetry():
    telemetry = Telemetry(SYMBOLS, ("ema_cross",))
    yield telemetry
    telemetry.close()


def bars(close: float = 100.0, **changes: float) -> list[dict]:
    prices = {"open": close, "high": close + 1, "low": close - 1, "close": close, "volume": 1_000_000.0, **changes}
    return [{"symbol": symbol, **prices} for symbol in SYMBOLS]


def portfolio(equity: float, positions: tuple = ()) -> Portfolio:
    return Portfolio(equity, equity / 2, equity - 1_000_000, 0.0, positions)


def day(telemetry: Telemetry, equity: float, close: float = 100.0) -> None:
    telemetry.day_begins(bars(close))
    telemetry.day_ends(portfolio(equity))


def value(telemetry: Telemetry, series: str) -> float:
    for source in (telemetry.data, telemetry.orders, telemetry.strategy):
        if found := re.search(rf"^{re.escape(series)} (\S+)$", source.exposition(), re.MULTILINE):
            return float(found[1])
    raise AssertionError(f"{series} is not exposed")


def test_an_order_is_measured_from_intent_to_fill(telemetry):
    telemetry.day_begins(bars())
    telemetry.intended("1", "ema_cross", "BUY", "AAPL", 100.0)
    telemetry.submitted("1")
    telemetry.acknowledged("1")
    telemetry.filled("1", 100.1, 1.5)

    assert value(telemetry, 'trading_orders_total{order_type="MARKET",side="BUY",status="FILLED",strategy="ema_cross"}') == 1
    assert value(telemetry, 'orders_total_fill_latency_seconds_count{service="order_plane",symbol="AAPL"}') == 1
    assert value(telemetry, 'orders_submit_to_ack_latency_seconds_count{service="order_plane",symbol="AAPL"}') == 1
    assert value(telemetry, 'orders_commission_total_usd{service="order_plane",symbol="AAPL"}') == 1.5
    assert value(telemetry, "trading_slippage_cost_bps_total") == pytest.approx(10)


def test_selling_lower_than_expected_is_slippage_too(telemetry):
    telemetry.day_begins(bars())
    telemetry.intended("1", "ema_cross", "SELL", "AAPL", 100.0)
    telemetry.submitted("1")
    telemetry.filled("1", 99.9, 0)

    assert value(telemetry, "trading_slippage_cost_bps_total") == pytest.approx(10)


def test_a_rejection_is_counted_with_its_reason(telemetry):
    telemetry.day_begins(bars())
    telemetry.intended("1", "ema_cross", "BUY", "AAPL", 100.0)
    telemetry.submitted("1")
    telemetry.rejected("1", "margin")

    assert value(telemetry, 'orders_rejected_total{reason="margin",service="order_plane",symbol="AAPL"}') == 1


def test_drawdown_is_that_of_the_highest_equity(telemetry):
    for equity in (1_000_000, 1_100_000, 1_045_000):
        day(telemetry, equity)

    assert value(telemetry, "trading_portfolio_drawdown_pct") == pytest.approx(5)
    assert value(telemetry, "trading_portfolio_daily_pnl_pct") == pytest.approx(-5)


def test_a_breaker_stops_entries_until_it_has_cooled_down(telemetry):
    day(telemetry, 1_000_000)
    assert telemetry.may_enter()
    day(telemetry, 900_000)

    assert not telemetry.may_enter()
    assert value(telemetry, "trading_kill_switch_active") == 1
    assert value(telemetry, "trading_circuit_breakers_tripped") == 2  # the drawdown, and the loss of that day
    assert value(telemetry, 'strategy_kill_switch_active{service="strategy_plane",switch_type="drawdown"}') == 1
    assert value(telemetry, 'orders_risk_rejections_total{check_type="kill_switch",service="order_plane"}') == 1
    for _ in range(COOL_DOWN_DAYS):
        day(telemetry, 900_000)
    assert telemetry.may_enter()
    assert value(telemetry, "trading_kill_switch_active") == 0


def test_a_new_loop_begins_without_a_past(telemetry):
    day(telemetry, 1_000_000)
    day(telemetry, 800_000)
    telemetry.loop_ends()
    day(telemetry, 1_000_000)

    assert telemetry.may_enter()
    assert value(telemetry, "trading_portfolio_drawdown_pct") == 0
    assert value(telemetry, 'strategy_kill_switches_triggered_total{service="strategy_plane",switch_type="pnl"}') == 1


def test_a_bar_that_cannot_be_is_counted(telemetry):
    telemetry.day_begins(bars(high=90.0))

    assert value(telemetry, 'data_validation_errors_total{error_type="price_range",service="data_plane",symbol="AAPL"}') == 1
    assert value(telemetry, 'data_dlq_messages_total{reason="price_range",service="data_plane"}') == 2


def test_volatility_makes_the_regime(telemetry):
    for number in range(VOLATILITY_DAYS + 2):
        day(telemetry, 1_000_000, close=100 + 5 * (number % 2))

    assert value(telemetry, "trading_vix") > 60
    assert value(telemetry, 'strategy_regime_state{service="strategy_plane"}') == 2


def test_an_order_is_not_larger_than_its_share_of_the_volume(telemetry):
    telemetry.day_begins(bars(volume=1000.0))

    assert telemetry.sized("AAPL", 5) == 5
    assert telemetry.sized("AAPL", 500) == 10
    assert value(telemetry, 'orders_pov_downscales_total{service="order_plane",symbol="AAPL"}') == 1


def test_a_taken_port_does_not_keep_anything_from_trading(telemetry, monkeypatch, caplog):
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = dict.fromkeys(("data_plane", "order_plane", "strategy_plane"), other.getsockname()[1])
        monkeypatch.setattr("crowsnest.metrics._server.METRICS_PORTS", taken)
        telemetry.serve("127.0.0.1")

    assert "are not served" in caplog.text


def test_no_call_of_the_engine_is_refused(telemetry):
    test_an_order_is_measured_from_intent_to_fill(telemetry)
    day(telemetry, 1_000_000)

    assert [source.problems() for source in (telemetry.data, telemetry.orders, telemetry.strategy, telemetry.trading)] == [
        {}
    ] * 4


def test_alike_samples_are_stable_and_others_are_not():
    sample = [number / 100 for number in range(100)]

    assert population_stability(sample, sample) == pytest.approx(0)
    assert population_stability(sample, [value + 0.5 for value in sample]) > 0.2
    with pytest.raises(ValueError, match="must have values"):
        population_stability([], sample)


def test_the_calmer_asset_weighs_more():
    calm, wild = [0.01, -0.01] * 10, [0.02, 0.02, -0.02, -0.02] * 5
    weights = minimum_variance([calm, wild])

    assert weights is not None
    assert sum(weights) == pytest.approx(1)
    # Uncorrelated: the weights are as the inverse variances, 4 to 1.
    assert weights[0] == pytest.approx(0.8, abs=1e-3)
    assert minimum_variance([[0.0] * 4, [0.0] * 4]) == [0.5, 0.5]


def test_a_signal_to_enter_is_a_prediction_and_one_to_leave_is_none(telemetry):
    telemetry.signal("ema_cross", "AAPL", "BUY", 0.35, enters=True)
    telemetry.signal("ema_cross", "AAPL", "SELL", 0.9, enters=False)

    assert value(telemetry, 'trading_ml_prediction_confidence_count{strategy="ema_cross"}') == 1
    assert value(telemetry, 'trading_ml_prediction_confidence_bucket{le="0.4",strategy="ema_cross"}') == 1


def test_the_feature_that_decides_the_profit_has_the_weight(telemetry):
    for number in range(-VOLATILITY_DAYS, 40):
        telemetry.day_begins(bars(100 + number % 7, volume=1_000_000.0 + number % 3))
        strength = (number * 37 % 100) / 100
        telemetry.signal("ema_cross", "AAPL", "BUY", strength, enters=True)
        telemetry.position_opened(str(number), "ema_cross", "AAPL")
        telemetry.position_closed(str(number), "ema_cross", 1000 * strength)
        telemetry.day_ends(portfolio(1_000_000))

    weights = {
        name: value(telemetry, f'trading_ml_feature_importance{{feature="{name}"}}')
        for name in ("signal_strength", "volatility", "momentum", "volume")
    }
    assert sum(weights.values()) == pytest.approx(1)
    assert weights["signal_strength"] > 0.5
