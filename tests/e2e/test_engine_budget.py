"""The BudgetActor between real strategies and NautilusTrader's real risk engine."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.engine
pytest.importorskip("nautilus_trader", reason="nautilus_trader is not installed")

from nautilus_trader.backtest.config import BacktestEngineConfig  # noqa: E402
from nautilus_trader.backtest.engine import BacktestEngine  # noqa: E402
from nautilus_trader.config import LoggingConfig, StrategyConfig  # noqa: E402
from nautilus_trader.model.currencies import USD  # noqa: E402
from nautilus_trader.model.enums import AccountType, OmsType, OrderSide, TimeInForce  # noqa: E402
from nautilus_trader.model.identifiers import TraderId  # noqa: E402
from nautilus_trader.model.objects import Money, Price, Quantity  # noqa: E402
from nautilus_trader.trading.strategy import Strategy  # noqa: E402

from crowsnest.engine.budget import Cap, Caps, Usage  # noqa: E402
from crowsnest.engine.budget_actor import BudgetActor  # noqa: E402
from crowsnest.engine.market_data import VENUE, bar_type, instrument, trading_days  # noqa: E402

# IBM's first closes are between 60 and 90 dollars.
IBM = instrument("IBM")


class Told(Strategy):
    """Does on each bar what the test says, and notes what comes back."""

    def __init__(self, tag: str, steps: list[Any]) -> None:
        super().__init__(StrategyConfig(order_id_tag=tag))
        self._steps = list(steps)
        self.events: list[Any] = []

    def on_start(self) -> None:
        self.subscribe_bars(bar_type("IBM"))

    def on_bar(self, bar: Any) -> None:
        if self._steps:
            self._steps.pop(0)(self, float(bar.close))

    def on_event(self, event: Any) -> None:
        self.events.append(event)

    def denials(self) -> list[str]:
        return [event.reason for event in self.events if type(event).__name__ == "OrderDenied"]

    def held(self) -> int:
        return int(sum(position.signed_qty for position in self.cache.positions_open(strategy_id=self.id)))


def market(side: OrderSide, quantity: int) -> Any:
    def step(strategy: Told, _: float) -> None:
        strategy.submit_order(strategy.order_factory.market(IBM.id, side, Quantity.from_int(quantity)))

    return step


def far_limit(quantity: int) -> Any:
    """An order that rests at half the price."""

    def step(strategy: Told, close: float) -> None:
        price = Price(round(close / 2, 4), 4)
        strategy.submit_order(
            strategy.order_factory.limit(IBM.id, OrderSide.BUY, Quantity.from_int(quantity), price, TimeInForce.GTC)
        )

    return step


def enlarge(quantity: int) -> Any:
    def step(strategy: Told, _: float) -> None:
        (order,) = strategy.cache.orders_open(strategy_id=strategy.id)
        strategy.modify_order(order, quantity=Quantity.from_int(quantity))

    return step


def listed(*quantities: int) -> Any:
    """Several orders in one command."""

    def step(strategy: Told, _: float) -> None:
        orders = [strategy.order_factory.market(IBM.id, OrderSide.BUY, Quantity.from_int(one)) for one in quantities]
        strategy.submit_order_list(strategy.order_factory.create_list(orders))

    return step


def setting(caps: Caps, dollars: int, name: str = "one") -> Any:
    return lambda *_: caps.take({name: Cap(Decimal(dollars), 2)})


@pytest.fixture
def run() -> Iterator[Any]:
    engines: list[BacktestEngine] = []

    def run(caps: Caps, *strategies: Told) -> Usage:
        engine = BacktestEngine(
            BacktestEngineConfig(trader_id=TraderId("T-1"), logging=LoggingConfig(log_level="ERROR"), run_analysis=False)
        )
        engines.append(engine)
        engine.add_venue(VENUE, OmsType.NETTING, AccountType.MARGIN, [Money(1_000_000, USD)], base_currency=USD)
        engine.add_instrument(IBM)
        usage = Usage()
        names = {strategy.id.value: strategy.id.get_tag() for strategy in strategies}
        engine.add_actor(BudgetActor(caps, usage, names, engine.kernel.risk_engine))
        engine.add_strategies(list(strategies))
        bars = [bar for day in trading_days()[:20] for bar in day if bar.bar_type == bar_type("IBM")]
        engine.add_data(bars)
        engine.run()
        return usage

    yield run
    for engine in engines:
        engine.dispose()


def test_an_order_beyond_the_cap_is_denied_and_one_within_passes(run: Any) -> None:
    strategy = Told("one", [market(OrderSide.BUY, 10), market(OrderSide.BUY, 100), market(OrderSide.BUY, 1)])
    usage = run(Caps(Decimal(2000)), strategy)
    assert strategy.held() == 11
    (reason,) = strategy.denials()
    assert reason.startswith("BUDGET_EXCEEDED: ")
    assert "cap 2000 (version 0)" in reason
    bound, denied = usage.snapshot()["one"]
    assert denied == 1
    assert 11 * 50 < bound < 11 * 120


def test_what_reduces_a_position_passes_under_any_cap(run: Any) -> None:
    caps = Caps(Decimal(100_000))
    steps = [market(OrderSide.BUY, 10), setting(caps, 0), market(OrderSide.SELL, 4), market(OrderSide.SELL, 6)]
    strategy = Told("one", [*steps, market(OrderSide.SELL, 1)])
    run(caps, strategy)
    assert strategy.held() == 0
    assert len(strategy.denials()) == 1, "the last one would open a short position"


def test_turning_a_position_around_binds_what_is_new(run: Any) -> None:
    caps = Caps(Decimal(100_000))
    strategy = Told(
        "one", [market(OrderSide.BUY, 10), setting(caps, 1500), market(OrderSide.SELL, 40), market(OrderSide.SELL, 20)]
    )
    run(caps, strategy)
    assert strategy.held() == -10
    assert len(strategy.denials()) == 1


def test_orders_that_rest_bind_capital_too(run: Any) -> None:
    strategy = Told("one", [far_limit(30), far_limit(30), market(OrderSide.BUY, 2)])
    run(Caps(Decimal(2000)), strategy)
    assert len(strategy.denials()) == 1
    assert strategy.held() == 2
    kinds = Counter(type(event).__name__ for event in strategy.events)
    assert kinds["OrderAccepted"] == 1


def test_an_order_that_would_be_made_larger_than_the_cap_stays_as_it_is(run: Any) -> None:
    strategy = Told("one", [far_limit(10), enlarge(500), enlarge(12)])
    usage = run(Caps(Decimal(2000)), strategy)
    kinds = Counter(type(event).__name__ for event in strategy.events)
    assert (kinds["OrderModifyRejected"], kinds["OrderUpdated"]) == (1, 1)
    assert usage.snapshot()["one"][1] == 1
    (order,) = strategy.cache.orders_open(strategy_id=strategy.id)
    assert order.quantity == 12


def test_a_list_of_orders_is_denied_as_a_whole(run: Any) -> None:
    strategy = Told("one", [listed(5, 100), listed(5, 3)])
    run(Caps(Decimal(2000)), strategy)
    assert len(strategy.denials()) == 2
    assert strategy.held() == 8


def test_strategies_have_budgets_of_their_own(run: Any) -> None:
    caps = Caps(Decimal(100_000))
    caps.take({"one": Cap(Decimal(0), 5)})
    one, other = Told("one", [market(OrderSide.BUY, 10)]), Told("other", [market(OrderSide.BUY, 10)])
    run(caps, one, other)
    assert (one.held(), other.held()) == (0, 10)
    assert "version 5" in one.denials()[0]


def test_a_check_that_fails_denies(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr("crowsnest.engine.budget_actor.bound_after", broken)
    strategy = Told("one", [market(OrderSide.BUY, 1)])
    run(Caps(Decimal(2000)), strategy)
    assert strategy.denials() == ["BUDGET_CHECK_FAILED: RuntimeError('broken')"]


# What the engine's files hold


def test_log_files_hold_metric_lines_of_every_kind_and_end_at_their_size(tmp_path: Path) -> None:
    """In a process of its own: NautilusTrader's log is made once a process."""
    import os
    import subprocess
    import sys

    from crowsnest.engine.settings import DEFAULT_STRATEGY_IDS
    from infra.catalogue import PROJECT_ROOT

    code = (
        "import sys; from crowsnest.engine import log_files; log_files.MAX_BYTES = 200_000; log_files.KEPT_FILES = 50\n"
        "from crowsnest.engine.__main__ import main; sys.exit(main([]))"
    )
    folder = tmp_path / "logs"
    environment = {
        **os.environ,
        "PYTHONPATH": str(PROJECT_ROOT / "src"),
        "VICTORIALOGS_URL": "http://127.0.0.1:9",
        "CROWSNEST_ENGINE_HEARTBEAT_FILE": str(tmp_path / "heartbeat"),
        "CROWSNEST_ENGINE_LOGS_FOLDER": str(folder),
        "CROWSNEST_ENGINE_BARS_PER_SECOND": "0",
        "CROWSNEST_ENGINE_DAYS": "120",
        "CROWSNEST_ENGINE_MAX_LOOPS": "1",
        "CROWSNEST_ENGINE_CAP_USD": "10000",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    last = json.loads([line for line in done.stdout.splitlines() if line.startswith("{")][-1])
    files = sorted(folder.glob("*.json"))
    assert len(files) > 1
    assert all(file.stat().st_size <= 200_000 for file in files)
    lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    spoken = [line for line in lines if line["message"].startswith('{"component_name"')]
    metrics = [(line["component"], json.loads(line["message"])) for line in spoken]
    totals: Counter[str] = Counter()
    for component, metric in metrics:
        assert component.split("-")[0] == metric["component_name"]
        assert component in ("BudgetActor", "DatabaseActor") or metric["strategy_id"] in DEFAULT_STRATEGY_IDS
        if metric["metric_type"] == "counter":
            totals[metric["metric_name"]] += metric["metric_value"]
    assert {metric["strategy_id"] for _, metric in metrics} >= set(DEFAULT_STRATEGY_IDS)
    assert totals["fills"] == last["fills_total"] > 0
    assert totals["orders"] == last["orders_total"]
    assert totals["orders_denied"] == last["denied_total"] > 0
    assert totals["orders"] == totals["fills"] + totals["orders_denied"] + totals["orders_rejected"]
    gauges = {(metric["metric_name"], metric["strategy_id"]) for _, metric in metrics if metric["metric_type"] == "gauge"}
    names = {"strategy_latency_us", "order_submit_latency_us", "order_fill_latency_us"}
    assert {name for name, _ in gauges} == names
    assert all(strategy.endswith("_latency") for _, strategy in gauges)


def test_files_of_earlier_processes_are_removed_down_to_the_limit(tmp_path: Path) -> None:
    import os

    from crowsnest.engine.log_files import KEPT_FILES, prune

    for number in range(KEPT_FILES + 3):
        file = tmp_path / f"{number}.json"
        file.write_text("{}")
        os.utime(file, (number, number))
    prune(tmp_path)
    assert sorted(int(file.stem) for file in tmp_path.iterdir()) == list(range(3, KEPT_FILES + 3))
