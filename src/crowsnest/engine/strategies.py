"""The strategies that the engine runs, and what each says to the log: decisions, orders, fills and positions.

Every record carries the simulated time of the bar as `bar_time`, for the record's own time is the wall clock's. Bars
are not logged, nor is profit or loss. Beside that, each says metric lines to NautilusTrader's own log (docs/engine-logs.md).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from nautilus_trader.config import StrategyConfig
from nautilus_trader.indicators import BollingerBands, ExponentialMovingAverage
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.data import Bar
from nautilus_trader.model.enums import OrderSide
from nautilus_trader.model.events import (
    OrderAccepted,
    OrderDenied,
    OrderFilled,
    OrderRejected,
    PositionClosed,
    PositionOpened,
)
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.trading.strategy import Strategy

from crowsnest.engine import metric_lines
from crowsnest.engine.market_data import VENUE, bar_type, instrument
from crowsnest.engine.signals import TOPIC, Signal
from crowsnest.engine.telemetry import Telemetry

_SHARE_OF_EQUITY = 0.8
"""Money put into all positions together as a share of the account's balance: the account is never leveraged."""


_HOUR_NS = 3600 * 1_000_000_000


@dataclass(slots=True)
class Counters:
    """What the strategies have done since the process started."""

    orders: int = 0
    fills: int = 0
    denied: int = 0


class LoggedStrategy(Strategy):  # type: ignore[misc]
    """Trades its tickers one by one in `on_bar`, and logs what happens under `strategy.<strategy_id>`."""

    STRATEGY_ID: str

    def __init__(self, tickers: Sequence[str], counters: Counters, telemetry: Telemetry, strategies: int = 2) -> None:
        """A strategy among `strategies`, which share the account."""
        super().__init__(StrategyConfig(order_id_tag=self.STRATEGY_ID))
        self._tickers = tuple(tickers)
        self._counters = counters
        self._telemetry = telemetry
        self._share_of_equity = _SHARE_OF_EQUITY / (strategies * len(tickers))
        self._logger = logging.getLogger(f"strategy.{self.STRATEGY_ID}")

    def on_start(self) -> None:
        """Subscribe to the daily bars of every ticker."""
        for ticker in self._tickers:
            self.subscribe_bars(bar_type(ticker))

    def on_stop(self) -> None:
        """Leave the bars; positions were closed by `flatten`, or end with the simulation."""
        for ticker in self._tickers:
            self.unsubscribe_bars(bar_type(ticker))

    def flatten(self) -> None:
        """Close every open position at the market."""
        for position in self.cache.positions_open(strategy_id=self.id):
            self._say("exit signal: end of history", position.instrument_id, "signal")
            self._target(position.instrument_id, 0, price=None)

    def on_order_accepted(self, event: OrderAccepted) -> None:
        """The venue's acknowledgement is only measured."""
        self._telemetry.acknowledged(event.client_order_id.value)
        self._answered(event.client_order_id.value)

    def on_order_filled(self, event: OrderFilled) -> None:
        """Count and log a fill."""
        self._counters.fills += 1
        self._count("fills")
        self._answered(event.client_order_id.value)
        self._executed(event.client_order_id.value)
        self._telemetry.filled(event.client_order_id.value, float(event.last_px), float(event.commission))
        self._say(
            "order filled",
            event.instrument_id,
            "order_filled",
            side="BUY" if event.order_side == OrderSide.BUY else "SELL",
            quantity=int(event.last_qty),
            price=float(event.last_px),
            order_id=event.client_order_id.value,
        )

    def on_order_rejected(self, event: OrderRejected) -> None:
        """Log a rejection, with the venue's reason."""
        self._count("orders_rejected")
        self._answered(event.client_order_id.value)
        self._telemetry.rejected(event.client_order_id.value, event.reason)
        self._say(
            "order rejected",
            event.instrument_id,
            "order_rejected",
            level=logging.ERROR,
            order_id=event.client_order_id.value,
            reason=event.reason,
        )

    def on_order_denied(self, event: OrderDenied) -> None:
        """Log a denial: a check before the venue, such as the budget's, has said no."""
        self._counters.denied += 1
        self._telemetry.denied(event.client_order_id.value, event.reason.partition(":")[0].lower().replace(" ", "_"))
        self._say(
            "order denied",
            event.instrument_id,
            "order_denied",
            level=logging.WARNING,
            order_id=event.client_order_id.value,
            reason=event.reason,
        )

    def on_position_opened(self, event: PositionOpened) -> None:
        """Log a new position."""
        self._telemetry.position_opened(event.position_id.value, self.STRATEGY_ID, event.instrument_id.symbol.value)
        self._say(
            "position opened",
            event.instrument_id,
            "position_opened",
            side="LONG" if event.signed_qty > 0 else "SHORT",
            quantity=int(event.quantity),
            price=event.avg_px_open,
            order_id=event.opening_order_id.value,
        )

    def on_position_closed(self, event: PositionClosed) -> None:
        """Log the end of a position."""
        self._telemetry.position_closed(event.position_id.value, self.STRATEGY_ID, float(event.realized_pnl))
        self._say(
            "position closed",
            event.instrument_id,
            "position_closed",
            side="FLAT",
            quantity=int(event.peak_qty),
            price=event.avg_px_close,
            order_id=event.closing_order_id.value,
        )

    def _target(self, instrument_id: InstrumentId, direction: int, price: float | None) -> None:
        """Trade from the current position to `direction` (1 long, -1 short, 0 flat), sized for `price`."""
        wanted, symbol = 0, instrument_id.symbol.value
        if direction and price:
            if not self._telemetry.may_enter():
                return
            balance = float(self.portfolio.account(VENUE).balance_total(USD))
            wanted = direction * max(0, int(balance * self._share_of_equity / price))
        change = wanted - self._held(instrument_id)
        if not change:
            return
        if wanted:
            change = self._telemetry.sized(symbol, abs(change)) * (1 if change > 0 else -1)
        self._order(instrument_id, change, price)

    def _order(self, instrument_id: InstrumentId, change: int, price: float | None) -> None:
        """Send an order for `change` shares, negative to sell; `price` is the one it was decided at."""
        symbol = instrument_id.symbol.value
        order = self.order_factory.market(
            instrument_id,
            OrderSide.BUY if change > 0 else OrderSide.SELL,
            instrument(instrument_id.symbol.value).make_qty(abs(change)),
        )
        self._counters.orders += 1
        self._count("orders")
        self._decided(order.client_order_id.value)
        side = "BUY" if change > 0 else "SELL"
        self._telemetry.intended(order.client_order_id.value, self.STRATEGY_ID, side, symbol, price)
        self._say(
            "order submitted",
            instrument_id,
            "order_submitted",
            side=side,
            quantity=abs(change),
            price=price,
            order_id=order.client_order_id.value,
        )
        self._telemetry.submitted(order.client_order_id.value)
        self.submit_order(order)

    def _signal(self, instrument_id: InstrumentId, direction: str, strength: float, price: float) -> None:
        """Say what the strategy wants, LONG, SHORT or FLAT, and how strongly, from 0 to 1."""
        held = self._held(instrument_id)
        bought = direction == "LONG" or (direction == "FLAT" and held < 0)
        strength = min(1.0, max(0.0, strength))
        symbol = instrument_id.symbol.value
        self._telemetry.signal(self.STRATEGY_ID, symbol, "BUY" if bought else "SELL", strength, enters=direction != "FLAT")
        self._count("signals")
        now = self.clock.timestamp_ns()
        self.msgbus.publish(TOPIC, Signal(self.STRATEGY_ID, instrument_id.value, direction, strength, price, now))

    def _count(self, name: str) -> None:
        """One more of `name`, as a metric line."""
        self.log.debug(metric_lines.counter(type(self).__name__, name, 1, self.STRATEGY_ID))

    # What a latency-instrumented variant measures

    def _decided(self, order: str) -> None:
        """An order was decided."""

    def _answered(self, order: str) -> None:
        """The venue has answered it."""

    def _executed(self, order: str) -> None:
        """It was filled."""

    def _held(self, instrument_id: InstrumentId) -> int:
        """Shares this strategy holds; negative when short."""
        positions = self.cache.positions_open(instrument_id=instrument_id, strategy_id=self.id)
        return int(sum(position.signed_qty for position in positions))

    def _say(
        self,
        text: str,
        instrument_id: InstrumentId,
        action: str,
        *,
        level: int = logging.INFO,
        side: str | None = None,
        quantity: int | None = None,
        price: float | None = None,
        **fields: object,
    ) -> None:
        deal = {"side": side, "quantity": quantity, "price": price}
        details = [str(part) for part in (side, quantity) if part is not None]
        if price is not None:
            details.append(f"at {price:g}")
        self._logger.log(
            level,
            "%s",
            " ".join([instrument_id.symbol.value, text, *details]),
            extra={
                "component": type(self).__name__,
                "action": action,
                "instrument": instrument_id.value,
                "bar_time": datetime.fromtimestamp(self.clock.timestamp_ns() / 1e9, UTC).isoformat(),
                **{name: value for name, value in deal.items() if value is not None},
                **fields,
            },
        )


class EMACrossStrategy(LoggedStrategy):
    """Long while the fast moving average is above the slow one, else flat."""

    STRATEGY_ID = "ema_cross"
    FAST_DAYS = 10
    SLOW_DAYS = 20

    def __init__(self, tickers: Sequence[str], counters: Counters, telemetry: Telemetry, strategies: int = 2) -> None:
        super().__init__(tickers, counters, telemetry, strategies)
        self._averages = {
            bar_type(ticker): (ExponentialMovingAverage(self.FAST_DAYS), ExponentialMovingAverage(self.SLOW_DAYS))
            for ticker in tickers
        }

    def on_start(self) -> None:
        """Register the averages and subscribe."""
        for kind, averages in self._averages.items():
            for average in averages:
                self.register_indicator_for_bars(kind, average)
        super().on_start()

    def on_bar(self, bar: Bar) -> None:
        """Enter when the averages have crossed upwards, leave when downwards."""
        self._telemetry.bar_processed(bar.bar_type.instrument_id.symbol.value)
        fast, slow = self._averages[bar.bar_type]
        if not slow.initialized:
            return
        instrument_id = bar.bar_type.instrument_id
        is_long = self._held(instrument_id) > 0
        is_up = fast.value > slow.value
        if is_up != is_long:
            text = "entry signal: fast average above slow" if is_up else "exit signal: fast average below slow"
            close = float(bar.close)
            self._say(text, instrument_id, "signal", side="LONG" if is_up else "FLAT", price=close)
            # A distance of a tenth between the averages is as strong as it gets.
            self._signal(instrument_id, "LONG" if is_up else "FLAT", abs(fast.value / slow.value - 1) * 10, close)
            self._target(instrument_id, 1 if is_up else 0, close)

    def on_reset(self) -> None:
        """Forget the past, for the next loop."""
        for averages in self._averages.values():
            for average in averages:
                average.reset()


class MeanReversionStrategy(LoggedStrategy):
    """Long below the lower Bollinger band, short above the upper one, flat again at the middle."""

    STRATEGY_ID = "mean_reversion"
    DAYS = 20
    DEVIATIONS = 2.0

    def __init__(self, tickers: Sequence[str], counters: Counters, telemetry: Telemetry, strategies: int = 2) -> None:
        super().__init__(tickers, counters, telemetry, strategies)
        self._bands = {bar_type(ticker): BollingerBands(self.DAYS, self.DEVIATIONS) for ticker in tickers}

    def on_start(self) -> None:
        """Register the bands and subscribe."""
        for kind, bands in self._bands.items():
            self.register_indicator_for_bars(kind, bands)
        super().on_start()

    def on_bar(self, bar: Bar) -> None:
        """Enter against a move beyond a band, leave when the price has returned to the mean."""
        self._telemetry.bar_processed(bar.bar_type.instrument_id.symbol.value)
        bands = self._bands[bar.bar_type]
        if not bands.initialized:
            return
        instrument_id = bar.bar_type.instrument_id
        held, close = self._held(instrument_id), float(bar.close)
        if not held and close < bands.lower:
            self._say("entry signal: close below lower band", instrument_id, "signal", side="LONG", price=close)
            self._signal(instrument_id, "LONG", _strength(close, bands), close)
            self._target(instrument_id, 1, close)
        elif not held and close > bands.upper:
            self._say("entry signal: close above upper band", instrument_id, "signal", side="SHORT", price=close)
            self._signal(instrument_id, "SHORT", _strength(close, bands), close)
            self._target(instrument_id, -1, close)
        elif (held > 0 and close >= bands.middle) or (held < 0 and close <= bands.middle):
            self._say("exit signal: close back at the mean", instrument_id, "signal", side="FLAT", price=close)
            self._signal(instrument_id, "FLAT", _strength(close, bands), close)
            self._target(instrument_id, 0, close)

    def on_reset(self) -> None:
        """Forget the past, for the next loop."""
        for bands in self._bands.values():
            bands.reset()


def _strength(close: float, bands: BollingerBands) -> float:
    """Twice the width of the band away from the mean is as strong as it gets."""
    width = bands.upper - bands.lower
    return abs(close - bands.middle) / (2 * width) if width else 0.0


class HourlyBuyStrategy(LoggedStrategy):
    """Buys a lot in every hour that has a bar, of each stock in turn, and sells all of a stock after so many lots.

    It goes by the bars' time and not by a timer, so a replay and a live market give the same orders.
    """

    STRATEGY_ID = "hourly_buy"
    SHARES_PER_LOT = 1
    LOTS = 20

    def __init__(self, tickers: Sequence[str], counters: Counters, telemetry: Telemetry, strategies: int = 2) -> None:
        super().__init__(tickers, counters, telemetry, strategies)
        self._closes: dict[InstrumentId, float] = {}
        self._hour = 0
        self._turn = 0

    def on_bar(self, bar: Bar) -> None:
        """In a new hour, buy, or sell when there is enough."""
        self._telemetry.bar_processed(bar.bar_type.instrument_id.symbol.value)
        self._closes[bar.bar_type.instrument_id] = float(bar.close)
        hour = bar.ts_event // _HOUR_NS
        if hour == self._hour:
            return
        self._hour = hour
        listed = sorted(self._closes, key=str)
        self._turn += 1
        self._trade(listed[self._turn % len(listed)])

    def _trade(self, instrument_id: InstrumentId) -> None:
        held, close = self._held(instrument_id), self._closes[instrument_id]
        if held >= self.LOTS * self.SHARES_PER_LOT:
            self._say("exit signal: lots are complete", instrument_id, "signal", side="FLAT", price=close)
            self._signal(instrument_id, "FLAT", 1.0, close)
            self._order(instrument_id, -held, close)
        elif self._telemetry.may_enter():
            self._say("entry signal: a new hour", instrument_id, "signal", side="LONG", price=close)
            self._signal(instrument_id, "LONG", 1 / self.LOTS, close)
            self._order(instrument_id, self.SHARES_PER_LOT, close)

    def on_reset(self) -> None:
        """Forget the past, for the next loop."""
        self._closes.clear()
        self._hour = self._turn = 0


class LatencyInstrumented(LoggedStrategy):
    """Says as metric lines how long it takes over a bar, and how long the venue takes over its orders."""

    def __init__(self, tickers: Sequence[str], counters: Counters, telemetry: Telemetry, strategies: int = 2) -> None:
        super().__init__(tickers, counters, telemetry, strategies)
        self._begun_ns: dict[str, int] = {}
        self._unanswered: set[str] = set()

    def on_bar(self, bar: Bar) -> None:
        """Measure the strategy's own work."""
        begun_ns = time.perf_counter_ns()
        super().on_bar(bar)
        self._gauge("strategy_latency_us", begun_ns)

    def on_order_denied(self, event: OrderDenied) -> None:
        """An order that never reaches the venue has no latency."""
        self._forget(event.client_order_id.value)
        super().on_order_denied(event)

    def on_order_rejected(self, event: OrderRejected) -> None:
        """Nor has one a fill that the venue refused."""
        super().on_order_rejected(event)
        self._forget(event.client_order_id.value)

    def on_reset(self) -> None:
        """Forget the past, for the next loop."""
        self._begun_ns.clear()
        self._unanswered.clear()
        super().on_reset()

    def _decided(self, order: str) -> None:
        self._begun_ns[order] = time.perf_counter_ns()
        self._unanswered.add(order)

    def _answered(self, order: str) -> None:
        if order in self._unanswered:
            self._unanswered.discard(order)
            self._gauge("order_submit_latency_us", self._begun_ns[order])

    def _executed(self, order: str) -> None:
        if (begun_ns := self._begun_ns.pop(order, None)) is not None:
            self._gauge("order_fill_latency_us", begun_ns)

    def _forget(self, order: str) -> None:
        self._begun_ns.pop(order, None)
        self._unanswered.discard(order)

    def _gauge(self, name: str, begun_ns: int) -> None:
        microseconds = (time.perf_counter_ns() - begun_ns) / 1000
        self.log.debug(metric_lines.gauge(type(self).__name__, name, microseconds, self.STRATEGY_ID))


class MeanReversionLatencyStrategy(LatencyInstrumented, MeanReversionStrategy):
    """Mean reversion, latency-instrumented."""

    STRATEGY_ID = "mean_reversion_latency"


class HourlyBuyLatencyStrategy(LatencyInstrumented, HourlyBuyStrategy):
    """Hourly buying, latency-instrumented."""

    STRATEGY_ID = "hourly_buy_latency"


class EMACrossLatencyStrategy(LatencyInstrumented, EMACrossStrategy):
    """Crossing averages, latency-instrumented."""

    STRATEGY_ID = "ema_cross_latency"


_KINDS: tuple[type[LoggedStrategy], ...] = (
    EMACrossStrategy,
    MeanReversionStrategy,
    HourlyBuyStrategy,
    MeanReversionLatencyStrategy,
    HourlyBuyLatencyStrategy,
    EMACrossLatencyStrategy,
)
STRATEGIES = {kind.STRATEGY_ID: kind for kind in _KINDS}
