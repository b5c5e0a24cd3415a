"""The sandbox: a live NautilusTrader node whose venue is simulated, fed the same bars in wall-clock time.

Everything a live node does happens: its event loop and queues, its own clock, orders that go to a client and come back. Only
the feed and the venue are not a broker's.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from nautilus_trader.adapters.sandbox.config import SandboxExecutionClientConfig
from nautilus_trader.adapters.sandbox.execution import SandboxExecutionClient
from nautilus_trader.adapters.sandbox.factory import SandboxLiveExecClientFactory
from nautilus_trader.common.providers import InstrumentProvider
from nautilus_trader.config import LiveDataClientConfig, LiveExecEngineConfig, LoggingConfig, TradingNodeConfig
from nautilus_trader.live.data_client import LiveMarketDataClient
from nautilus_trader.live.factories import LiveDataClientFactory
from nautilus_trader.live.node import TradingNode
from nautilus_trader.model.data import Bar
from nautilus_trader.model.identifiers import ClientId, TraderId

from crowsnest.engine.fleet import STARTING_BALANCE_USD, Desk, Fleet
from crowsnest.engine.market_data import TICKERS, VENUE, instrument
from crowsnest.engine.replay import TRADER_ID, plain, portfolio_of
from crowsnest.engine.telemetry import Telemetry

_CONNECT_SECONDS = 10.0
_STOP_SECONDS = 5.0
_LEVERAGE = Decimal(10)
# The venue has to see a bar before the strategies do, as in a replay.
_BEFORE_STRATEGIES = 10
_MAX_LAG_SECONDS = 1.0


class _Feed(LiveMarketDataClient):  # type: ignore[misc, unused-ignore]
    """Takes subscriptions; the bars themselves come from `Sandbox`."""

    async def _connect(self) -> None:
        pass

    async def _disconnect(self) -> None:
        pass

    async def _subscribe_bars(self, command: Any) -> None:
        pass

    async def _unsubscribe_bars(self, command: Any) -> None:
        pass


class _FeedFactory(LiveDataClientFactory):  # type: ignore[misc, unused-ignore]
    @staticmethod
    def create(loop: Any, name: str, config: Any, msgbus: Any, cache: Any, clock: Any) -> _Feed:  # noqa: ARG004 - its interface
        return _Feed(loop, ClientId(name), VENUE, msgbus, cache, clock, InstrumentProvider())


class _Venue(SandboxExecutionClient):  # type: ignore[misc, unused-ignore]
    """The sandbox's venue, which by itself hears of quotes and trades only."""

    def connect(self) -> None:
        super().connect()
        self._msgbus.subscribe("data.bars.*", handler=self.on_data, priority=_BEFORE_STRATEGIES)


class _VenueFactory(SandboxLiveExecClientFactory):  # type: ignore[misc, unused-ignore]
    @staticmethod
    def create(  # type: ignore[override, unused-ignore]
        loop: Any,
        name: str,  # noqa: ARG004 - its interface
        config: Any,
        portfolio: Any,
        msgbus: Any,
        cache: Any,
        clock: Any,
    ) -> SandboxExecutionClient:
        return _Venue(loop=loop, clock=clock, portfolio=portfolio, msgbus=msgbus, cache=cache, config=config)


# The node hands the portfolio only to a factory of this name.
_VenueFactory.__name__ = SandboxLiveExecClientFactory.__name__


class Sandbox:
    """Runs strategies in a live node; used like `Replay`."""

    def __init__(
        self,
        days: Sequence[Sequence[Bar]],
        strategy_ids: Sequence[str],
        telemetry: Telemetry,
        desk: Desk,
        logging_config: LoggingConfig,
    ) -> None:
        if not days:
            raise ValueError("no trading days to feed")
        self._days = days
        self.telemetry = telemetry
        self.fleet = Fleet(strategy_ids, telemetry, desk, "sandbox")
        self.counters = self.fleet.counters
        self.bars_total = 0
        self.loops = 0
        self._loop = asyncio.new_event_loop()
        self._node = TradingNode(_config(logging_config), loop=self._loop)
        self._node.add_data_client_factory(VENUE.value, _FeedFactory)
        self._node.add_exec_client_factory(VENUE.value, _VenueFactory)
        kernel = self._node.kernel
        for ticker in TICKERS:
            kernel.cache.add_instrument(instrument(ticker))
        self._node.build()
        for actor in self.fleet.actors(kernel.risk_engine):
            self._node.trader.add_actor(actor)
        self._node.trader.add_strategies(self.fleet.strategies)

    @property
    def node(self) -> TradingNode:
        """NautilusTrader's node, for its reports."""
        return self._node

    def run(
        self,
        *,
        bars_per_second: float,
        max_loops: int,
        stop: threading.Event,
        after_day: Callable[[], None],
    ) -> None:
        """Feed until `stop` is set or `max_loops` (0: no end) passes are done; `after_day` is called between days."""
        self._loop.run_until_complete(self._run(bars_per_second, max_loops, stop, after_day))

    async def _run(self, bars_per_second: float, max_loops: int, stop: threading.Event, after_day: Callable[[], None]) -> None:
        running = asyncio.create_task(self._node.run_async())
        await self._until(lambda: self._node.trader.is_running, _CONNECT_SECONDS)
        if not self._node.trader.is_running:
            raise TimeoutError(f"the node has not started within {_CONNECT_SECONDS:g} s; its own log says why")
        due = time.monotonic()
        while not stop.is_set() and not (max_loops and self.loops >= max_loops):
            for bars in self._days:
                await self._feed(bars)
                after_day()
                if bars_per_second:
                    due = max(due + len(bars) / bars_per_second, time.monotonic() - _MAX_LAG_SECONDS)
                    await self._until(stop.is_set, due - time.monotonic())
                if stop.is_set():
                    break
            else:
                await self._flatten()
                self.loops += 1
        await self._node.stop_async()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    async def _feed(self, bars: Sequence[Bar]) -> None:
        """Feed a day's bars and wait until all that comes of them is done."""
        self.telemetry.day_begins([plain(bar) for bar in bars])
        for bar in bars:
            now = self._node.kernel.clock.timestamp_ns()
            # The market's time stays; what the venue and the node go by is the time of arrival.
            arrived = Bar(bar.bar_type, bar.open, bar.high, bar.low, bar.close, bar.volume, bar.ts_event, now)
            self._node.kernel.data_engine.process(arrived)
        await self._settled()
        self.bars_total += len(bars)
        self.telemetry.day_ends(portfolio_of(self._node.kernel))

    async def _flatten(self) -> None:
        for strategy in self.fleet.strategies:
            strategy.flatten()
        await self._settled()

    async def _settled(self) -> None:
        """Wait until the node's queues are empty, twice in a row: what leaves one enters another."""
        engines = self._node.kernel
        quiet = 0
        while quiet < 2:
            await asyncio.sleep(0)
            sizes = (
                engines.data_engine.data_qsize(),
                engines.risk_engine.cmd_qsize(),
                engines.risk_engine.evt_qsize(),
                engines.exec_engine.cmd_qsize(),
                engines.exec_engine.evt_qsize(),
            )
            quiet = 0 if any(sizes) else quiet + 1

    @staticmethod
    async def _until(done: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        # A threading.Event and a node's state cannot be awaited.
        while not done() and (left := deadline - time.monotonic()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(min(0.05, left))

    def close(self) -> None:
        """Release the node."""
        self._node.dispose()


def _config(logging_config: LoggingConfig) -> TradingNodeConfig:
    return TradingNodeConfig(
        trader_id=TraderId(TRADER_ID),
        logging=logging_config,
        # There is no broker whose books could differ.
        exec_engine=LiveExecEngineConfig(reconciliation=False),
        data_clients={VENUE.value: LiveDataClientConfig()},
        exec_clients={
            VENUE.value: SandboxExecutionClientConfig(
                venue=VENUE.value,
                base_currency="USD",
                starting_balances=[f"{STARTING_BALANCE_USD} USD"],
                default_leverage=_LEVERAGE,
            )
        },
        timeout_connection=_CONNECT_SECONDS,
        timeout_disconnection=_STOP_SECONDS,
        timeout_post_stop=0.1,
    )
