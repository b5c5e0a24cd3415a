"""What runs inside a node, whether it replays or trades: the strategies, and the actors beside them. The same code for both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from nautilus_trader.common.actor import Actor

from crowsnest.engine.budget import Caps, Usage
from crowsnest.engine.budget_actor import BudgetActor
from crowsnest.engine.database_actor import DatabaseActor, Put
from crowsnest.engine.market_data import TICKERS
from crowsnest.engine.strategies import STRATEGIES, Counters, LoggedStrategy
from crowsnest.engine.telemetry import Telemetry

STARTING_BALANCE_USD = 1_000_000


@dataclass(frozen=True, slots=True)
class Desk:
    """What the strategies' trading is held to and written into.

    Attributes:
        boot: of the process.
        caps: budgets that hold.
        usage: is told what is bound and denied.
        put: takes rows for the database; None where there is none.
    """

    boot: str = "0"
    caps: Caps = field(default_factory=lambda: Caps(Decimal(STARTING_BALANCE_USD)))
    usage: Usage = field(default_factory=Usage)
    put: Put | None = None


class Fleet:
    """Strategies and actors of one node."""

    def __init__(self, strategy_ids: Sequence[str], telemetry: Telemetry, desk: Desk, mode: str) -> None:
        self.counters = Counters()
        self.strategies: list[LoggedStrategy] = [
            STRATEGIES[strategy_id](TICKERS, self.counters, telemetry, len(strategy_ids)) for strategy_id in strategy_ids
        ]
        self._names = {strategy.id.value: strategy.STRATEGY_ID for strategy in self.strategies}
        self._desk, self._mode = desk, mode
        self.database: DatabaseActor | None = None

    def actors(self, risk_engine: Any) -> list[Actor]:
        """The actors, for the node that has this risk engine. They start before the strategies."""
        desk = self._desk
        actors = [BudgetActor(desk.caps, desk.usage, self._names, risk_engine)]
        if desk.put:
            self.database = DatabaseActor(desk.put, desk.boot, self._mode, self._names)
            actors.insert(0, self.database)
        return actors
