"""The metrics of the replay: all four vocabularies, from what the strategies really did, nothing made up.

The order plane's endpoint shows ``trading_*`` beside ``orders_*``, because their sources give both the same port.
"""

from __future__ import annotations

import logging
import math
import statistics
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from crowsnest.alerts.thresholds import THRESHOLDS
from crowsnest.engine.analysis import Portfolio, importance, minimum_variance, population_stability
from crowsnest.logs import VictoriaLogsHandler
from crowsnest.logs.prometheus import LedgerCollector
from crowsnest.metrics import (
    BROKER,
    FEED,
    LOG_PIPELINE,
    MetricSource,
    MetricsServer,
    Readiness,
    TradingMetrics,
    init_metrics_exporter,
)

SOURCE = "replay"
DURATION = "1d"
ORDER_TYPE = "MARKET"
# The simulated exchange executes a bar as its four prices, in turn.
TICKS_PER_BAR = 4
DEPENDENCY_SECONDS = 120
# Records that wait for longer than this are not arriving.
LOGS_LATE_SECONDS = 30
VOLATILITY_DAYS = 20
DAYS_PER_YEAR = 252
REFERENCE_DAYS = 250
RECENT_DAYS = 60
# Annual volatility in percent up to which the market is calm, and normal; beyond is storm.
CALM, NORMAL = 15.0, 30.0
REGIMES = ("Calm", "Normal", "Storm")
# Trading days for which a tripped kill switch keeps strategies from entering.
COOL_DOWN_DAYS = 20
# Closed positions that the weights of features are made from: the last ones, and how many it takes at the least.
POSITIONS_WEIGHED, POSITIONS_NEEDED = 250, 30
# Share of a day's volume that one order may be.
POV_LIMIT = 0.01

_log = logging.getLogger("crowsnest.engine")
_BREAKERS = {row.name: row.breaker for row in THRESHOLDS if row.breaker is not None}


@dataclass(slots=True)
class _Order:
    """When an order was decided, sent and acknowledged, and the price it was decided at."""

    strategy: str
    side: str
    symbol: str
    price: float | None
    intended: float
    submitted: float = 0.0
    acknowledged: float = 0.0


@dataclass(slots=True)
class _Position:
    """When a position was opened, and what was known then."""

    day: int
    features: Mapping[str, float]


@dataclass(slots=True)
class _Market:
    """What has been seen of a symbol."""

    close: float = 0.0
    volume: float = 0.0
    bars: int = 0
    days: int = 0
    rose: bool | None = None
    volumes: deque[float] = field(default_factory=lambda: deque(maxlen=VOLATILITY_DAYS))
    returns: deque[float] = field(default_factory=lambda: deque(maxlen=VOLATILITY_DAYS))


class Telemetry:
    """Takes what happens and keeps the metrics. Used by the engine's thread alone; the servers have their own."""

    def __init__(self, symbols: Sequence[str], strategies: Sequence[str], journal: Path | None = None) -> None:
        """Make the metrics; each open label gets its first value at once, so that no series begins with its first event.

        Args:
            symbols: that are traded.
            strategies: that trade.
            journal: file that each day's bars are written to; a write of real data whose latency is measured.
        """
        self.readiness = Readiness(dict.fromkeys((BROKER, FEED, LOG_PIPELINE), float(DEPENDENCY_SECONDS)))
        none = Readiness({})
        self.trading = TradingMetrics(environment="demo", broker="simulated", readiness=none)
        self.data = init_metrics_exporter("data_plane", readiness=none)
        self.orders = init_metrics_exporter("order_plane", readiness=self.readiness)
        self.strategy = init_metrics_exporter("strategy_plane", readiness=none)
        self.orders.register(self.trading)
        self.orders.register(LedgerCollector())
        self._servers: list[MetricsServer] = []
        self._journal = journal
        self._symbols = tuple(symbols)
        self._day_number = 0
        self._wins = self._trades = 0
        self._fed_at = time.perf_counter()
        self._triggered: dict[str, int] = {}
        self._forget()
        self._begin_at_zero(strategies)

    def _forget(self) -> None:
        """Everything that belongs to one pass through the history."""
        self._orders: dict[str, _Order] = {}
        self._markets = {symbol: _Market() for symbol in self._symbols}
        self._basket: list[float] = []
        self._open: dict[str, _Position] = {}
        self._strengths: dict[tuple[str, str], float] = {}
        self._outcomes: deque[tuple[Mapping[str, float], float]] = deque(maxlen=POSITIONS_WEIGHED)
        self._day_trades: deque[int] = deque()
        self._equity = self._peak = 0.0
        self._regime: int | None = None

    def _begin_at_zero(self, strategies: Sequence[str]) -> None:
        for symbol in self._symbols:
            self.data.inc("ticks_received", 0, source=SOURCE, symbol=symbol)
            self.data.inc("bars_received", 0, source=SOURCE, symbol=symbol, duration=DURATION)
            self.data.inc("ofi_events_generated", 0, symbol=symbol)
            self.data.inc("validation_errors", 0, error_type="price_range", symbol=symbol)
            self.orders.inc("orders_rejected", 0, reason="venue", symbol=symbol)
            self.orders.inc("commission_total", 0, symbol=symbol)
            self.orders.inc("pov_downscales", 0, symbol=symbol)
            for strategy in strategies:
                self.orders.inc("orders_received", 0, strategy=strategy, symbol=symbol)
        self.data.inc("normalization_errors", 0, source=SOURCE)
        self.data.inc("dlq_messages", 0, reason="price_range")
        for check in ("kill_switch", "budget_exceeded"):
            self.orders.inc("risk_rejections", 0, check_type=check)
        self.strategy.inc("qp_solve_status", 0, status="optimal")
        for switch in ("pnl", "drawdown"):
            self.strategy.inc("kill_switches_triggered", 0, switch_type=switch)
            self.strategy.set("kill_switch_active", 0, switch_type=switch)
        for strategy in strategies:
            for direction in ("BUY", "SELL"):
                self.strategy.inc("signals_generated", 0, strategy=strategy, direction=direction)
                self.trading.trades_total.labels(direction, strategy).inc(0)
                for status in ("SUBMITTED", "FILLED", "REJECTED", "DENIED"):
                    self.trading.orders_total.labels(direction, ORDER_TYPE, strategy, status).inc(0)
        self.trading.set_kill_switch(False)
        self.trading.set_circuit_breakers_tripped(0)
        self.trading.set_pdt_trades_used(0)

    # What is served

    def serve(self, host: str) -> None:
        """Listen for Prometheus. A port that is taken is told of and does not keep anything from trading."""
        for source in (self.data, self.orders, self.strategy):
            self._serve(source, host)

    def _serve(self, source: MetricSource, host: str) -> None:
        try:
            self._servers.append(MetricsServer(source, host=host))
        except OSError as error:
            _log.warning("metrics of %s are not served: %s", source.plane, error, extra={"component": "engine"})

    def close(self) -> None:
        """Free the ports."""
        for server in self._servers:
            server.close()

    # Market data

    def day_begins(self, bars: Sequence[Mapping[str, float | str]]) -> None:
        """A trading day's bars arrive: ``symbol``, ``open``, ``high``, ``low``, ``close``, ``volume``."""
        self._fed_at = time.perf_counter()
        self._day_number += 1
        returns = []
        for bar in bars:
            market = self._markets[str(bar["symbol"])]
            if market.close:
                returns.append(float(bar["close"]) / market.close - 1)
                market.returns.append(returns[-1])
            self._take(str(bar["symbol"]), market, bar)
        for symbol, market in self._markets.items():
            market.days += 1 if market.bars else 0
            if market.days:
                self.data.set("completeness_score", market.bars / market.days, symbol=symbol)
        if returns:
            self._basket.append(statistics.fmean(returns))
        self._write(bars)
        self.readiness.report(FEED)

    def _take(self, symbol: str, market: _Market, bar: Mapping[str, float | str]) -> None:
        opened, high, low, close, volume = (float(bar[name]) for name in ("open", "high", "low", "close", "volume"))
        self.data.inc("ticks_received", TICKS_PER_BAR, source=SOURCE, symbol=symbol)
        self.data.inc("bars_received", source=SOURCE, symbol=symbol, duration=DURATION)
        if not all(math.isfinite(price) and price > 0 for price in (opened, high, low, close)):
            self.data.inc("normalization_errors", source=SOURCE)
        if high < max(opened, close) or low > min(opened, close):
            self.data.inc("validation_errors", error_type="price_range", symbol=symbol)
            self.data.inc("dlq_messages", reason="price_range")
        rose = close > opened
        if market.rose is not None and rose != market.rose:  # the flow of orders has turned
            self.data.inc("ofi_events_generated", symbol=symbol)
        market.close, market.volume, market.rose, market.bars = close, volume, rose, market.bars + 1
        market.volumes.append(volume)

    def bar_processed(self, symbol: str) -> None:
        """A strategy looks at a bar; its age is the time since the day was fed."""
        self.data.observe("data_freshness", time.perf_counter() - self._fed_at, source=SOURCE, symbol=symbol)

    def _write(self, bars: Sequence[Mapping[str, float | str]]) -> None:
        if self._journal is None:
            return
        begun = time.perf_counter()
        try:
            self._journal.write_text("\n".join(map(str, bars)), encoding="utf-8")
        except OSError:
            return
        self.data.inc("storage_writes", len(bars), event_type="bar")
        self.data.observe("storage_write_latency", time.perf_counter() - begun, event_type="bar")

    # Signals and orders

    def signal(self, strategy: str, symbol: str, direction: str, strength: float, *, enters: bool) -> None:
        """A strategy wants to be long (BUY), or short or flat (SELL); strength from 0 to 1."""
        strength = min(1.0, max(0.0, strength))
        self.strategy.inc("signals_generated", strategy=strategy, direction=direction)
        self.strategy.observe("signal_strength", strength, strategy=strategy)
        if enters:  # a prediction; to leave is to end one
            self.trading.record_prediction(strategy, strength)
            self._strengths[strategy, symbol] = strength

    def may_enter(self) -> bool:
        """The risk check before a position is opened: no, while a kill switch is active."""
        stopped = bool(self._triggered)
        self.trading.record_risk_check("reject" if stopped else "approve")
        if stopped:
            self.orders.inc("risk_rejections", check_type="kill_switch")
        return not stopped

    def sized(self, symbol: str, quantity: int) -> int:
        """The quantity that the day's volume allows."""
        allowed = int(self._markets[symbol].volume * POV_LIMIT)
        if 0 < allowed < quantity:
            self.orders.inc("pov_downscales", symbol=symbol)
            self.trading.record_risk_check("reduce_size")
            return allowed
        return quantity

    def intended(self, order: str, strategy: str, side: str, symbol: str, price: float | None) -> None:
        """A strategy has decided on an order."""
        self._orders[order] = _Order(strategy, side, symbol, price, time.perf_counter())
        self.orders.inc("orders_received", strategy=strategy, symbol=symbol)

    def submitted(self, order: str) -> None:
        """It was sent."""
        if known := self._orders.get(order):
            known.submitted = time.perf_counter()
            self.orders.inc("orders_submitted", order_type=ORDER_TYPE, direction=known.side, symbol=known.symbol)
            self.orders.observe("intent_to_submit_latency", known.submitted - known.intended, symbol=known.symbol)
            self.trading.record_order(known.side, ORDER_TYPE, known.strategy, "SUBMITTED")

    def acknowledged(self, order: str) -> None:
        """The venue has taken it. A venue that fills at once says so only by the fill."""
        known = self._orders.get(order)
        if known and not known.acknowledged:
            known.acknowledged = time.perf_counter()
            self.orders.observe("submit_to_ack_latency", known.acknowledged - known.submitted, symbol=known.symbol)
            self.readiness.report(BROKER)

    def rejected(self, order: str, reason: str) -> None:
        """The venue refused it."""
        if known := self._orders.pop(order, None):
            self.orders.inc("orders_rejected", reason=reason, symbol=known.symbol)
            self.orders.inc("orders_filled", status="REJECTED", symbol=known.symbol)
            self.trading.record_order(known.side, ORDER_TYPE, known.strategy, "REJECTED")

    def denied(self, order: str, check: str) -> None:
        """A check of our own refused it, before the venue saw it."""
        known = self._orders.pop(order, None)
        self.orders.inc("risk_rejections", check_type=check)
        self.trading.record_risk_check("reject")
        if known:
            self.trading.record_order(known.side, ORDER_TYPE, known.strategy, "DENIED")

    def filled(self, order: str, price: float, commission_usd: float) -> None:
        """It was executed."""
        self.acknowledged(order)
        known = self._orders.pop(order, None)
        if known is None:
            return
        now = time.perf_counter()
        self.orders.inc("orders_filled", status="FILLED", symbol=known.symbol)
        self.orders.observe("ack_to_fill_latency", now - known.acknowledged, symbol=known.symbol)
        self.orders.observe("total_fill_latency", now - known.intended, symbol=known.symbol)
        self.orders.inc("commission_total", max(0.0, commission_usd), symbol=known.symbol)
        self.trading.record_order(known.side, ORDER_TYPE, known.strategy, "FILLED")
        self.trading.record_trade(known.side, known.strategy)
        self.trading.record_fill_latency(1000 * (now - known.intended))
        if known.price:
            sign = 1 if known.side == "BUY" else -1
            slippage = sign * (price - known.price) / known.price * 10_000
            self.trading.record_slippage(slippage)
            self.orders.observe("orders_slippage_bps", slippage, symbol=known.symbol)

    def position_opened(self, position: str, strategy: str, symbol: str) -> None:
        """For the count of day trades, and for what comes of what is known now."""
        self._open[position] = _Position(self._day_number, self._features(strategy, symbol))

    def _features(self, strategy: str, symbol: str) -> Mapping[str, float]:
        """What a strategy could know of a symbol, of the last days; nothing while there are not enough of them."""
        market = self._markets[symbol]
        returns, volumes = list(market.returns), list(market.volumes)
        if len(returns) < VOLATILITY_DAYS or (strategy, symbol) not in self._strengths:
            return {}
        return {
            "signal_strength": self._strengths[strategy, symbol],
            "volatility": statistics.stdev(returns),
            "momentum": sum(returns),
            "volume": volumes[-1] / (statistics.fmean(volumes) or 1.0),
        }

    def position_closed(self, position: str, strategy: str, pnl_dollars: float) -> None:
        """A round trip is over."""
        self.trading.record_trade_pnl(strategy, pnl_dollars)
        self._trades += 1
        self._wins += pnl_dollars > 0
        self.trading.update_model(accuracy=self._wins / self._trades)
        opened = self._open.pop(position, None)
        if opened is None:
            return
        if opened.day == self._day_number:
            self._day_trades.append(self._day_number)
        if opened.features:
            self._outcomes.append((opened.features, pnl_dollars))

    def _weigh(self) -> None:
        """What went with profit, of all that was known when the last positions were opened."""
        if len(self._outcomes) < POSITIONS_NEEDED:
            return
        known, outcomes = zip(*self._outcomes, strict=True)
        columns = {name: [one[name] for one in known] for name in known[0]}
        self.trading.update_feature_importance(importance(columns, outcomes))

    # The end of a day

    def day_ends(self, portfolio: Portfolio) -> None:
        """The portfolio after the day's trades."""
        before, self._equity = self._equity or portfolio.equity, portfolio.equity
        self._peak = max(self._peak, portfolio.equity)
        daily_pct = 100 * (portfolio.equity / before - 1)
        drawdown_pct = 100 * (self._peak - portfolio.equity) / self._peak
        self.trading.update_portfolio(
            equity_dollars=portfolio.equity,
            cash_dollars=portfolio.cash,
            positions=len(portfolio.positions),
            daily_pnl_dollars=portfolio.equity - before,
            daily_pnl_pct=daily_pct,
            drawdown_pct=drawdown_pct,
        )
        exposures = [quantity * self._markets[symbol].close for symbol, quantity in portfolio.positions]
        self.strategy.set("portfolio_gross_exposure", sum(map(abs, exposures)))
        self.strategy.set("portfolio_net_exposure", sum(exposures))
        self.strategy.set("portfolio_value", portfolio.equity)
        self.strategy.set("pnl_realized", portfolio.realized)
        self.strategy.set("pnl_unrealized", portfolio.unrealized)
        self.strategy.set("pnl_total", portfolio.realized + portfolio.unrealized)
        while self._day_trades and self._day_trades[0] <= self._day_number - 5:
            self._day_trades.popleft()
        self.trading.set_pdt_trades_used(len(self._day_trades))
        self._judge({"drawdown": ("drawdown_pct", drawdown_pct), "pnl": ("daily_pnl_pct", daily_pct)})
        self._look_at_the_market()

    def _judge(self, values: Mapping[str, tuple[str, float]]) -> None:
        """Trip the switches whose bound is crossed, release those that have cooled down."""
        for switch, (name, value) in values.items():
            if _BREAKERS[name].is_crossed(value) and switch not in self._triggered:
                self._triggered[switch] = self._day_number
                self.strategy.inc("kill_switches_triggered", switch_type=switch)
                _log.warning("kill switch %s triggered", switch, extra={"component": "engine", "action": "kill_switch"})
        for switch in [one for one, since in self._triggered.items() if self._day_number - since >= COOL_DOWN_DAYS]:
            # A drawdown that lasts would trip it again at once: trading goes on from here.
            del self._triggered[switch]
            self._peak = self._equity if switch == "drawdown" else self._peak
        for switch in values:
            self.strategy.set("kill_switch_active", float(switch in self._triggered), switch_type=switch)
        self.trading.set_circuit_breakers_tripped(len(self._triggered))
        self.trading.set_kill_switch(bool(self._triggered))

    def _look_at_the_market(self) -> None:
        recent = self._basket[-VOLATILITY_DAYS:]
        if len(recent) == VOLATILITY_DAYS:
            volatility = 100 * statistics.stdev(recent) * math.sqrt(DAYS_PER_YEAR)
            # What the market was like stands in for what it expects: the history has no prices of options.
            self.trading.set_vix(volatility)
            self._enter_regime(0 if volatility <= CALM else 1 if volatility <= NORMAL else 2)
        if len(self._basket) >= REFERENCE_DAYS + RECENT_DAYS:
            drift = population_stability(self._basket[:REFERENCE_DAYS], self._basket[-RECENT_DAYS:])
            self.trading.update_model(psi_drift=drift)
        if self._day_number % VOLATILITY_DAYS == 0:
            self._optimize()
            self._weigh()

    def _enter_regime(self, regime: int) -> None:
        if self._regime is not None and regime != self._regime:
            self.strategy.inc("regime_transitions", from_regime=REGIMES[self._regime], to_regime=REGIMES[regime])
        self._regime = regime
        self.strategy.set("regime_state", regime)

    def _optimize(self) -> None:
        """The weights of least variance, of the symbols with a full window; their log line is what comes of it."""
        columns = [list(market.returns) for market in self._markets.values() if len(market.returns) == VOLATILITY_DAYS]
        if len(columns) < 2:
            return
        begun = time.perf_counter()
        weights = minimum_variance(columns)
        self.strategy.observe("qp_solve_time", time.perf_counter() - begun)
        self.strategy.inc("qp_solve_status", status="optimal" if weights else "not_converged")

    def logs(self, handler: VictoriaLogsHandler) -> None:
        """Whether records arrive."""
        waiting = handler.stats().undelivered_seconds
        self.readiness.report(LOG_PIPELINE, waiting < LOGS_LATE_SECONDS, f"records wait for {waiting:.0f} s")

    def loop_ends(self) -> None:
        """The history begins anew, with the starting balance."""
        self._triggered.clear()
        self._forget()
        self._judge({"drawdown": ("drawdown_pct", 0.0), "pnl": ("daily_pnl_pct", 0.0)})
