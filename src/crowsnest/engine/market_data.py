"""The market: daily bars of five US stocks from `bokeh_sampledata`, as NautilusTrader instruments and bars.

Prices are adjusted for splits and dividends with the data's own factor (`adj_close / close`); unadjusted, a 2:1 split
looks like a crash and every strategy would trade it.
"""

from __future__ import annotations

from datetime import date, datetime, time
from zoneinfo import ZoneInfo

from bokeh_sampledata import stocks
from nautilus_trader.model.currencies import USD
from nautilus_trader.model.data import Bar, BarType
from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
from nautilus_trader.model.instruments import Equity
from nautilus_trader.model.objects import Price, Quantity

TICKERS = ("AAPL", "FB", "GOOG", "IBM", "MSFT")
VENUE = Venue("SIM")

_PRICE_DECIMALS = 4  # adjusted prices go down to a few dollars, where cents would round a bar's range away
_SESSION_END = time(16, 0, tzinfo=ZoneInfo("America/New_York"))


def instrument(ticker: str) -> Equity:
    """A stock that trades in whole shares on the simulated venue."""
    return Equity(
        instrument_id=InstrumentId(Symbol(ticker), VENUE),
        raw_symbol=Symbol(ticker),
        currency=USD,
        price_precision=_PRICE_DECIMALS,
        price_increment=Price(10**-_PRICE_DECIMALS, _PRICE_DECIMALS),
        lot_size=Quantity.from_int(1),
        ts_event=0,
        ts_init=0,
    )


def bar_type(ticker: str) -> BarType:
    """The type of a ticker's daily bars."""
    return BarType.from_str(f"{ticker}.{VENUE}-1-DAY-LAST-EXTERNAL")


def trading_days() -> list[list[Bar]]:
    """All bars, one list a trading day in order, stamped with the end of the session (16:00 New York).

    A day has as many bars as stocks were listed by then: three to five.
    """
    days: dict[int, list[Bar]] = {}
    for ticker in TICKERS:
        table = getattr(stocks, ticker)
        kind = bar_type(ticker)
        columns = ("date", "open", "high", "low", "close", "volume", "adj_close")
        for day, opened, high, low, close, volume, adjusted in zip(*(table[name] for name in columns), strict=True):
            factor = adjusted / close
            time_ns = int(datetime.combine(date.fromisoformat(day), _SESSION_END).timestamp()) * 1_000_000_000
            prices = (Price(price * factor, _PRICE_DECIMALS) for price in (opened, high, low, close))
            bar = Bar(kind, *prices, Quantity(volume, 0), time_ns, time_ns)
            days.setdefault(time_ns, []).append(bar)
    return [bars for _, bars in sorted(days.items())]
