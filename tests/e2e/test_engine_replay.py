"""The engine for real: NautilusTrader, real bars, orders and fills, records into an HTTP server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crowsnest.engine.settings import DEFAULT_STRATEGY_IDS
from tests.log_sink import BlackHole, LogSink

pytestmark = pytest.mark.engine
pytest.importorskip("nautilus_trader", reason="nautilus_trader is not installed")

SRC = Path(__file__).parents[2] / "src"
CONTRACT = {"_time", "_msg", "level", "source", "component", "boot", "seq"}
DEAL = {"strategy_id", "action", "instrument", "bar_time", "side", "quantity", "price", "order_id"}


def start(url: str, directory: Path, **settings: object) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(SRC),
        "VICTORIALOGS_URL": url,
        "CROWSNEST_ENGINE_HEARTBEAT_FILE": str(directory / "heartbeat"),
        **{f"CROWSNEST_ENGINE_{name.upper()}": str(value) for name, value in settings.items()},
    }
    return subprocess.Popen([sys.executable, "-m", "crowsnest.engine"], env=environment, stdout=subprocess.PIPE, text=True)


def progress(output: str) -> list[dict[str, Any]]:
    return [json.loads(text) for text in output.splitlines() if text.startswith("{")]


@pytest.fixture
def sink() -> Iterator[LogSink]:
    with LogSink() as sink:
        yield sink


def test_two_loops_trade_and_arrive_without_a_gap(sink: LogSink, tmp_path: Path) -> None:
    process = start(sink.url, tmp_path, bars_per_second=0, days=200, max_loops=2)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    last = progress(output)[-1]
    actions = Counter(record["action"] for record in sink.records)
    assert (last["loops"], last["bars_total"]) == (2, 2 * 200 * 3)
    assert last["orders_total"] == last["fills_total"] == actions["order_submitted"] == actions["order_filled"] > 50
    assert actions["position_opened"] == actions["position_closed"], "each loop ends flat"
    assert actions["loop_finished"] == 2

    assert [record["seq"] for record in sink.records] == list(range(1, len(sink.records) + 1))
    assert len({record["boot"] for record in sink.records}) == 1
    for record in sink.records:
        assert record.keys() >= CONTRACT
        assert (record["source"] == "strategy") == ("strategy_id" in record)
        assert not any("pnl" in name.lower() for name in record)
    fills = [record for record in sink.records if record["action"] == "order_filled"]
    assert all(record.keys() >= DEAL for record in fills)
    assert {record["strategy_id"] for record in fills} == set(DEFAULT_STRATEGY_IDS)

    finished = [index for index, record in enumerate(sink.records) if record["action"] == "loop_finished"]
    loops = sink.records[1 : finished[0]], sink.records[finished[0] + 1 : finished[1]]
    first, second = ([(r["_msg"], r["bar_time"]) for r in loop if r["source"] == "strategy"] for loop in loops)
    assert first == second, "a loop starts as if nothing had happened before"


def test_feeding_day_by_day_trades_like_one_backtest() -> None:
    """Streaming keeps indicators and positions: the fills are those of the same bars given at once."""
    from crowsnest.engine.market_data import trading_days
    from crowsnest.engine.replay import Replay

    class OneGo(Replay):
        def _feed(self, bars: Any) -> None:
            collected.extend(bars)

        def _finish_loop(self) -> None:
            self._engine.add_data(collected, validate=False)
            self._engine.run(streaming=True)
            self._engine.clear_data()
            super()._finish_loop()

    collected: list[Any] = []
    counts = []
    for kind in (Replay, OneGo):
        replay = kind(trading_days()[:300], ["ema_cross", "mean_reversion"])
        replay.run(bars_per_second=0, max_loops=1, stop=threading.Event(), after_day=lambda: None)
        counts.append((replay.counters.orders, replay.counters.fills))
    assert counts[0] == counts[1]
    assert counts[0][1] > 50


def test_sigterm_ends_it_at_once_with_everything_delivered(sink: LogSink, tmp_path: Path) -> None:
    process = start(sink.url, tmp_path, bars_per_second=100, progress_seconds=0.2)
    while not sink.records or sink.records[-1]["action"] == "started":
        time.sleep(0.05)
    assert (tmp_path / "heartbeat").exists()
    begin = time.monotonic()
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=10)
    assert time.monotonic() - begin < 5
    assert process.returncode == 0
    assert sink.records[-1]["action"] == "stopped"
    assert [record["seq"] for record in sink.records] == list(range(1, len(sink.records) + 1))
    assert progress(output)[-1]["log"]["dropped"] == {}


def test_a_dead_log_server_changes_neither_rate_nor_exit(tmp_path: Path) -> None:
    with BlackHole() as hole:
        process = start(hole.url, tmp_path, bars_per_second=50, progress_seconds=1)
        begun = time.monotonic()
        while not (tmp_path / "heartbeat").exists():
            assert time.monotonic() - begun < 60
            time.sleep(0.05)
        time.sleep(4)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=10)
    assert process.returncode == 0
    rates = [line["bars_per_second"] for line in progress(output)[:-1]]
    assert rates
    assert all(rate == pytest.approx(50, rel=0.1) for rate in rates)
    ledger = progress(output)[-1]["log"]
    assert ledger["delivered"] == 0
    assert ledger["accepted"] == ledger["queued"] + ledger["in_flight"]
