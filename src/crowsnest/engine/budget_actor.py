"""The actor that holds each strategy to its cap: it stands between the strategies and NautilusTrader's risk engine.

Every order passes here, whatever strategy sends it. One that would bind more capital than the cap is denied as NautilusTrader's
own risk engine denies: the strategy gets `OrderDenied`. Whatever reduces a position passes always.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Final

from nautilus_trader.common.actor import Actor
from nautilus_trader.config import ActorConfig
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.messages import ModifyOrder, SubmitOrder, SubmitOrderList
from nautilus_trader.model.data import Bar
from nautilus_trader.model.enums import OrderSide, OrderStatus, PriceType
from nautilus_trader.model.events import OrderDenied, OrderModifyRejected
from nautilus_trader.model.identifiers import ClientOrderId, InstrumentId, StrategyId
from nautilus_trader.model.orders import Order

from crowsnest.engine import metric_lines
from crowsnest.engine.budget import Caps, Holding, Usage, bound_after

NAME: Final = "BudgetActor"
ENDPOINT: Final = "RiskEngine.execute"
_CENT: Final = Decimal("0.01")


class BudgetActor(Actor):  # type: ignore[misc]
    """The gate.

    Args:
        caps: that hold.
        usage: is told what is bound and denied.
        strategies: whose names are told, by the identifier that NautilusTrader gives them.
        risk_engine: of the same node, to which what passes goes on.
    """

    def __init__(self, caps: Caps, usage: Usage, strategies: dict[str, str], risk_engine: Any) -> None:
        super().__init__(ActorConfig(component_id=NAME))
        self._caps, self._usage, self._strategies = caps, usage, strategies
        self._pass: Callable[[Any], None] = risk_engine.execute
        self._prices: dict[str, Decimal] = {}
        # Orders that passed and are not closed, by strategy.
        self._passed: dict[str, set[ClientOrderId]] = {}

    def on_start(self) -> None:
        """Take the place before the risk engine."""
        self._prices.clear()
        self._passed.clear()
        self.msgbus.subscribe("data.bars.*", self._on_price)
        self.msgbus.subscribe("events.position.*", self._on_position)
        self.msgbus.deregister(ENDPOINT, self._pass)
        self.msgbus.register(ENDPOINT, self._gate)
        for strategy in self._strategies.values():
            self._usage.bound(strategy, Decimal(0))

    def on_stop(self) -> None:
        """Give it back."""
        self.msgbus.deregister(ENDPOINT, self._gate)
        self.msgbus.register(ENDPOINT, self._pass)
        # The subscriptions stay: the bus does not find a wildcard again that is subscribed to anew.

    def on_reset(self) -> None:
        """Nothing of a run is left when it ends."""

    def _on_price(self, bar: Bar) -> None:
        self._prices[bar.bar_type.instrument_id.value] = bar.close.as_decimal()

    def _on_position(self, event: Any) -> None:
        self._usage.bound(self._name(event.strategy_id), self._held(event.strategy_id).quantize(_CENT))

    def _name(self, strategy_id: StrategyId) -> str:
        name: str = strategy_id.value
        return self._strategies.get(name, name)

    def _gate(self, command: Any) -> None:
        """Pass a command on, or deny it. A check that fails by itself denies: an order unchecked is worse than none."""
        try:
            reason = self._objection(command)
        except Exception as error:  # noqa: BLE001 - whatever it is, trading goes on
            self.log.error(f"budget check failed: {error!r}")
            reason = f"BUDGET_CHECK_FAILED: {error!r}"
        if reason is None:
            self._pass(command)
        else:
            self._deny(command, reason)

    def _objection(self, command: Any) -> str | None:
        orders = _orders(command)
        if not orders:
            return None if not isinstance(command, ModifyOrder) else self._objection_to_growth(command)
        strategy = command.strategy_id
        bound = before = self._bound(strategy)
        for order in orders:
            change = order.quantity.as_decimal() * (1 if order.side == OrderSide.BUY else -1)
            held = self._holding(strategy, order.instrument_id)
            if held.quantity and held.quantity * change < 0 and abs(change) <= abs(held.quantity):
                continue
            price = self._price(order.instrument_id, order)
            if price is None:
                return f"BUDGET_PRICE_UNKNOWN: no price of {order.instrument_id} yet"
            bound = bound_after(bound, held, change, price)
        if bound > before and (reason := self._beyond(strategy, before, bound)):
            return reason
        self._passed.setdefault(strategy.value, set()).update(order.client_order_id for order in orders)
        return None

    def _objection_to_growth(self, command: ModifyOrder) -> str | None:
        """A change that makes an order larger is an order for the difference."""
        order = self.cache.order(command.client_order_id)
        if order is None or (command.quantity is None and command.price is None):
            return None
        price = (command.price.as_decimal() if command.price else None) or self._price(order.instrument_id, order)
        quantity = (command.quantity or order.quantity).as_decimal() - order.filled_qty.as_decimal()
        if price is None:
            return f"BUDGET_PRICE_UNKNOWN: no price of {order.instrument_id} yet"
        before = self._bound(command.strategy_id)
        after = before - self._waiting(order) + quantity * price
        return self._beyond(command.strategy_id, before, after) if after > before else None

    def _beyond(self, strategy: StrategyId, before: Decimal, after: Decimal) -> str | None:
        cap = self._caps.of(self._name(strategy))
        if after <= cap.dollars:
            return None
        return (
            f"BUDGET_EXCEEDED: {after.quantize(_CENT)} dollars would be bound, {before.quantize(_CENT)} are,"
            f" cap {cap.dollars} (version {cap.version})"
        )

    def _bound(self, strategy: StrategyId) -> Decimal:
        """What positions bind, and orders that are on their way."""
        return self._held(strategy) + sum((self._waiting(order) for order in self._open(strategy)), Decimal(0))

    def _held(self, strategy: StrategyId) -> Decimal:
        positions = self.cache.positions_open(strategy_id=strategy)
        return sum((_holding(position).bound for position in positions), Decimal(0))

    def _holding(self, strategy: StrategyId, instrument: InstrumentId) -> Holding:
        positions = self.cache.positions_open(instrument_id=instrument, strategy_id=strategy)
        quantity = sum((_holding(one).quantity for one in positions), Decimal(0))
        bound = sum((_holding(one).bound for one in positions), Decimal(0))
        return Holding(quantity, bound / abs(quantity)) if quantity else Holding(Decimal(0), Decimal(0))

    def _open(self, strategy: StrategyId) -> list[Order]:
        """Orders that passed and may still be filled."""
        known = self._passed.setdefault(strategy.value, set())
        orders = [self.cache.order(one) for one in known]
        for order in orders:
            if order is not None and order.is_closed:
                known.discard(order.client_order_id)
        return [order for order in orders if order is not None and not order.is_closed]

    def _waiting(self, order: Order) -> Decimal:
        """What an order binds until it is filled; one that reduces binds nothing."""
        held = self._holding(order.strategy_id, order.instrument_id)
        sign = 1 if order.side == OrderSide.BUY else -1
        if held.quantity * sign < 0:
            return Decimal(0)
        quantity: Decimal = order.leaves_qty.as_decimal()
        return quantity * (self._price(order.instrument_id, order) or Decimal(0))

    def _price(self, instrument: InstrumentId, order: Order) -> Decimal | None:
        """The order's own price, or the last one seen."""
        if order.has_price:
            own: Decimal = order.price.as_decimal()
            return own
        if (seen := self._prices.get(instrument.value)) is not None:
            return seen
        last = self.cache.price(instrument, PriceType.LAST)
        return Decimal(str(last)) if last else None

    def _deny(self, command: Any, reason: str) -> None:
        name = self._name(command.strategy_id)
        if isinstance(command, ModifyOrder):
            self._refuse_change(command, reason)
        for order in _orders(command):
            if order.status == OrderStatus.INITIALIZED:
                self._count(name, order.client_order_id.value, reason)
                self.msgbus.send("ExecEngine.process", self._denied(order, reason))

    def _count(self, strategy: str, order: str, reason: str) -> None:
        self._usage.denied(strategy)
        self.log.debug(metric_lines.counter(NAME, "orders_denied", 1, strategy))
        self.log.warning(f"order {order} of {strategy} denied: {reason}")

    def _denied(self, order: Order, reason: str) -> OrderDenied:
        return OrderDenied(
            trader_id=order.trader_id,
            strategy_id=order.strategy_id,
            instrument_id=order.instrument_id,
            client_order_id=order.client_order_id,
            reason=reason,
            event_id=UUID4(),
            ts_init=self.clock.timestamp_ns(),
        )

    def _refuse_change(self, command: ModifyOrder, reason: str) -> None:
        order = self.cache.order(command.client_order_id)
        self._count(self._name(command.strategy_id), command.client_order_id.value, reason)
        now = self.clock.timestamp_ns()
        self.msgbus.send(
            "ExecEngine.process",
            OrderModifyRejected(
                trader_id=command.trader_id,
                strategy_id=command.strategy_id,
                instrument_id=command.instrument_id,
                client_order_id=command.client_order_id,
                venue_order_id=command.venue_order_id,
                account_id=order.account_id if order else None,
                reason=reason,
                event_id=UUID4(),
                ts_event=now,
                ts_init=now,
            ),
        )


def _orders(command: Any) -> Iterable[Order]:
    """The orders that a command would send."""
    if isinstance(command, SubmitOrder):
        return (command.order,)
    if isinstance(command, SubmitOrderList):
        return tuple(command.order_list.orders)
    return ()


def _holding(position: Any) -> Holding:
    quantity = position.quantity.as_decimal() * (1 if position.signed_qty > 0 else -1)
    return Holding(quantity, Decimal(repr(position.avg_px_open)))
