"""The tables of the newest revision, as the API asks them. A test compares them with what the migrations make."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    Identity,
    Index,
    Integer,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

SCHEMA: Final = "trading"
metadata = MetaData(schema=SCHEMA)


def _text(name: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, Text, nullable=nullable)


def _moment(name: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


def _number(name: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, Numeric, nullable=nullable)


def _id() -> Column[Any]:
    return Column("id", BigInteger, Identity(always=True), nullable=False)


def _book(name: str, *columns: Any, states: str | None = None) -> Table:
    """A table of what was traded: newest first, by strategy, instrument and run; keyset pages go along these indexes."""
    newest = (text("time DESC"), text("id DESC"))
    return Table(
        name,
        metadata,
        _id(),
        _text("run_id"),
        _text("strategy_id"),
        _text("instrument"),
        _moment("time"),
        _moment("market_time"),
        *columns,
        PrimaryKeyConstraint("id", name=f"{name}_pkey"),
        Index(f"{name}_newest", *newest),
        Index(f"{name}_by_strategy", "strategy_id", *newest),
        Index(f"{name}_by_instrument", "instrument", *newest),
        Index(f"{name}_by_strategy_and_instrument", "strategy_id", "instrument", *newest),
        Index(f"{name}_by_run", "run_id", *newest),
        *([Index(f"{name}_by_{states}", states, *newest)] if states else []),
    )


RUNS = Table(
    "runs",
    metadata,
    _text("run_id"),
    _text("boot"),
    Column("loop", Integer, nullable=False),
    _text("mode"),
    _text("strategies"),
    _moment("time"),
    _moment("ended", nullable=True),
    PrimaryKeyConstraint("run_id", name="runs_pkey"),
    Index("runs_newest", text("time DESC")),
)
ORDERS = _book(
    "orders",
    _text("client_order_id"),
    _text("side"),
    _text("order_type"),
    _text("status"),
    _number("quantity"),
    _number("filled_quantity"),
    _number("average_price", nullable=True),
    _text("reason", nullable=True),
    Column("submit_latency_us", Double, nullable=True),
    Column("fill_latency_us", Double, nullable=True),
    Column("version", Integer, nullable=False),
    _moment("updated"),
    UniqueConstraint("run_id", "client_order_id", name="orders_key"),
    states="status",
)
FILLS = _book(
    "fills",
    _text("trade_id"),
    _text("client_order_id"),
    _text("position_id", nullable=True),
    _text("side"),
    _number("quantity"),
    _number("price"),
    _number("commission"),
    _text("currency"),
    UniqueConstraint("run_id", "trade_id", name="fills_key"),
    Index("fills_by_order", "run_id", "client_order_id"),
)
POSITIONS = _book(
    "positions",
    _text("position_id"),
    _text("opening_order_id"),
    _text("closing_order_id", nullable=True),
    _text("side"),
    _number("quantity"),
    _number("peak_quantity"),
    _number("average_open"),
    _number("average_close", nullable=True),
    _number("realized_pnl"),
    _text("currency"),
    Column("is_open", Boolean, nullable=False),
    Column("version", Integer, nullable=False),
    _moment("updated"),
    _moment("market_closed", nullable=True),
    UniqueConstraint("run_id", "position_id", "opening_order_id", name="positions_key"),
    states="is_open",
)
SIGNALS = _book(
    "signals",
    Column("seq", BigInteger, nullable=False),
    _text("direction"),
    Column("strength", Double, nullable=False),
    _number("price"),
    UniqueConstraint("run_id", "seq", name="signals_key"),
)
BUDGETS = Table(
    "budgets",
    metadata,
    _text("strategy_id"),
    Column("cap_usd", Numeric(20, 2), nullable=False),
    Column("version", Integer, nullable=False),
    _moment("changed"),
    _text("changed_by"),
    _text("reason"),
    PrimaryKeyConstraint("strategy_id", name="budgets_pkey"),
    CheckConstraint("cap_usd >= 0", name="budgets_cap"),
)
BUDGET_USAGE = Table(
    "budget_usage",
    metadata,
    _text("strategy_id"),
    Column("used_usd", Numeric(20, 2), nullable=False),
    Column("denied_total", BigInteger, nullable=False),
    Column("applied_version", Integer, nullable=False),
    _text("boot"),
    _moment("updated"),
    PrimaryKeyConstraint("strategy_id", name="budget_usage_pkey"),
)
BUDGET_CHANGES = Table(
    "budget_changes",
    metadata,
    _id(),
    _text("strategy_id"),
    Column("version", Integer, nullable=False),
    Column("cap_usd", Numeric(20, 2), nullable=False),
    Column("previous_usd", Numeric(20, 2), nullable=False),
    _moment("changed"),
    _text("changed_by"),
    _text("confirmed_by", nullable=True),
    _text("reason"),
    PrimaryKeyConstraint("id", name="budget_changes_pkey"),
    UniqueConstraint("strategy_id", "version", name="budget_changes_key"),
)
BUDGET_REQUESTS = Table(
    "budget_requests",
    metadata,
    _id(),
    _text("strategy_id"),
    Column("base_version", Integer, nullable=False),
    Column("cap_usd", Numeric(20, 2), nullable=False),
    _text("reason"),
    _text("requested_by"),
    _moment("requested"),
    _text("state"),
    _text("decided_by", nullable=True),
    _moment("decided", nullable=True),
    PrimaryKeyConstraint("id", name="budget_requests_pkey"),
    CheckConstraint(
        "state = ANY (ARRAY['pending'::text, 'confirmed'::text, 'rejected'::text, 'expired'::text])",
        name="budget_requests_state",
    ),
    # One raise at a time waits for each strategy.
    Index("budget_requests_pending", "strategy_id", unique=True, postgresql_where=text("state = 'pending'")),
)
