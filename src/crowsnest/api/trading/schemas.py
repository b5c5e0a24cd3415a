"""The shapes of the trading API. Quantities, prices and money are decimals, written as text: no digit is lost on the way."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from crowsnest.api.identity.schemas import Strategy

MAX_ROWS = 500
Decimal = Annotated[str, Field(description="a decimal number, as text", examples=["123.45"])]
Name = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$")]
Side = Literal["BUY", "SELL"]


class PageParameters(BaseModel):
    """Of every list."""

    model_config = ConfigDict(extra="forbid")

    strategy_id: Strategy | None = None
    instrument: Annotated[Name | None, Field(description="with its venue, such as AAPL.SIM")] = None
    run_id: Annotated[Name | None, Field(description="one pass of one process: its boot and the number of the pass")] = None
    start: Annotated[str | None, Field(max_length=64, description="RFC 3339, or an age such as 15m; wall-clock time")] = None
    end: Annotated[str | None, Field(max_length=64, description="RFC 3339, an age, or now")] = None
    before: Annotated[str | None, Field(pattern=r"^[0-9]{1,18}-[0-9]{1,18}$", description="`next` of the page before")] = None
    limit: Annotated[int, Field(ge=1, le=MAX_ROWS)] = 100


class OrderParameters(PageParameters):
    """Of `/api/trading/orders`."""

    status: Annotated[Name | None, Field(examples=["FILLED", "DENIED", "REJECTED"])] = None
    side: Side | None = None
    client_order_id: Name | None = None


class FillParameters(PageParameters):
    """Of `/api/trading/fills`."""

    side: Side | None = None
    client_order_id: Name | None = None


class PositionParameters(PageParameters):
    """Of `/api/trading/positions`."""

    is_open: bool | None = None


class SignalParameters(PageParameters):
    """Of `/api/trading/signals`."""

    direction: Literal["LONG", "SHORT", "FLAT"] | None = None


class Row(BaseModel):
    """What every row has."""

    id: int
    run_id: str
    strategy_id: str
    instrument: str
    time: Annotated[datetime, Field(description="wall clock, when the engine heard of it")]
    market_time: Annotated[datetime, Field(description="clock of the market, which is simulated in a replay")]


class Order(Row):
    """An order in its newest state."""

    client_order_id: str
    side: Side
    order_type: str
    status: str
    quantity: Decimal
    filled_quantity: Decimal
    average_price: Decimal | None
    reason: Annotated[str | None, Field(description="of a denial or a rejection")]
    submit_latency_us: Annotated[float | None, Field(description="decision to the venue's answer")]
    fill_latency_us: Annotated[float | None, Field(description="decision to the last fill")]
    version: int
    updated: datetime


class Fill(Row):
    """An execution."""

    trade_id: str
    client_order_id: str
    position_id: str | None
    side: Side
    quantity: Decimal
    price: Decimal
    commission: Decimal
    currency: str


class Position(Row):
    """A position in its newest state; `time` is when it was opened."""

    position_id: str
    opening_order_id: str
    closing_order_id: str | None
    side: Literal["LONG", "SHORT", "FLAT"]
    quantity: Annotated[Decimal, Field(description="signed: below zero is short")]
    peak_quantity: Decimal
    average_open: Decimal
    average_close: Decimal | None
    realized_pnl: Decimal
    currency: str
    is_open: bool
    version: int
    updated: datetime
    market_closed: datetime | None


class Signal(Row):
    """A strategy's wish to trade."""

    seq: int
    direction: Literal["LONG", "SHORT", "FLAT"]
    strength: float
    price: Decimal


class _Page(BaseModel):
    next: Annotated[str | None, Field(description="`before` of the next page; null when there is none")]


class OrderPage(_Page):
    """Orders, newest first."""

    rows: list[Order]


class FillPage(_Page):
    """Fills, newest first."""

    rows: list[Fill]


class PositionPage(_Page):
    """Positions, newest first."""

    rows: list[Position]


class SignalPage(_Page):
    """Signals, newest first."""

    rows: list[Signal]


class Logs(BaseModel):
    """The question to `/api/logs/query` that gives an order's records."""

    q: str
    strategy_id: str
    start: datetime
    end: datetime


class OrderStory(BaseModel):
    """An order with all that belongs to it."""

    order: Order
    fills: list[Fill]
    positions: Annotated[list[Position], Field(description="that it opened or closed")]
    signal: Annotated[Signal | None, Field(description="the strategy's last one of that instrument before the order")]
    logs: Logs


class Run(BaseModel):
    """One pass of one process."""

    run_id: str
    boot: str
    loop: int
    mode: str
    strategies: list[str]
    time: datetime
    ended: datetime | None


class Choices(BaseModel):
    """What there is to choose from."""

    strategies: list[str]
    instruments: list[str]
    runs: Annotated[list[Run], Field(description="the newest fifty")]
