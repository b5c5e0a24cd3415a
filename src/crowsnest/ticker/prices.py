"""Where prices come from: real closing prices, or a random walk."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass

TICKERS = ("AAPL", "FB", "GOOG", "IBM", "MSFT")
WALK_SYMBOL = "RANDOM"
WALK_START = 100.0
WALK_DEVIATION = 0.01


@dataclass(frozen=True, slots=True)
class Tick:
    """A price of a symbol; ``bar`` is the day it closed, where it is a real one."""

    symbol: str
    price: float
    bar: str | None = None


def random_walk(seed: int | None = None) -> Iterator[Tick]:
    """The source's: ``price * (1 + randn * 0.01)`` from 100, without end."""
    draw = random.Random(seed)  # noqa: S311 - a price, not a secret
    price = WALK_START
    while True:
        price *= 1 + draw.gauss(0, 1) * WALK_DEVIATION
        yield Tick(WALK_SYMBOL, price)


def real_bars() -> Iterator[Tick]:
    """Adjusted closing prices of five shares, day by day as they were, over and over.

    Unadjusted, a 2:1 split would look like a crash.
    """
    # Imported here: the random walk needs none of it.
    from bokeh_sampledata import stocks

    tables = {ticker: getattr(stocks, ticker) for ticker in TICKERS}
    ticks = [
        Tick(ticker, float(price), str(day))
        for ticker, table in tables.items()
        for day, price in zip(table["date"], table["adj_close"], strict=True)
    ]
    ticks.sort(key=lambda tick: (tick.bar or "", tick.symbol))
    return itertools.cycle(ticks)
