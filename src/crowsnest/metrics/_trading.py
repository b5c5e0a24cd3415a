"""`TradingMetrics`: orders, trades, portfolio, risk, execution and model of one trading process."""

from __future__ import annotations

from collections.abc import Mapping

from crowsnest.metrics._instruments import Family
from crowsnest.metrics._readiness import Readiness
from crowsnest.metrics._source import MetricSource
from crowsnest.metrics._tables import TRADING, TRADING_OURS


class TradingMetrics(MetricSource):
    """The `trading_*` metrics, as methods for events and as attributes for whoever wants a metric itself.

    No method raises, whatever it is given (`strict=True`: `MetricError`). Update from any thread.

    >>> metrics = TradingMetrics(version="1.0.0", environment="production", broker="ibkr")
    >>> metrics.record_order("BUY", "LIMIT", "SwingMomentum", "FILLED")
    >>> metrics.orders_total.labels(side="BUY", order_type="LIMIT", strategy="SwingMomentum", status="FILLED").inc()
    """

    system_info: Family
    orders_total: Family
    trades_total: Family
    trade_pnl: Family
    portfolio_equity: Family
    portfolio_cash: Family
    portfolio_positions_count: Family
    portfolio_daily_pnl: Family
    portfolio_daily_pnl_pct: Family
    portfolio_drawdown_pct: Family
    risk_checks_total: Family
    pdt_trades_used: Family
    circuit_breakers_tripped: Family
    kill_switch_active: Family
    fill_latency_ms: Family
    slippage_bps: Family
    ml_model_accuracy: Family
    ml_psi_drift: Family
    trade_profit: Family
    trade_loss: Family
    slippage_cost: Family
    price_improvement: Family
    vix: Family
    ml_feature_importance: Family
    ml_prediction_confidence: Family

    def __init__(
        self,
        *,
        version: str = "1.0.0",
        environment: str = "production",
        broker: str = "ibkr",
        strict: bool = False,
        readiness: Readiness | None = None,
        label_caps: Mapping[str, int] | None = None,
        max_series_per_metric: int | None = None,
    ) -> None:
        """Make the metrics.

        Args:
            version: of the trading system; with `environment` and `broker` the labels of `trading_system_info`.
            environment: such as production or paper.
            broker: such as ibkr.
            strict: raise `MetricError` for a wrong call; for tests, not for trading.
            readiness: what `/ready` looks at; by default broker, feed, database and log_pipeline.
            label_caps: most distinct values, by label name, where the default of 50 does not fit.
            max_series_per_metric: label combinations; by default 200, of a histogram 50.

        Raises:
            ValueError: `label_caps` names a label that does not exist.
        """
        super().__init__(
            "trading",
            (*TRADING, *TRADING_OURS),
            strict=strict,
            readiness=readiness,
            label_caps=label_caps,
            max_series_per_metric=max_series_per_metric,
        )
        for spec in (*TRADING, *TRADING_OURS):
            setattr(self, spec.key, self._instruments.families[spec.name])
        self.system_info.info({"version": version, "environment": environment, "broker": broker})

    def record_order(self, side: str, order_type: str, strategy: str, status: str) -> None:
        """Count an order that reached `status`, such as SUBMITTED or FILLED."""
        self.orders_total.labels(side, order_type, strategy, status).inc()

    def record_trade(self, side: str, strategy: str, pnl_dollars: float | None = None) -> None:
        """Count an executed trade, and its P&L in dollars when it closed something."""
        self.trades_total.labels(side, strategy).inc()
        if pnl_dollars is not None:
            self.record_trade_pnl(strategy, pnl_dollars)

    def record_trade_pnl(self, strategy: str, pnl_dollars: float) -> None:
        """Put a trade's P&L in dollars into its histogram and into the sums of profit and loss."""
        self.trade_pnl.labels(strategy).observe(pnl_dollars)
        _into_halves(pnl_dollars, self.trade_profit, self.trade_loss, strategy)

    def record_fill_latency(self, milliseconds: float) -> None:
        """Time from signal to fill."""
        self.fill_latency_ms.observe(milliseconds)

    def record_slippage(self, basis_points: float) -> None:
        """Slippage of a fill: above 0 the price was worse than expected, below 0 better (price improvement)."""
        self.slippage_bps.observe(basis_points)
        _into_halves(basis_points, self.slippage_cost, self.price_improvement)

    def record_risk_check(self, result: str) -> None:
        """Count a risk check: approve, reject, require_approval or reduce_size."""
        self.risk_checks_total.labels(result).inc()

    def update_portfolio(
        self,
        *,
        equity_dollars: float | None = None,
        cash_dollars: float | None = None,
        positions: float | None = None,
        daily_pnl_dollars: float | None = None,
        daily_pnl_pct: float | None = None,
        drawdown_pct: float | None = None,
    ) -> None:
        """Take a portfolio snapshot; what is None stays as it was.

        Percentages are percent (0.52 is 0.52 %). Drawdown is a magnitude: -3.2 is taken as 3.2, because a negative one
        would never be above an alert's bound.
        """
        for family, value in (
            (self.portfolio_equity, equity_dollars),
            (self.portfolio_cash, cash_dollars),
            (self.portfolio_positions_count, positions),
            (self.portfolio_daily_pnl, daily_pnl_dollars),
            (self.portfolio_daily_pnl_pct, daily_pnl_pct),
            (self.portfolio_drawdown_pct, _magnitude(drawdown_pct)),
        ):
            if value is not None:
                family.set(value)

    def set_pdt_trades_used(self, count: float) -> None:
        """Day trades used in the rolling window of five days; the limit is 3."""
        self.pdt_trades_used.set(count)

    def set_circuit_breakers_tripped(self, count: float) -> None:
        """How many circuit breakers are tripped now."""
        self.circuit_breakers_tripped.set(count)

    def set_vix(self, value: float) -> None:
        """The market's volatility index; a circuit breaker of the sources trips above 35."""
        self.vix.set(value)

    def set_kill_switch(self, active: bool) -> None:
        """Whether the kill switch is active."""
        self.kill_switch_active.set(1.0 if active else 0.0)

    def update_model(self, *, accuracy: float | None = None, psi_drift: float | None = None) -> None:
        """Accuracy (0 to 1) and Population Stability Index of the model; what is None stays as it was."""
        if accuracy is not None:
            self.ml_model_accuracy.set(accuracy)
        if psi_drift is not None:
            self.ml_psi_drift.set(psi_drift)

    def update_feature_importance(self, weights: Mapping[str, float]) -> None:
        """The weight of each feature in the model, 0 to 1; a feature that is not named keeps its last one."""
        for feature, weight in weights.items():
            self.ml_feature_importance.labels(feature).set(weight)

    def record_prediction(self, strategy: str, confidence: float) -> None:
        """Put the confidence of a prediction, 0 to 1, into its histogram."""
        self.ml_prediction_confidence.labels(strategy).observe(confidence)


def _magnitude(value: float | None) -> float | None:
    try:
        return None if value is None else abs(value)
    except Exception:  # noqa: BLE001 - the gauge refuses and counts what is no number
        return value


def _into_halves(value: float, above: Family, below: Family, *labels: str) -> None:
    """Add a signed amount to one of two counters. What is no finite number has been refused and counted already."""
    try:
        number = float(value)
    except Exception:  # noqa: BLE001 - as above
        return
    if number > 0 and number != float("inf"):
        above.labels(*labels).inc(number)
    elif number < 0 and number != float("-inf"):
        below.labels(*labels).inc(-number)
