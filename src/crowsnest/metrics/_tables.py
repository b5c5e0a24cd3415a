"""Every metric, declared once: name, type, help, labels, buckets and the key that Python code uses.

The names, types, labels and buckets are those of the sources (docs/metrics.md says which and where they were decided
here). What is added to them is marked "ours".
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from crowsnest.metrics._instruments import Kind, MetricSpec
from crowsnest.metrics._labels import Label

_STRATEGY = Label("strategy")
_SYMBOL = Label("symbol")
_SOURCE = Label("source", known=("ibkr_rt", "ibkr_hist"), cap=10)
_SIDE = Label("side", known=("BUY", "SELL"), closed=True)
_DIRECTION = Label("direction", known=("BUY", "SELL"), closed=True)
_ORDER_TYPE = Label(
    "order_type",
    known=(
        *("MARKET", "LIMIT", "STOP", "STOP_MARKET", "STOP_LIMIT", "MARKET_TO_LIMIT", "MARKET_IF_TOUCHED"),
        *("LIMIT_IF_TOUCHED", "TRAILING_STOP", "TRAILING_STOP_MARKET", "TRAILING_STOP_LIMIT"),
    ),
    closed=True,
)
_ORDER_STATUS = Label(
    "status",
    known=(
        *("INITIALIZED", "SUBMITTED", "ACCEPTED", "TRIGGERED", "PENDING_UPDATE", "PENDING_CANCEL", "PARTIAL_FILL"),
        *("PARTIALLY_FILLED", "FILLED", "CANCELED", "CANCELLED", "EXPIRED", "REJECTED", "DENIED"),
    ),
    closed=True,
)
_FILL_STATUS = Label("status", known=("FILLED", "PARTIAL_FILL", "REJECTED"), closed=True)
_SOLVER_STATUS = Label("status", cap=15)
_RISK_RESULT = Label("result", known=("approve", "reject", "require_approval", "reduce_size"), closed=True)
_DURATION = Label("duration", known=("1m", "5m", "1h", "1d"), cap=15)
_EVENT_TYPE = Label("event_type", known=("bar", "tick", "ofi"), closed=True)
_ERROR_TYPE = Label("error_type", cap=25)
_REASON = Label("reason", cap=25)
_CHECK_TYPE = Label("check_type", cap=25)
_FEATURE = Label("feature", cap=25)
_FROM_REGIME = Label("from_regime", known=("Calm", "Normal", "Storm"), closed=True)
_TO_REGIME = Label("to_regime", known=("Calm", "Normal", "Storm"), closed=True)
# Open, though three are known: the name of the switch that stopped trading is the last thing to fold into "other".
_SWITCH_TYPE = Label("switch_type", known=("pnl", "drawdown", "psr"), cap=15)

_LATENCY_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


def _counter(name: str, key: str, text: str, *labels: Label) -> MetricSpec:
    return MetricSpec(name, Kind.COUNTER, text, labels, key=key)


def _gauge(name: str, key: str, text: str, *labels: Label) -> MetricSpec:
    return MetricSpec(name, Kind.GAUGE, text, labels, key=key)


def _histogram(name: str, key: str, text: str, buckets: tuple[float, ...], *labels: Label) -> MetricSpec:
    return MetricSpec(name, Kind.HISTOGRAM, text, labels, buckets, key)


TRADING = (
    MetricSpec("trading_system_info", Kind.INFO, "Trading system information", key="system_info"),
    _counter("trading_orders_total", "orders_total", "Total orders submitted", _SIDE, _ORDER_TYPE, _STRATEGY, _ORDER_STATUS),
    _counter("trading_trades_total", "trades_total", "Total trades executed", _SIDE, _STRATEGY),
    _histogram(
        "trading_trade_pnl_dollars",
        "trade_pnl",
        "Trade P&L in dollars",
        (-1000, -500, -200, -100, -50, -20, 0, 20, 50, 100, 200, 500, 1000),
        _STRATEGY,
    ),
    _gauge("trading_portfolio_equity_dollars", "portfolio_equity", "Total portfolio equity"),
    _gauge("trading_portfolio_cash_dollars", "portfolio_cash", "Available cash"),
    _gauge("trading_portfolio_positions_count", "portfolio_positions_count", "Number of open positions"),
    _gauge("trading_portfolio_daily_pnl_dollars", "portfolio_daily_pnl", "Daily P&L in dollars"),
    _gauge("trading_portfolio_daily_pnl_pct", "portfolio_daily_pnl_pct", "Daily P&L percentage"),
    _gauge("trading_portfolio_drawdown_pct", "portfolio_drawdown_pct", "Current drawdown percentage"),
    _counter("trading_risk_checks_total", "risk_checks_total", "Total risk checks performed", _RISK_RESULT),
    _gauge("trading_pdt_trades_used", "pdt_trades_used", "Day trades used in rolling 5-day window (max 3)"),
    _gauge("trading_circuit_breakers_tripped", "circuit_breakers_tripped", "Number of circuit breakers currently tripped"),
    _gauge("trading_kill_switch_active", "kill_switch_active", "Kill switch status"),
    _histogram(
        "trading_fill_latency_ms",
        "fill_latency_ms",
        "Time from signal to fill in milliseconds",
        (100, 500, 1000, 2000, 5000, 10000),
    ),
    _histogram("trading_slippage_bps", "slippage_bps", "Execution slippage in basis points", (0, 1, 2, 5, 10, 20, 50)),
    _gauge("trading_ml_model_accuracy", "ml_model_accuracy", "Current ML model accuracy"),
    _gauge("trading_ml_psi_drift", "ml_psi_drift", "Population Stability Index (model drift)"),
)
"""S3-04 to S3-21, in their order."""

TRADING_OURS = (
    _counter("trading_trade_profit_dollars_total", "trade_profit", "Sum of the P&L of winning trades", _STRATEGY),
    _counter("trading_trade_loss_dollars_total", "trade_loss", "Sum of the P&L of losing trades, positive", _STRATEGY),
    _counter("trading_slippage_cost_bps_total", "slippage_cost", "Sum of slippage above 0 in basis points"),
    _counter("trading_price_improvement_bps_total", "price_improvement", "Sum of slippage below 0 in basis points, positive"),
    _gauge("trading_vix", "vix", "Volatility index (VIX)"),
    _gauge("trading_ml_feature_importance", "ml_feature_importance", "Weight of a feature in the model, 0 to 1", _FEATURE),
    _histogram(
        "trading_ml_prediction_confidence",
        "ml_prediction_confidence",
        "Confidence of the model's predictions, 0 to 1",
        (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1),
        _STRATEGY,
    ),
)
"""Ours: the monotonic halves of the sums that may fall, so that rate() and increase() are right; the value of a breaker
for which no source names a metric; and what two panels of S3-43 show, for which no source names one either."""

DATA_PLANE = (
    _counter("data_ticks_received_total", "ticks_received", "Tick events received", _SOURCE, _SYMBOL),
    _counter("data_bars_received_total", "bars_received", "Bar events received", _SOURCE, _SYMBOL, _DURATION),
    _counter("data_ofi_events_generated_total", "ofi_events_generated", "OFI events generated", _SYMBOL),
    _histogram(
        "data_freshness_seconds",
        "data_freshness",
        "Age of market data when it arrives, in seconds",
        (0.01, 0.05, 0.1, 0.25, 0.5, 1, 5, 10),
        _SOURCE,
        _SYMBOL,
    ),
    _gauge("data_completeness_score", "completeness_score", "Data completeness, 0 to 1", _SYMBOL),
    _counter("data_validation_errors_total", "validation_errors", "Validation errors", _ERROR_TYPE, _SYMBOL),
    _counter("data_ntp_rejects_total", "ntp_rejects", "Events rejected for clock drift against NTP"),
    _counter("data_normalization_errors_total", "normalization_errors", "Normalization errors", _SOURCE),
    _counter("data_dlq_messages_total", "dlq_messages", "Messages sent to the dead letter queue", _REASON),
    _counter("data_storage_writes_total", "storage_writes", "Storage writes", _EVENT_TYPE),
    _histogram(
        "data_storage_write_latency_seconds",
        "storage_write_latency",
        "Storage write latency in seconds",
        _LATENCY_SECONDS,
        _EVENT_TYPE,
    ),
)
"""S5-05 to S5-15."""

ORDER_PLANE = (
    _counter("orders_received_total", "orders_received", "Order intents received", _STRATEGY, _SYMBOL),
    _counter("orders_submitted_total", "orders_submitted", "Orders submitted to broker", _ORDER_TYPE, _DIRECTION, _SYMBOL),
    _counter("orders_filled_total", "orders_filled", "Orders filled", _FILL_STATUS, _SYMBOL),
    _counter("orders_rejected_total", "orders_rejected", "Orders rejected", _REASON, _SYMBOL),
    _histogram(
        "orders_intent_to_submit_latency_seconds",
        "intent_to_submit_latency",
        "Latency from intent to submission in seconds",
        _LATENCY_SECONDS,
        _SYMBOL,
    ),
    _histogram(
        "orders_submit_to_ack_latency_seconds",
        "submit_to_ack_latency",
        "Latency from submission to the broker's acknowledgement in seconds",
        _LATENCY_SECONDS,
        _SYMBOL,
    ),
    _histogram(
        "orders_ack_to_fill_latency_seconds",
        "ack_to_fill_latency",
        "Latency from acknowledgement to fill in seconds",
        _LATENCY_SECONDS,
        _SYMBOL,
    ),
    _histogram(
        "orders_total_fill_latency_seconds",
        "total_fill_latency",
        "Latency from intent to fill in seconds",
        _LATENCY_SECONDS,
        _SYMBOL,
    ),
    _histogram(
        "orders_slippage_bps",
        "slippage_bps",
        "Slippage in basis points; below 0 is price improvement",
        (-50, -20, -10, -5, -1, 0, 1, 5, 10, 20, 50, 100, 200, 500),
        _SYMBOL,
    ),
    _counter("orders_commission_total_usd", "commission_total", "Commission paid in USD", _SYMBOL),
    _counter("orders_risk_rejections_total", "risk_rejections", "Risk check rejections", _CHECK_TYPE),
    _counter("orders_pov_downscales_total", "pov_downscales", "Orders made smaller by the POV limit", _SYMBOL),
)
"""S5-16 to S5-27."""

STRATEGY_PLANE = (
    _counter("strategy_signals_generated_total", "signals_generated", "Signals generated", _STRATEGY, _DIRECTION),
    _histogram(
        "strategy_signal_strength",
        "signal_strength",
        "Signal strength, 0 to 1",
        (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1),
        _STRATEGY,
    ),
    _gauge("strategy_portfolio_gross_exposure_usd", "portfolio_gross_exposure", "Gross exposure in USD"),
    _gauge("strategy_portfolio_net_exposure_usd", "portfolio_net_exposure", "Net exposure in USD"),
    _gauge("strategy_portfolio_value_usd", "portfolio_value", "Portfolio value in USD"),
    _gauge("strategy_pnl_realized_usd", "pnl_realized", "Realized P&L in USD"),
    _gauge("strategy_pnl_unrealized_usd", "pnl_unrealized", "Unrealized P&L in USD"),
    _gauge("strategy_pnl_total_usd", "pnl_total", "Realized and unrealized P&L in USD"),
    _gauge("strategy_regime_state", "regime_state", "Market regime (0=Calm, 1=Normal, 2=Storm)"),
    _counter("strategy_regime_transitions_total", "regime_transitions", "Regime transitions", _FROM_REGIME, _TO_REGIME),
    _histogram(
        "strategy_qp_solve_time_seconds",
        "qp_solve_time",
        "Time to solve the quadratic program in seconds",
        (0.001, 0.01, 0.05, 0.1, 0.5, 1, 2, 5),
    ),
    _counter("strategy_qp_solve_status_total", "qp_solve_status", "Results of the QP solver", _SOLVER_STATUS),
    _counter("strategy_kill_switches_triggered_total", "kill_switches_triggered", "Kill switch triggers", _SWITCH_TYPE),
    _gauge("strategy_kill_switch_active", "kill_switch_active", "Kill switch status (0=inactive, 1=active)", _SWITCH_TYPE),
)
"""S5-28 to S5-41."""

PLANES: Mapping[str, tuple[MetricSpec, ...]] = MappingProxyType(
    {"data_plane": DATA_PLANE, "order_plane": ORDER_PLANE, "strategy_plane": STRATEGY_PLANE}
)
PREFIXES: Mapping[str, str] = MappingProxyType({"data_plane": "data_", "order_plane": "orders_", "strategy_plane": "strategy_"})


def spellings(plane: str, spec: MetricSpec) -> set[str]:
    """Every key under which a metric of a plane is found.

    The sources write `ticks_received` without and `data_freshness` with the plane's prefix. So each metric has both,
    and its exposed name too, with or without the units at its end.
    """
    names = {spec.key, spec.name}
    stem = spec.name
    while (shorter := _without_unit(stem)) != stem:
        stem = shorter
        names.add(stem)
    prefix = PREFIXES[plane]
    bare = {name.removeprefix(prefix) for name in names}
    return bare | {prefix + name for name in bare}


def _without_unit(name: str) -> str:
    for unit in ("_total", "_seconds", "_usd", "_bps"):
        if name.endswith(unit):
            return name.removesuffix(unit)
    return name
