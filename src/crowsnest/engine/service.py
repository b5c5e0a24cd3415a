"""The engine as a service: logging, signals, heartbeat and progress around a replay."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from types import FrameType

import msgspec
from nautilus_trader.common.component import Logger
from nautilus_trader.config import LoggingConfig
from nautilus_trader.model.data import Bar

from crowsnest.engine import database_actor
from crowsnest.engine.budget import Caps, Usage
from crowsnest.engine.fleet import Desk
from crowsnest.engine.heartbeat import Heartbeat
from crowsnest.engine.log_files import logging_config
from crowsnest.engine.market_data import TICKERS, trading_days
from crowsnest.engine.replay import Replay
from crowsnest.engine.sandbox import Sandbox
from crowsnest.engine.settings import EngineSettings
from crowsnest.engine.telemetry import Telemetry
from crowsnest.engine.writer import Address, Writer
from crowsnest.logs import VictoriaLogsHandler

# Caps that the database knows should hold from the first order on; without it, the engine's own default does.
_BUDGETS_SECONDS = 10.0

_log = logging.getLogger("crowsnest.engine")


class Progress:
    """Every `interval_seconds` one JSON line on stdout and one record in the log: how far and how fast."""

    def __init__(
        self, replay: Replay | Sandbox, handler: VictoriaLogsHandler, writer: Writer | None, interval_seconds: float
    ) -> None:
        self._replay = replay
        self._handler = handler
        self._writer = writer
        self._interval_seconds = interval_seconds
        self._last = time.monotonic()
        self._last_bars = replay.bars_total

    def tick(self) -> None:
        """Report if the interval is over."""
        if time.monotonic() - self._last >= self._interval_seconds:
            self.report()

    def report(self) -> None:
        """Report now; the rate is that since the last report."""
        now, replay = time.monotonic(), self._replay
        elapsed_seconds = max(now - self._last, 1e-9)
        figures: dict[str, object] = {
            "bars_total": replay.bars_total,
            "bars_per_second": round((replay.bars_total - self._last_bars) / elapsed_seconds, 1),
            "loops": replay.loops,
            "orders_total": replay.counters.orders,
            "fills_total": replay.counters.fills,
            "denied_total": replay.counters.denied,
        }
        self._last, self._last_bars = now, replay.bars_total
        _log.info(
            "progress: %s bars, %s bars/s, %s fills",
            figures["bars_total"],
            figures["bars_per_second"],
            figures["fills_total"],
            extra={"component": "engine", "action": "progress", **figures},
        )
        line = {"event": "progress", **figures, "log": self._handler.stats().as_dict()}
        if self._writer:
            line["database"] = {
                "written": self._writer.written,
                "waiting": self._writer.waiting,
                "lost": self._writer.lost,
            }
        sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
        sys.stdout.flush()


def run(settings: EngineSettings) -> None:
    """Run until SIGTERM or SIGINT, or until the loops asked for are done.

    Raises:
        ValueError: the URL of VictoriaLogs is not usable.
    """
    stop = threading.Event()

    def request_stop(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, request_stop)

    handler = VictoriaLogsHandler(settings.victorialogs_url, extra_fields={"app": "nautilus-trader"})
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    root.addHandler(handler)
    try:
        _replay(settings, handler, stop)
    except Exception:
        _log.critical("engine failed", exc_info=True, extra={"component": "engine", "action": "failed"})
        raise
    finally:
        handler.close()


def _replay(settings: EngineSettings, handler: VictoriaLogsHandler, stop: threading.Event) -> None:
    caps, usage = Caps(settings.cap_usd), Usage()
    writer = _writer(settings, handler.boot, caps, usage)
    try:
        _trade(settings, handler, Desk(handler.boot, caps, usage, writer.put if writer else None), writer, stop)
    finally:
        if writer:
            writer.close()
            _log.info(
                "database writer ended: %d rows written, lost %s",
                writer.written,
                writer.lost or "none",
                extra={"component": "engine", "action": "database_closed"},
            )


def _writer(settings: EngineSettings, boot: str, caps: Caps, usage: Usage) -> Writer | None:
    if settings.database_url is None:
        return None
    logger = Logger(database_actor.NAME)
    writer = Writer(
        Address(settings.database_url, settings.database_password_file),
        caps,
        usage,
        boot=boot,
        strategies=settings.strategies,
        spool=settings.spool_file,
        told=lambda told: database_actor.tell(told, logger),
        lost=lambda _, count: database_actor.tell_lost(count, logger),
    )
    if not writer.wait_for_budgets(_BUDGETS_SECONDS):
        _log.warning(
            "no budgets from the database within %d s: each strategy begins with %s dollars",
            _BUDGETS_SECONDS,
            settings.cap_usd,
            extra={"component": "BudgetActor", "action": "no_budgets"},
        )
    return writer


def _node(settings: EngineSettings, telemetry: Telemetry, desk: Desk) -> Replay | Sandbox:
    days: list[list[Bar]] = trading_days()
    config: LoggingConfig = logging_config(settings.logs_folder)
    kind = Sandbox if settings.mode == "sandbox" else Replay
    return kind(days[: settings.days] if settings.days else days, settings.strategies, telemetry, desk, config)


def _trade(
    settings: EngineSettings, handler: VictoriaLogsHandler, desk: Desk, writer: Writer | None, stop: threading.Event
) -> None:
    telemetry = Telemetry(TICKERS, settings.strategies, settings.heartbeat_file.with_name("bars"))
    node = _node(settings, telemetry, desk)
    if settings.metrics_host:
        telemetry.serve(settings.metrics_host)
    heartbeat = Heartbeat(settings.heartbeat_file)
    progress = Progress(node, handler, writer, settings.progress_seconds)

    def after_day() -> None:
        heartbeat.beat()
        progress.tick()
        telemetry.logs(handler)

    _log.info(
        "engine started: %s at %s bars/s",
        ", ".join(settings.strategies),
        settings.bars_per_second or "unlimited",
        extra={"component": "engine", "action": "started", "strategies": ",".join(settings.strategies)},
    )
    node.run(
        bars_per_second=settings.bars_per_second,
        max_loops=settings.max_loops,
        stop=stop,
        after_day=after_day,
    )
    node.close()
    progress.report()
    _log.info("engine stopped", extra={"component": "engine", "action": "stopped"})
    telemetry.close()
