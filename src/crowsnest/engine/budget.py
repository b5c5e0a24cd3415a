"""Budgets: how much capital a strategy may bind, and whether an order fits. Pure; the actor applies it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Cap:
    """A strategy's cap in dollars, and the version of the row that says so; 0 is the engine's own default."""

    dollars: Decimal
    version: int = 0


class Caps:
    """The caps that hold. Changed by the thread that watches the database, read by the trading thread; whole dict at once."""

    def __init__(self, default_dollars: Decimal) -> None:
        self._default = Cap(default_dollars)
        self._caps: Mapping[str, Cap] = {}

    @property
    def default_dollars(self) -> Decimal:
        """What a strategy without a row may bind."""
        return self._default.dollars

    def take(self, caps: Mapping[str, Cap]) -> list[str]:
        """Take what the database says; answers with the strategies whose cap has changed."""
        changed = [strategy for strategy, cap in caps.items() if self.of(strategy) != cap]
        self._caps = dict(caps)
        return changed

    def of(self, strategy_id: str) -> Cap:
        """The cap of a strategy."""
        return self._caps.get(strategy_id, self._default)


class Usage:
    """What each strategy binds and was denied, handed from the trading thread to the one that writes it down."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bound: dict[str, Decimal] = {}
        self._denied: dict[str, int] = {}

    def bound(self, strategy_id: str, dollars: Decimal) -> None:
        """A strategy binds this much now."""
        with self._lock:
            self._bound[strategy_id] = dollars

    def denied(self, strategy_id: str) -> None:
        """One more order was denied."""
        with self._lock:
            self._denied[strategy_id] = self._denied.get(strategy_id, 0) + 1

    def snapshot(self) -> dict[str, tuple[Decimal, int]]:
        """Dollars and denials since the process started, by strategy."""
        with self._lock:
            return {name: (dollars, self._denied.get(name, 0)) for name, dollars in self._bound.items()}


@dataclass(frozen=True, slots=True)
class Holding:
    """What a strategy holds of an instrument: signed quantity and average price."""

    quantity: Decimal
    price: Decimal

    @property
    def bound(self) -> Decimal:
        """Capital in it."""
        return abs(self.quantity) * self.price


def bound_after(bound: Decimal, held: Holding, change: Decimal, price: Decimal) -> Decimal:
    """Capital bound after an order of signed quantity `change` at `price`, of a strategy that binds `bound` now.

    What is taken away leaves at the average price at which it came. What is turned around is new as a whole.
    """
    after = held.quantity + change
    if not held.quantity or (after and (after > 0) != (held.quantity > 0)):
        return bound - held.bound + abs(after) * price
    growth = abs(after) - abs(held.quantity)
    return bound + growth * (price if growth > 0 else held.price)
