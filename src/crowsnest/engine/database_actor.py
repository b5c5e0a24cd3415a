"""The actor that keeps orders, fills, positions and signals: it makes rows of events and hands them to the writer.

It runs on the trading thread, so it does no more than that. Metric lines about what was written are said from the writer's
thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from nautilus_trader.common.actor import Actor
from nautilus_trader.common.component import Logger
from nautilus_trader.config import ActorConfig
from nautilus_trader.model.enums import (
    OrderSide,
    PositionSide,
    order_side_to_str,
    order_status_to_str,
    order_type_to_str,
    position_side_to_str,
)
from nautilus_trader.model.events import (
    OrderAccepted,
    OrderDenied,
    OrderEvent,
    OrderFilled,
    OrderInitialized,
    OrderRejected,
    PositionEvent,
)
from nautilus_trader.model.orders import Order

from crowsnest.engine import metric_lines
from crowsnest.engine.rows import FILLS, ORDERS, POSITIONS, RUNS, SIGNALS, Kind, Row
from crowsnest.engine.signals import TOPIC, Signal
from crowsnest.engine.writer import Told

NAME: Final = "DatabaseActor"
_PRICE_DIGITS: Final = 10
_LAST: Final = ("FILLED", "REJECTED", "DENIED", "CANCELED", "EXPIRED")

Put = Callable[[Kind, Row], None]


class DatabaseActor(Actor):  # type: ignore[misc]
    """Listens to every order, position and signal.

    Args:
        put: takes a row; must return at once.
        boot: of the process; with the number of the loop it names a run.
        mode: `replay` or `sandbox`.
        strategies: that run, by the identifier that NautilusTrader gives them.
    """

    def __init__(self, put: Put, boot: str, mode: str, strategies: dict[str, str]) -> None:
        super().__init__(ActorConfig(component_id=NAME))
        self._put, self._boot, self._mode = put, boot, mode
        self._strategies = strategies
        self._loop = 0
        self._run = ""
        self._begun = datetime.now(UTC)
        self._seq = 0
        self._clocks: dict[str, _Clock] = {}

    @property
    def run_id(self) -> str:
        """Names the rows of this pass through the history."""
        return self._run

    def on_start(self) -> None:
        """Begin a run."""
        self._loop += 1
        self._run = f"{self._boot}-{self._loop}"
        self._seq = 0
        self._clocks.clear()
        self._begun = datetime.now(UTC)
        self._put_run(None)
        self.msgbus.subscribe("events.order.*", self._on_order)
        self.msgbus.subscribe("events.position.*", self._on_position)
        self.msgbus.subscribe(TOPIC, self._on_signal)

    def on_stop(self) -> None:
        """End the run."""
        # The subscriptions stay: the bus does not find a wildcard again that is subscribed to anew.
        self._put_run(datetime.now(UTC))

    def on_reset(self) -> None:
        """Nothing of a run is left when it ends."""

    def _put_run(self, ended: datetime | None) -> None:
        strategies = ",".join(self._strategies.values())
        self._put(RUNS, (self._run, self._boot, self._loop, self._mode, strategies, self._begun, ended))

    def _strategy(self, event: Any) -> str:
        name: str = event.strategy_id.value
        return self._strategies.get(name, name)

    def _on_order(self, event: OrderEvent) -> None:
        key = event.client_order_id.value
        if isinstance(event, OrderInitialized):
            # The order itself comes into the cache only after this.
            self._clocks[key] = _Clock()
            return
        order = self.cache.order(event.client_order_id)
        if order is None:
            return
        clock = self._clocks.get(key) or _Clock()
        clock.look_at(event)
        reason = event.reason if isinstance(event, OrderDenied | OrderRejected) else None
        self._put_order(order, self._strategy(event), clock, reason, event.ts_event)
        if isinstance(event, OrderFilled):
            self._put_fill(event)
        if order_status_to_str(order.status) in _LAST:
            self._clocks.pop(key, None)

    def _put_order(self, order: Order, strategy: str, clock: _Clock, reason: str | None, market_ns: int) -> None:
        self._put(
            ORDERS,
            (
                self._run,
                order.client_order_id.value,
                strategy,
                order.instrument_id.value,
                order_side_to_str(order.side),
                order_type_to_str(order.order_type),
                order_status_to_str(order.status),
                order.quantity.as_decimal(),
                order.filled_qty.as_decimal(),
                _decimal(order.avg_px) if order.filled_qty.as_decimal() else None,
                reason,
                clock.submit_us,
                clock.fill_us,
                order.event_count,
                datetime.now(UTC),
                clock.time,
                _moment(market_ns),
            ),
        )

    def _put_fill(self, event: OrderFilled) -> None:
        self._put(
            FILLS,
            (
                self._run,
                event.trade_id.value,
                event.client_order_id.value,
                event.position_id.value if event.position_id else None,
                self._strategy(event),
                event.instrument_id.value,
                "BUY" if event.order_side == OrderSide.BUY else "SELL",
                event.last_qty.as_decimal(),
                event.last_px.as_decimal(),
                event.commission.as_decimal(),
                event.commission.currency.code,
                datetime.now(UTC),
                _moment(event.ts_event),
            ),
        )

    def _on_position(self, event: PositionEvent) -> None:
        position = self.cache.position(event.position_id)
        is_open = event.side != PositionSide.FLAT
        now = datetime.now(UTC)
        self._put(
            POSITIONS,
            (
                self._run,
                event.position_id.value,
                event.opening_order_id.value,
                None if is_open else event.closing_order_id.value,
                self._strategy(event),
                event.instrument_id.value,
                position_side_to_str(event.side),
                event.quantity.as_decimal() * (-1 if event.side == PositionSide.SHORT else 1),
                event.peak_qty.as_decimal(),
                _decimal(event.avg_px_open),
                None if is_open else _decimal(event.avg_px_close),
                event.realized_pnl.as_decimal(),
                event.currency.code,
                is_open,
                position.event_count,
                now,
                None if is_open else _moment(event.ts_event),
                now,
                _moment(event.ts_opened),
            ),
        )

    def _on_signal(self, signal: Signal) -> None:
        self._seq += 1
        self._put(
            SIGNALS,
            (
                self._run,
                self._seq,
                signal.strategy_id,
                signal.instrument,
                signal.direction,
                signal.strength,
                _decimal(signal.price),
                datetime.now(UTC),
                _moment(signal.market_ns),
            ),
        )


class _Clock:
    """Wall-clock time of an order: when it was decided, and the microseconds to the venue's answer and to the fill."""

    __slots__ = ("_begun", "fill_us", "submit_us", "time")

    def __init__(self) -> None:
        self._begun = time.perf_counter()
        self.time = datetime.now(UTC)
        self.submit_us: float | None = None
        self.fill_us: float | None = None

    def look_at(self, event: OrderEvent) -> None:
        """Take the time of the first answer and of the last fill."""
        microseconds = (time.perf_counter() - self._begun) * 1e6
        # A venue that fills at once says so only by the fill.
        if self.submit_us is None and isinstance(event, OrderAccepted | OrderFilled | OrderRejected):
            self.submit_us = microseconds
        if isinstance(event, OrderFilled):
            self.fill_us = microseconds


def tell(told: Told, logger: Logger) -> None:
    """Say what was written, as metric lines."""
    for (table, strategy), count in sorted(told.rows.items()):
        if table in (ORDERS.name, FILLS.name, SIGNALS.name):
            logger.debug(metric_lines.counter(NAME, f"{table}_written", count, strategy))
    logger.debug(metric_lines.gauge(NAME, "database_write_latency_us", told.seconds * 1e6, metric_lines.ENGINE))


def tell_lost(count: int, logger: Logger) -> None:
    """Say that rows were given up, as a metric line."""
    logger.debug(metric_lines.counter(NAME, "rows_lost", count, metric_lines.ENGINE))


def _moment(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC)


def _decimal(price: float) -> Decimal:
    return round(Decimal(repr(float(price))), _PRICE_DIGITS).normalize()
