"""The replay: one NautilusTrader backtest engine fed one trading day at a time, in wall-clock time, over and over."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from nautilus_trader.backtest.config import BacktestEngineConfig
from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.config import LoggingConfig
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.data import Bar
from nautilus_trader.model.enums import AccountType, OmsType
from nautilus_trader.model.identifiers import TraderId
from nautilus_trader.model.objects import Money

from crowsnest.engine.analysis import Portfolio
from crowsnest.engine.fleet import STARTING_BALANCE_USD, Desk, Fleet
from crowsnest.engine.market_data import TICKERS, VENUE, instrument
from crowsnest.engine.telemetry import Telemetry

TRADER_ID = "CROWSNEST-001"
# Behind by more than this (a suspended container), the replay goes on from now instead of catching up in a burst.
_MAX_LAG_SECONDS = 1.0
# As fast as it can still means leaving the interpreter to other threads once a day: NautilusTrader lets go of the
# interpreter lock and retakes it so often that CPython's fairness does not work, and the log sender would starve.
_YIELD_SECONDS = 0.0001

_log = logging.getLogger("crowsnest.engine")


class Replay:
    """Runs strategies over trading days; `bars_total` and `loops` only grow."""

    def __init__(
        self,
        days: Sequence[Sequence[Bar]],
        strategy_ids: Sequence[str],
        telemetry: Telemetry | None = None,
        desk: Desk | None = None,
        logging_config: LoggingConfig | None = None,
    ) -> None:
        """Build the engine. NautilusTrader's own log (Rust) goes to stdout from WARNING on, unless configured otherwise.

        Raises:
            ValueError: there is no day to replay.
        """
        if not days:
            raise ValueError("no trading days to replay")
        self._days = days
        self.telemetry = telemetry or Telemetry(TICKERS, strategy_ids)
        self.fleet = Fleet(strategy_ids, self.telemetry, desk or Desk(), "replay")
        self.counters = self.fleet.counters
        self.bars_total = 0
        self.loops = 0
        self._engine = BacktestEngine(
            BacktestEngineConfig(
                trader_id=TraderId(TRADER_ID),
                logging=logging_config or LoggingConfig(log_level="WARNING", log_colors=False),
                run_analysis=False,
            )
        )
        self._engine.add_venue(
            VENUE,
            OmsType.NETTING,
            AccountType.MARGIN,
            [Money(STARTING_BALANCE_USD, USD)],
            base_currency=USD,
        )
        for ticker in TICKERS:
            self._engine.add_instrument(instrument(ticker))
        self._engine.add_actors(self.fleet.actors(self._engine.kernel.risk_engine))
        self._engine.add_strategies(self.fleet.strategies)

    def run(
        self,
        *,
        bars_per_second: float,
        max_loops: int,
        stop: threading.Event,
        after_day: Callable[[], None],
    ) -> None:
        """Replay until `stop` is set or `max_loops` (0: no end) loops are done; `after_day` is called between days."""
        due = time.monotonic()
        while not stop.is_set() and not (max_loops and self.loops >= max_loops):
            for bars in self._days:
                self._feed(bars)
                after_day()
                if not bars_per_second:
                    time.sleep(_YIELD_SECONDS)
                else:
                    due = max(due + len(bars) / bars_per_second, time.monotonic() - _MAX_LAG_SECONDS)
                    stop.wait(due - time.monotonic())
                if stop.is_set():
                    return
            self._finish_loop()

    def _feed(self, bars: Sequence[Bar]) -> None:
        """Process one day. Streaming keeps indicators, orders and positions from one call to the next."""
        self.telemetry.day_begins([plain(bar) for bar in bars])
        self._engine.add_data(list(bars), validate=False, sort=False)
        self._engine.run(streaming=True)
        self._engine.clear_data()
        self.bars_total += len(bars)
        self.telemetry.day_ends(self._portfolio())

    def _portfolio(self) -> Portfolio:
        """The account and its open positions, now."""
        return portfolio_of(self._engine)

    def _finish_loop(self) -> None:
        """Close all positions at the last prices, then begin again with the starting balance."""
        for strategy in self.fleet.strategies:
            strategy.flatten()
        last_ns = self._days[-1][-1].ts_init
        # Without data this only lets the venue process the closing orders, while the strategies still listen.
        self._engine.run(start=last_ns, end=last_ns, streaming=True)
        self._engine.end()
        self.at_end_of_loop(self._engine)
        self._engine.reset()
        self.telemetry.loop_ends()
        self.loops += 1
        _log.info(
            "loop %d finished: %d bars, %d orders, %d fills since start",
            self.loops,
            self.bars_total,
            self.counters.orders,
            self.counters.fills,
            extra={
                "component": "engine",
                "action": "loop_finished",
                "loops": self.loops,
                "bars_total": self.bars_total,
            },
        )

    def at_end_of_loop(self, engine: BacktestEngine) -> None:
        """The loop's books are complete and not yet forgotten; for whoever wants NautilusTrader's own report."""

    def close(self) -> None:
        """Stop the strategies and release the engine."""
        self._engine.end()
        self._engine.dispose()


def portfolio_of(node: Any) -> Portfolio:
    """The account of an engine or kernel and its open positions, now."""
    portfolio, cache = node.portfolio, node.cache
    balance = float(portfolio.account(VENUE).balance_total(USD))
    free = float(portfolio.account(VENUE).balance_free(USD))
    unrealized = float(sum(portfolio.unrealized_pnls(VENUE).values()))
    positions = tuple((one.instrument_id.symbol.value, float(one.signed_qty)) for one in cache.positions_open())
    return Portfolio(balance + unrealized, free, balance - STARTING_BALANCE_USD, unrealized, positions)


def plain(bar: Bar) -> dict[str, float | str]:
    """A bar without NautilusTrader's types."""
    prices = {name: float(getattr(bar, name)) for name in ("open", "high", "low", "close", "volume")}
    return {"symbol": bar.bar_type.instrument_id.symbol.value, **prices}
