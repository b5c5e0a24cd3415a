"""The engine in this process, writing into a real PostgreSQL, for tests of what arrives there."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from crowsnest.engine.budget import Caps, Usage
from crowsnest.engine.fleet import STARTING_BALANCE_USD, Desk
from crowsnest.engine.market_data import TICKERS, trading_days
from crowsnest.engine.replay import Replay
from crowsnest.engine.settings import DEFAULT_STRATEGY_IDS
from crowsnest.engine.telemetry import Telemetry
from crowsnest.engine.writer import Address, Writer
from tests.postgres import Postgres


@dataclass
class Report:
    """NautilusTrader's own books at the end of a loop."""

    orders: Any
    fills: Any
    positions: Any
    balance: Decimal


class ReportedReplay(Replay):
    """A replay that keeps NautilusTrader's reports."""

    reports: list[Report]

    def at_end_of_loop(self, engine: Any) -> None:
        trader = engine.trader
        (account,) = engine.cache.accounts()
        self.reports.append(
            Report(
                trader.generate_orders_report(),
                trader.generate_fills_report(),
                trader.generate_positions_report(),
                account.balance_total().as_decimal(),
            )
        )


@dataclass
class Running:
    """A replay with its books."""

    replay: ReportedReplay
    writer: Writer
    caps: Caps
    usage: Usage
    boot: str
    stop: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None

    def run(self, *, bars_per_second: float = 0, loops: int = 1) -> None:
        self.replay.run(bars_per_second=bars_per_second, max_loops=loops, stop=self.stop, after_day=lambda: None)

    def begin(self, *, bars_per_second: float) -> None:
        """Run in a thread until the test ends."""
        self.thread = threading.Thread(target=self.run, kwargs={"bars_per_second": bars_per_second, "loops": 0})
        self.thread.start()

    def end(self) -> None:
        self.stop.set()
        if self.thread:
            self.thread.join(60)
            assert not self.thread.is_alive()


@contextmanager
def trading(
    postgres: Postgres,
    boot: str,
    *,
    days: int = 200,
    strategies: Sequence[str] = DEFAULT_STRATEGY_IDS,
    spool: Path | None = None,
    cap: int = STARTING_BALANCE_USD,
) -> Iterator[Running]:
    caps, usage = Caps(Decimal(cap)), Usage()
    address = Address(postgres.url, postgres.password_file)
    writer = Writer(address, caps, usage, boot=boot, strategies=strategies, spool=spool)
    assert writer.wait_for_budgets(10)
    replay = ReportedReplay(
        trading_days()[:days], strategies, Telemetry(TICKERS, strategies), Desk(boot, caps, usage, writer.put)
    )
    replay.reports = []
    running = Running(replay, writer, caps, usage, boot)
    try:
        yield running
    finally:
        running.end()
        writer.close()
        replay.close()
