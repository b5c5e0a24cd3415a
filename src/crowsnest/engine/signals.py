"""A strategy's wish to trade, as it goes over the message bus to whoever keeps it."""

from __future__ import annotations

from dataclasses import dataclass

TOPIC = "crowsnest.signals"


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal.

    Attributes:
        strategy_id: whose.
        instrument: identifier with venue.
        direction: LONG, SHORT or FLAT.
        strength: from 0 to 1.
        price: at which it was seen.
        market_ns: time of the market, in nanoseconds since 1970.
    """

    strategy_id: str
    instrument: str
    direction: str
    strength: float
    price: float
    market_ns: int
