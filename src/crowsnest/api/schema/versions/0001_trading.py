"""Orders, fills, positions, signals, and budgets with their history."""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TRADER: Final = "crowsnest_trader"
WRITTEN_BY_THE_TRADER: Final = ("runs", "orders", "fills", "positions", "signals", "budget_usage")

STATEMENTS: Final = (
    """
    CREATE TABLE trading.runs (
        run_id TEXT NOT NULL,
        boot TEXT NOT NULL,
        loop INTEGER NOT NULL,
        mode TEXT NOT NULL,
        strategies TEXT NOT NULL,
        time TIMESTAMP WITH TIME ZONE NOT NULL,
        ended TIMESTAMP WITH TIME ZONE,
        CONSTRAINT runs_pkey PRIMARY KEY (run_id)
    )
    """,
    "CREATE INDEX runs_newest ON trading.runs (time DESC)",
    """
    CREATE TABLE trading.orders (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        run_id TEXT NOT NULL,
        strategy_id TEXT NOT NULL,
        instrument TEXT NOT NULL,
        time TIMESTAMP WITH TIME ZONE NOT NULL,
        market_time TIMESTAMP WITH TIME ZONE NOT NULL,
        client_order_id TEXT NOT NULL,
        side TEXT NOT NULL,
        order_type TEXT NOT NULL,
        status TEXT NOT NULL,
        quantity NUMERIC NOT NULL,
        filled_quantity NUMERIC NOT NULL,
        average_price NUMERIC,
        reason TEXT,
        submit_latency_us DOUBLE PRECISION,
        fill_latency_us DOUBLE PRECISION,
        version INTEGER NOT NULL,
        updated TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT orders_pkey PRIMARY KEY (id),
        CONSTRAINT orders_key UNIQUE (run_id, client_order_id)
    )
    """,
    "CREATE INDEX orders_by_instrument ON trading.orders (instrument, time DESC, id DESC)",
    "CREATE INDEX orders_by_run ON trading.orders (run_id, time DESC, id DESC)",
    "CREATE INDEX orders_by_status ON trading.orders (status, time DESC, id DESC)",
    "CREATE INDEX orders_by_strategy ON trading.orders (strategy_id, time DESC, id DESC)",
    "CREATE INDEX orders_by_strategy_and_instrument ON trading.orders (strategy_id, instrument, time DESC, id DESC)",
    "CREATE INDEX orders_newest ON trading.orders (time DESC, id DESC)",
    """
    CREATE TABLE trading.fills (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        run_id TEXT NOT NULL,
        strategy_id TEXT NOT NULL,
        instrument TEXT NOT NULL,
        time TIMESTAMP WITH TIME ZONE NOT NULL,
        market_time TIMESTAMP WITH TIME ZONE NOT NULL,
        trade_id TEXT NOT NULL,
        client_order_id TEXT NOT NULL,
        position_id TEXT,
        side TEXT NOT NULL,
        quantity NUMERIC NOT NULL,
        price NUMERIC NOT NULL,
        commission NUMERIC NOT NULL,
        currency TEXT NOT NULL,
        CONSTRAINT fills_pkey PRIMARY KEY (id),
        CONSTRAINT fills_key UNIQUE (run_id, trade_id)
    )
    """,
    "CREATE INDEX fills_by_instrument ON trading.fills (instrument, time DESC, id DESC)",
    "CREATE INDEX fills_by_order ON trading.fills (run_id, client_order_id)",
    "CREATE INDEX fills_by_run ON trading.fills (run_id, time DESC, id DESC)",
    "CREATE INDEX fills_by_strategy ON trading.fills (strategy_id, time DESC, id DESC)",
    "CREATE INDEX fills_by_strategy_and_instrument ON trading.fills (strategy_id, instrument, time DESC, id DESC)",
    "CREATE INDEX fills_newest ON trading.fills (time DESC, id DESC)",
    """
    CREATE TABLE trading.positions (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        run_id TEXT NOT NULL,
        strategy_id TEXT NOT NULL,
        instrument TEXT NOT NULL,
        time TIMESTAMP WITH TIME ZONE NOT NULL,
        market_time TIMESTAMP WITH TIME ZONE NOT NULL,
        position_id TEXT NOT NULL,
        opening_order_id TEXT NOT NULL,
        closing_order_id TEXT,
        side TEXT NOT NULL,
        quantity NUMERIC NOT NULL,
        peak_quantity NUMERIC NOT NULL,
        average_open NUMERIC NOT NULL,
        average_close NUMERIC,
        realized_pnl NUMERIC NOT NULL,
        currency TEXT NOT NULL,
        is_open BOOLEAN NOT NULL,
        version INTEGER NOT NULL,
        updated TIMESTAMP WITH TIME ZONE NOT NULL,
        market_closed TIMESTAMP WITH TIME ZONE,
        CONSTRAINT positions_pkey PRIMARY KEY (id),
        CONSTRAINT positions_key UNIQUE (run_id, position_id, opening_order_id)
    )
    """,
    "CREATE INDEX positions_by_instrument ON trading.positions (instrument, time DESC, id DESC)",
    "CREATE INDEX positions_by_is_open ON trading.positions (is_open, time DESC, id DESC)",
    "CREATE INDEX positions_by_run ON trading.positions (run_id, time DESC, id DESC)",
    "CREATE INDEX positions_by_strategy ON trading.positions (strategy_id, time DESC, id DESC)",
    "CREATE INDEX positions_by_strategy_and_instrument ON trading.positions (strategy_id, instrument, time DESC, id DESC)",
    "CREATE INDEX positions_newest ON trading.positions (time DESC, id DESC)",
    """
    CREATE TABLE trading.signals (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        run_id TEXT NOT NULL,
        strategy_id TEXT NOT NULL,
        instrument TEXT NOT NULL,
        time TIMESTAMP WITH TIME ZONE NOT NULL,
        market_time TIMESTAMP WITH TIME ZONE NOT NULL,
        seq BIGINT NOT NULL,
        direction TEXT NOT NULL,
        strength DOUBLE PRECISION NOT NULL,
        price NUMERIC NOT NULL,
        CONSTRAINT signals_pkey PRIMARY KEY (id),
        CONSTRAINT signals_key UNIQUE (run_id, seq)
    )
    """,
    "CREATE INDEX signals_by_instrument ON trading.signals (instrument, time DESC, id DESC)",
    "CREATE INDEX signals_by_run ON trading.signals (run_id, time DESC, id DESC)",
    "CREATE INDEX signals_by_strategy ON trading.signals (strategy_id, time DESC, id DESC)",
    "CREATE INDEX signals_by_strategy_and_instrument ON trading.signals (strategy_id, instrument, time DESC, id DESC)",
    "CREATE INDEX signals_newest ON trading.signals (time DESC, id DESC)",
    """
    CREATE TABLE trading.budgets (
        strategy_id TEXT NOT NULL,
        cap_usd NUMERIC(20, 2) NOT NULL,
        version INTEGER NOT NULL,
        changed TIMESTAMP WITH TIME ZONE NOT NULL,
        changed_by TEXT NOT NULL,
        reason TEXT NOT NULL,
        CONSTRAINT budgets_pkey PRIMARY KEY (strategy_id),
        CONSTRAINT budgets_cap CHECK (cap_usd >= 0)
    )
    """,
    """
    CREATE TABLE trading.budget_usage (
        strategy_id TEXT NOT NULL,
        used_usd NUMERIC(20, 2) NOT NULL,
        denied_total BIGINT NOT NULL,
        applied_version INTEGER NOT NULL,
        boot TEXT NOT NULL,
        updated TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT budget_usage_pkey PRIMARY KEY (strategy_id)
    )
    """,
    """
    CREATE TABLE trading.budget_changes (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        strategy_id TEXT NOT NULL,
        version INTEGER NOT NULL,
        cap_usd NUMERIC(20, 2) NOT NULL,
        previous_usd NUMERIC(20, 2) NOT NULL,
        changed TIMESTAMP WITH TIME ZONE NOT NULL,
        changed_by TEXT NOT NULL,
        confirmed_by TEXT,
        reason TEXT NOT NULL,
        CONSTRAINT budget_changes_pkey PRIMARY KEY (id),
        CONSTRAINT budget_changes_key UNIQUE (strategy_id, version)
    )
    """,
    """
    CREATE TABLE trading.budget_requests (
        id BIGINT GENERATED ALWAYS AS IDENTITY,
        strategy_id TEXT NOT NULL,
        base_version INTEGER NOT NULL,
        cap_usd NUMERIC(20, 2) NOT NULL,
        reason TEXT NOT NULL,
        requested_by TEXT NOT NULL,
        requested TIMESTAMP WITH TIME ZONE NOT NULL,
        state TEXT NOT NULL,
        decided_by TEXT,
        decided TIMESTAMP WITH TIME ZONE,
        CONSTRAINT budget_requests_pkey PRIMARY KEY (id),
        CONSTRAINT budget_requests_state CHECK (
            state = ANY (ARRAY['pending'::text, 'confirmed'::text, 'rejected'::text, 'expired'::text])
        )
    )
    """,
    "CREATE UNIQUE INDEX budget_requests_pending ON trading.budget_requests (strategy_id) WHERE state = 'pending'",
)
TABLES: Final = (
    "runs",
    "orders",
    "fills",
    "positions",
    "signals",
    "budgets",
    "budget_usage",
    "budget_changes",
    "budget_requests",
)

# The trader may add and renew rows and remove none, and read budgets that people set. Where its role does not exist, as in a
# test, whoever owns the schema does its work.
RIGHTS: Final = f"""
    DO $$ BEGIN
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{TRADER}') THEN
            GRANT USAGE ON SCHEMA trading TO {TRADER};
            GRANT SELECT, INSERT, UPDATE ON {", ".join(f"trading.{name}" for name in WRITTEN_BY_THE_TRADER)} TO {TRADER};
            GRANT SELECT, INSERT ON trading.budgets TO {TRADER};
        END IF;
    END $$
"""


def upgrade() -> None:
    """Make the tables, and give the trader's role its rights."""
    for statement in (*STATEMENTS, RIGHTS):
        op.execute(statement)


def downgrade() -> None:
    """Drop the tables with all that is in them."""
    for name in reversed(TABLES):
        op.execute(f"DROP TABLE trading.{name}")
