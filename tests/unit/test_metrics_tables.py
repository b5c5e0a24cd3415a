"""Every metric of the sources: name, type, labels, buckets and sample, as the exposition shows them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from crowsnest.metrics import TradingMetrics, init_metrics_exporter

SRC = Path(__file__).parents[2] / "src"
PLANE = ("service",)
LATENCY = ["0.001", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "+Inf"]

# name, type in the text format, labels
TRADING = [
    ("trading_system_info", "gauge", ("broker", "environment", "version")),
    ("trading_orders_total", "counter", ("side", "order_type", "strategy", "status")),
    ("trading_trades_total", "counter", ("side", "strategy")),
    ("trading_trade_pnl_dollars", "histogram", ("strategy",)),
    ("trading_portfolio_equity_dollars", "gauge", ()),
    ("trading_portfolio_cash_dollars", "gauge", ()),
    ("trading_portfolio_positions_count", "gauge", ()),
    ("trading_portfolio_daily_pnl_dollars", "gauge", ()),
    ("trading_portfolio_daily_pnl_pct", "gauge", ()),
    ("trading_portfolio_drawdown_pct", "gauge", ()),
    ("trading_risk_checks_total", "counter", ("result",)),
    ("trading_pdt_trades_used", "gauge", ()),
    ("trading_circuit_breakers_tripped", "gauge", ()),
    ("trading_kill_switch_active", "gauge", ()),
    ("trading_fill_latency_ms", "histogram", ()),
    ("trading_slippage_bps", "histogram", ()),
    ("trading_ml_model_accuracy", "gauge", ()),
    ("trading_ml_psi_drift", "gauge", ()),
]
# plane, name, type, key of the sources, labels
PLANES = [
    ("data_plane", "data_ticks_received_total", "counter", "ticks_received", ("source", "symbol")),
    ("data_plane", "data_bars_received_total", "counter", "bars_received", ("source", "symbol", "duration")),
    ("data_plane", "data_ofi_events_generated_total", "counter", "ofi_events_generated", ("symbol",)),
    ("data_plane", "data_freshness_seconds", "histogram", "data_freshness", ("source", "symbol")),
    ("data_plane", "data_completeness_score", "gauge", "completeness_score", ("symbol",)),
    ("data_plane", "data_validation_errors_total", "counter", "validation_errors", ("error_type", "symbol")),
    ("data_plane", "data_ntp_rejects_total", "counter", "ntp_rejects", ()),
    ("data_plane", "data_normalization_errors_total", "counter", "normalization_errors", ("source",)),
    ("data_plane", "data_dlq_messages_total", "counter", "dlq_messages", ("reason",)),
    ("data_plane", "data_storage_writes_total", "counter", "storage_writes", ("event_type",)),
    ("data_plane", "data_storage_write_latency_seconds", "histogram", "storage_write_latency", ("event_type",)),
    ("order_plane", "orders_received_total", "counter", "orders_received", ("strategy", "symbol")),
    ("order_plane", "orders_submitted_total", "counter", "orders_submitted", ("order_type", "direction", "symbol")),
    ("order_plane", "orders_filled_total", "counter", "orders_filled", ("status", "symbol")),
    ("order_plane", "orders_rejected_total", "counter", "orders_rejected", ("reason", "symbol")),
    ("order_plane", "orders_intent_to_submit_latency_seconds", "histogram", "intent_to_submit_latency", ("symbol",)),
    ("order_plane", "orders_submit_to_ack_latency_seconds", "histogram", "submit_to_ack_latency", ("symbol",)),
    ("order_plane", "orders_ack_to_fill_latency_seconds", "histogram", "ack_to_fill_latency", ("symbol",)),
    ("order_plane", "orders_total_fill_latency_seconds", "histogram", "total_fill_latency", ("symbol",)),
    ("order_plane", "orders_slippage_bps", "histogram", "slippage_bps", ("symbol",)),
    ("order_plane", "orders_commission_total_usd", "untyped", "commission_total", ("symbol",)),
    ("order_plane", "orders_risk_rejections_total", "counter", "risk_rejections", ("check_type",)),
    ("order_plane", "orders_pov_downscales_total", "counter", "pov_downscales", ("symbol",)),
    ("strategy_plane", "strategy_signals_generated_total", "counter", "signals_generated", ("strategy", "direction")),
    ("strategy_plane", "strategy_signal_strength", "histogram", "signal_strength", ("strategy",)),
    ("strategy_plane", "strategy_portfolio_gross_exposure_usd", "gauge", "portfolio_gross_exposure", ()),
    ("strategy_plane", "strategy_portfolio_net_exposure_usd", "gauge", "portfolio_net_exposure", ()),
    ("strategy_plane", "strategy_portfolio_value_usd", "gauge", "portfolio_value", ()),
    ("strategy_plane", "strategy_pnl_realized_usd", "gauge", "pnl_realized", ()),
    ("strategy_plane", "strategy_pnl_unrealized_usd", "gauge", "pnl_unrealized", ()),
    ("strategy_plane", "strategy_pnl_total_usd", "gauge", "pnl_total", ()),
    ("strategy_plane", "strategy_regime_state", "gauge", "regime_state", ()),
    ("strategy_plane", "strategy_regime_transitions_total", "counter", "regime_transitions", ("from_regime", "to_regime")),
    ("strategy_plane", "strategy_qp_solve_time_seconds", "histogram", "qp_solve_time", ()),
    ("strategy_plane", "strategy_qp_solve_status_total", "counter", "qp_solve_status", ("status",)),
    ("strategy_plane", "strategy_kill_switches_triggered_total", "counter", "kill_switches_triggered", ("switch_type",)),
    ("strategy_plane", "strategy_kill_switch_active", "gauge", "kill_switch_active", ("switch_type",)),
]
VALUES = {
    "side": "BUY",
    "direction": "SELL",
    "order_type": "LIMIT",
    "strategy": "SwingMomentum",
    "status": "FILLED",
    "symbol": "SPY",
    "source": "ibkr_rt",
    "duration": "1m",
    "error_type": "schema",
    "event_type": "bar",
    "reason": "margin",
    "check_type": "notional",
    "from_regime": "Calm",
    "to_regime": "Storm",
    "switch_type": "pnl",
}


def lines(text: str, name: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith((f"{name}{{", f"{name} "))]


def filled_trading() -> TradingMetrics:
    """With the samples of the source."""
    metrics = TradingMetrics(version="1.0.0", environment="production", broker="ibkr", strict=True)
    metrics.record_order("BUY", "LIMIT", "SwingMomentum", "FILLED")
    metrics.record_trade("BUY", "SwingMomentum", 150.50)
    metrics.update_portfolio(
        equity_dollars=105432.50,
        cash_dollars=52716.25,
        positions=8,
        daily_pnl_dollars=543.20,
        daily_pnl_pct=0.52,
        drawdown_pct=3.2,
    )
    metrics.record_risk_check("approve")
    metrics.set_pdt_trades_used(2)
    metrics.set_circuit_breakers_tripped(0)
    metrics.set_kill_switch(False)
    metrics.record_fill_latency(1250)
    metrics.record_slippage(3.3)
    metrics.update_model(accuracy=0.58, psi_drift=0.12)
    return metrics


@pytest.mark.parametrize(("name", "kind", "labels"), TRADING, ids=[row[0] for row in TRADING])
def test_a_trading_metric_is_as_its_source_says(name, kind, labels):
    text = filled_trading().exposition()
    assert f"# TYPE {name} {kind}\n" in text
    samples = [s for family in text_string_to_metric_families(text) for s in family.samples if s.name.startswith(name)]
    assert samples
    assert all(set(sample.labels) - {"le"} == set(labels) for sample in samples)


@pytest.mark.parametrize(
    "line",
    [
        'trading_system_info{broker="ibkr",environment="production",version="1.0.0"} 1.0',
        'trading_orders_total{order_type="LIMIT",side="BUY",status="FILLED",strategy="SwingMomentum"} 1.0',
        'trading_trades_total{side="BUY",strategy="SwingMomentum"} 1.0',
        'trading_trade_pnl_dollars_bucket{le="100.0",strategy="SwingMomentum"} 0.0',
        'trading_trade_pnl_dollars_bucket{le="200.0",strategy="SwingMomentum"} 1.0',
        "trading_portfolio_equity_dollars 105432.5",
        "trading_portfolio_cash_dollars 52716.25",
        "trading_portfolio_positions_count 8.0",
        "trading_portfolio_daily_pnl_dollars 543.2",
        "trading_portfolio_daily_pnl_pct 0.52",
        "trading_portfolio_drawdown_pct 3.2",
        'trading_risk_checks_total{result="approve"} 1.0',
        'trading_risk_checks_total{result="reduce_size"} 0.0',
        "trading_pdt_trades_used 2.0",
        "trading_circuit_breakers_tripped 0.0",
        "trading_kill_switch_active 0.0",
        'trading_fill_latency_ms_bucket{le="1000.0"} 0.0',
        'trading_fill_latency_ms_bucket{le="2000.0"} 1.0',
        "trading_fill_latency_ms_sum 1250.0",
        'trading_slippage_bps_bucket{le="2.0"} 0.0',
        'trading_slippage_bps_bucket{le="5.0"} 1.0',
        "trading_ml_model_accuracy 0.58",
        "trading_ml_psi_drift 0.12",
    ],
)
def test_the_samples_of_the_source_are_exposed(line):
    assert line in filled_trading().exposition().splitlines()


@pytest.mark.parametrize(
    ("name", "bounds"),
    [
        ("trading_trade_pnl_dollars", "-1000.0 -500.0 -200.0 -100.0 -50.0 -20.0 0.0 20.0 50.0 100.0 200.0 500.0 1000.0 +Inf"),
        ("trading_fill_latency_ms", "100.0 500.0 1000.0 2000.0 5000.0 10000.0 +Inf"),
        ("trading_slippage_bps", "0.0 1.0 2.0 5.0 10.0 20.0 50.0 +Inf"),
    ],
)
def test_the_buckets_are_those_of_the_source(name, bounds):
    (family,) = [one for one in text_string_to_metric_families(filled_trading().exposition()) if one.name == name]
    assert [sample.labels["le"] for sample in family.samples if "le" in sample.labels] == bounds.split()


def test_there_are_37_plane_metrics_and_no_more():
    assert len(PLANES) == 37
    declared = [
        spec.name for plane in ("data_plane", "order_plane", "strategy_plane") for spec in init_metrics_exporter(plane).specs
    ]
    assert declared == [row[1] for row in PLANES]


@pytest.mark.parametrize(("plane", "name", "kind", "key", "labels"), PLANES, ids=[row[1] for row in PLANES])
def test_a_plane_metric_is_found_under_every_spelling_and_exposed_to_the_letter(plane, name, kind, key, labels):
    metrics = init_metrics_exporter(plane, strict=True)
    verb = {"gauge": metrics.set, "histogram": metrics.observe}.get(kind, metrics.inc)
    prefix = {"data_plane": "data_", "order_plane": "orders_", "strategy_plane": "strategy_"}[plane]
    bare = key.removeprefix(prefix)
    keys = (key, bare, prefix + bare, name)
    for spelling in keys:
        verb(spelling, 0.5, **{label: VALUES[label] for label in labels})

    text = metrics.exposition()
    assert f"# TYPE {name} {kind}\n" in text
    expected = 0.5 if kind == "gauge" else 4.0 if kind == "histogram" else 2.0
    found = {
        tuple(sorted(sample.labels)): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == (f"{name}_count" if kind == "histogram" else name) and sample.value
    }
    assert found == {tuple(sorted((*labels, *PLANE))): expected}


def test_no_key_means_two_metrics():
    from crowsnest.metrics._tables import PLANES as TABLES
    from crowsnest.metrics._tables import spellings

    for plane, specs in TABLES.items():
        keys = [key for spec in specs for key in spellings(plane, spec)]
        assert len(keys) == len(set(keys))


def test_the_example_of_the_source_byte_for_byte():
    metrics = init_metrics_exporter("data_plane")
    metrics.inc("ticks_received", source="ibkr_rt", symbol="SPY")
    metrics.observe("data_freshness", 0.150, source="ibkr_rt", symbol="SPY")
    metrics.set("completeness_score", 0.95, symbol="SPY")
    text = metrics.exposition()
    assert text.startswith(
        "# HELP data_ticks_received_total Tick events received\n"
        "# TYPE data_ticks_received_total counter\n"
        'data_ticks_received_total{service="data_plane",source="ibkr_rt",symbol="SPY"} 1.0\n'
    )
    assert 'data_freshness_seconds_bucket{le="0.1",service="data_plane",source="ibkr_rt",symbol="SPY"} 0.0\n' in text
    assert 'data_freshness_seconds_bucket{le="0.25",service="data_plane",source="ibkr_rt",symbol="SPY"} 1.0\n' in text
    assert 'data_freshness_seconds_sum{service="data_plane",source="ibkr_rt",symbol="SPY"} 0.15\n' in text
    assert 'data_completeness_score{service="data_plane",symbol="SPY"} 0.95\n' in text
    assert metrics.problems() == {}


def test_commission_keeps_its_name():
    metrics = init_metrics_exporter("order_plane")
    metrics.inc("commission_total", 1.25, symbol="SPY")
    assert (
        "# HELP orders_commission_total_usd Commission paid in USD\n"
        "# TYPE orders_commission_total_usd untyped\n"
        'orders_commission_total_usd{service="order_plane",symbol="SPY"} 1.25\n'
    ) in metrics.exposition()
    assert "usd_total" not in metrics.exposition()


@pytest.mark.parametrize("name", ["data_storage_write_latency_seconds", "orders_total_fill_latency_seconds"])
def test_latencies_are_in_seconds_with_buckets_from_a_millisecond(name):
    plane = "data_plane" if name.startswith("data") else "order_plane"
    metrics = init_metrics_exporter(plane)
    metrics.observe(name, 0.3, **({"event_type": "tick"} if plane == "data_plane" else {"symbol": "SPY"}))
    bounds = [line.split('le="')[1].split('"')[0] for line in lines(metrics.exposition(), f"{name}_bucket")]
    assert bounds == LATENCY


def test_nothing_is_exposed_twice_and_no_created_series():
    for metrics in (filled_trading(), *map(init_metrics_exporter, ("data_plane", "order_plane", "strategy_plane"))):
        text = metrics.exposition()
        types = [line for line in text.splitlines() if line.startswith("# TYPE")]
        assert len(types) == len(set(types))
        assert "_created" not in text


def test_the_library_pulls_in_nothing_but_the_client():
    code = (
        "import sys, crowsnest.metrics; "
        "print([m for m in sys.modules if m.startswith(('crowsnest.logs', 'crowsnest.alerts', 'msgspec', 'yaml'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(SRC)}, capture_output=True, text=True, check=True, timeout=20
    )
    assert done.stdout.strip() == "[]"
