"""Reconciliation: the same facts by three ways, beside each other. The database's are the ones that count."""

from __future__ import annotations

from dashboards.frame import PROCESS, STRATEGY, Dashboard, row
from dashboards.panels import Column, Look, chart, stat, table
from dashboards.promql import RANGE, RATE, P, S
from dashboards.queries import mimir, mimir_now, mimir_table, prom, prom_now, prom_table, sql_series, sql_table
from dashboards.vocabulary import Unit

COUNTED = "loki_process_custom_nautilus_metrics_this_run_total"
OF_STRATEGY = "$__timeFilter(time) AND strategy_id IN (${strategy:sqlstring})"
L = 'strategy_id=~"$strategy"'
WAYS = {
    "strategy_id": Column(Unit.TEXT, "strategy"),
    "database": Column(Unit.COUNT, "database"),
    "Value #B": Column(Unit.COUNT, "metrics"),
    "Value #C": Column(Unit.COUNT, "log lines"),
}


COMPARED = (
    (
        "Fills",
        f"SELECT strategy_id, count(*) AS database FROM trading.fills WHERE {OF_STRATEGY} GROUP BY 1",
        f"sum by (strategy) (increase(trading_trades_total{{{S}}}{RANGE}))",
        "fills",
    ),
    (
        "Orders",
        f"SELECT strategy_id, count(*) AS database FROM trading.orders WHERE {OF_STRATEGY} GROUP BY 1",
        f'sum by (strategy) (increase(trading_orders_total{{{S},status="SUBMITTED"}}{RANGE}))',
        "orders",
    ),
    (
        "Signals",
        f"SELECT strategy_id, count(*) AS database FROM trading.signals WHERE {OF_STRATEGY} GROUP BY 1",
        f"sum by (strategy) (increase(strategy_signals_generated_total{{{S}}}{RANGE}))",
        "signals",
    ),
)

DASHBOARD = Dashboard(
    uid="crowsnest-reconciliation",
    title="Reconciliation",
    description="The same facts by three ways: rows of the database, metrics of the process, metrics out of its log lines.",
    tags=("trading",),
    variables=(PROCESS, STRATEGY),
    related=("crowsnest-trading", "crowsnest-lifecycle", "crowsnest-pipelines"),
    rows=(
        row(
            "Do they agree?",
            tuple(
                table(
                    f"{title}, three ways",
                    "In the time range. Metrics reach over its edges by up to a scrape, so small differences come and go;"
                    " what stays is a loss. The database counts.",
                    Unit.COUNT,
                    sql_table(rows),
                    prom_table(f'label_replace({metric}, "strategy_id", "$1", "strategy", "(.*)")'),
                    mimir_table(f'sum by (strategy_id) (increase({COUNTED}{{{L},metric_name="{counter}"}}{RANGE}))'),
                    look=Look(join="strategy_id", hide=("Time", "Time 1", "Time 2", "strategy"), columns=WAYS),
                )
                for title, rows, metric, counter in COMPARED
            ),
            (
                chart(
                    "Fills over time, three ways",
                    "Fills a minute.",
                    Unit.COUNT,
                    sql_series(
                        "SELECT $__timeGroup(time, '1m') AS time, 'database' AS metric, count(*) AS value"
                        f" FROM trading.fills WHERE {OF_STRATEGY} GROUP BY 1 ORDER BY 1"
                    ),
                    prom(f"60 * sum(rate(trading_trades_total{{{S}}}{RATE}))", "metrics"),
                    mimir(f'60 * sum(rate({COUNTED}{{{L},metric_name="fills"}}{RATE}))', "log lines"),
                    look=Look(width=16),
                ),
                stat(
                    "Rows given up",
                    "Rows that the trader could not bring into the database; its log says why.",
                    Unit.COUNT,
                    mimir_now(f'sum(increase({COUNTED}{{metric_name="rows_lost"}}{RANGE})) or vector(0)', "rows"),
                    look=Look(width=4),
                ),
                stat(
                    "Fills not yet rows",
                    "Fills of the log lines less rows that were committed, in the time range.",
                    Unit.COUNT,
                    mimir_now(
                        f'sum(increase({COUNTED}{{metric_name="fills"}}{RANGE}))'
                        f' - sum(increase({COUNTED}{{metric_name="fills_written"}}{RANGE}))',
                        "fills",
                    ),
                    look=Look(width=4),
                ),
            ),
        ),
        row(
            "What does the database say?",
            (
                table(
                    "Profit by strategy",
                    "Of the positions that were closed in the time range, after the broker's commission.",
                    Unit.DOLLARS,
                    sql_table(
                        "SELECT strategy_id, count(*) AS positions, sum(realized_pnl) AS profit FROM trading.positions"
                        f" WHERE {OF_STRATEGY} AND NOT is_open GROUP BY 1 ORDER BY 1"
                    ),
                    look=Look(columns={"positions": Column(Unit.COUNT)}),
                ),
                table(
                    "Budgets",
                    "The cap of each strategy, and what of it is bound.",
                    Unit.DOLLARS,
                    sql_table(
                        "SELECT b.strategy_id, b.cap_usd, u.used_usd, u.used_usd / NULLIF(b.cap_usd, 0) AS used, u.denied_total"
                        " FROM trading.budgets b LEFT JOIN trading.budget_usage u USING (strategy_id)"
                        " WHERE b.strategy_id IN (${strategy:sqlstring}) ORDER BY 1"
                    ),
                    look=Look(columns={"used": Column(Unit.RATIO), "denied_total": Column(Unit.COUNT, "denied")}),
                ),
            ),
            (
                stat(
                    "Open positions, by the process",
                    "Its own gauge.",
                    Unit.COUNT,
                    prom_now(f"sum(trading_portfolio_positions_count{{{P}}})", "open"),
                ),
                stat(
                    "Open positions, by the database",
                    "Of the newest run.",
                    Unit.COUNT,
                    sql_table(
                        "SELECT count(*) AS open FROM trading.positions WHERE is_open"
                        " AND run_id = (SELECT run_id FROM trading.runs ORDER BY time DESC LIMIT 1)"
                    ),
                ),
            ),
            (
                table(
                    "Runs",
                    "What ran, from when to when. A run without an end is the one that runs, or was killed.",
                    Unit.NUMBER,
                    sql_table(
                        "SELECT run_id, mode, loop, strategies, time, ended FROM trading.runs ORDER BY time DESC LIMIT 20"
                    ),
                    look=Look(columns={"time": Column(Unit.AGO, "began"), "ended": Column(Unit.AGO)}),
                ),
            ),
        ),
    ),
)
