"""The loop: a price, a log line, a pause."""

from __future__ import annotations

import itertools
import logging
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from crowsnest.ticker.log import configure
from crowsnest.ticker.prices import Tick, random_walk, real_bars
from crowsnest.ticker.settings import TickerSettings

_HEARTBEAT_SECONDS = 1.0


def run(settings: TickerSettings) -> None:
    """Log prices until SIGTERM, SIGINT, or the number of prices that was asked for."""
    ending = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        ending.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    log, numbered = configure(settings)
    ticks: Iterator[Tick] = real_bars() if settings.prices == "bars" else random_walk(settings.seed)
    if settings.prices_logged:
        ticks = itertools.islice(ticks, settings.prices_logged)
    plain = settings.format == "plain"
    if not plain:
        log.info(event="ticker_started", prices=settings.prices, interval_seconds=settings.interval_seconds)
    beat = 0.0
    # Paced by the clock, so that a slow moment is caught up.
    begun = time.monotonic()
    for count, tick in enumerate(ticks, 1):
        if plain:
            logging.getLogger().info(f"price {tick.price}")
        else:
            log.info(event="price_log", price=tick.price, symbol=tick.symbol, **({"bar": tick.bar} if tick.bar else {}))
        if (now := time.monotonic()) >= beat:
            beat = now + _HEARTBEAT_SECONDS
            _beat(settings.heartbeat_file)
        if ending.wait(max(0.0, begun + count * settings.interval_seconds - now)):
            break
    if not plain:
        log.info(event="ticker_ended", run=numbered.run_id)
    logging.shutdown()


def _beat(file: Path) -> None:
    """Say that prices are logged; a full disk must not end the process."""
    try:
        file.touch()
    except OSError:
        logging.getLogger(__name__).debug("heartbeat cannot be written")
