"""Order lifecycle: from intent to fill, where the time goes, and each order itself."""

from __future__ import annotations

from dashboards.frame import PROCESS, STRATEGY, Dashboard, row
from dashboards.panels import Column, Link, Look, chart, heat, ranking, stat, table
from dashboards.promql import RANGE, RATE, P, histogram, quantile
from dashboards.queries import prom, prom_heat, prom_now, sql_table
from dashboards.vocabulary import Unit

STEPS = (
    ("Intent to submit", "orders_intent_to_submit_latency_seconds", "This machine: checks, sizing, serialising."),
    ("Submit to acknowledgement", "orders_submit_to_ack_latency_seconds", "The way to the broker and back."),
    ("Acknowledgement to fill", "orders_ack_to_fill_latency_seconds", "The market."),
)
QUANTILES = ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"), (0.999, "p99.9"))
OF_STRATEGY = "$__timeFilter(time) AND strategy_id IN (${strategy:sqlstring})"
PERMALINK = Link("Order with its records", "/../trading/orders/${__data.fields.run_id}/${__data.fields.client_order_id}")
COLUMNS = {
    "time": Column(Unit.AGO),
    "submit_latency_us": Column(Unit.MICROSECONDS, "answered after"),
    "fill_latency_us": Column(Unit.MICROSECONDS, "filled after"),
    "average_price": Column(Unit.DOLLARS, "price"),
    "client_order_id": Column(Unit.TEXT, "order", PERMALINK),
}

DASHBOARD = Dashboard(
    uid="crowsnest-lifecycle",
    title="Order lifecycle",
    description="From intent to fill: where the time goes, what became of orders, and each order itself.",
    tags=("trading",),
    variables=(PROCESS, STRATEGY),
    related=("crowsnest-orders", "crowsnest-execution", "crowsnest-reconciliation"),
    rows=(
        row(
            "How far do orders get?",
            tuple(
                stat(title, text, Unit.COUNT, prom_now(f"sum(increase({metric}{{{P}}}{RANGE}))", "orders"), look=Look(width=6))
                for title, text, metric in (
                    ("Intents", "Orders that strategies decided on, in the time range.", "orders_received_total"),
                    ("Submitted", "Orders that were sent, in the time range.", "orders_submitted_total"),
                    ("Acknowledged", "Orders that the broker answered.", "orders_submit_to_ack_latency_seconds_count"),
                    ("Filled", "Orders that were executed.", "orders_total_fill_latency_seconds_count"),
                )
            ),
        ),
        row(
            "Where does the time go?",
            tuple(
                chart(
                    f"{title}, quantiles",
                    text,
                    Unit.SECONDS,
                    *(prom(quantile(share, metric, P), name) for share, name in QUANTILES),
                )
                for title, metric, text in STEPS
            ),
            tuple(
                heat(
                    f"{title} over time",
                    f"{text} A second band is a second way.",
                    Unit.SECONDS,
                    prom_heat(histogram(metric, P, RATE)),
                )
                for title, metric, text in STEPS
            ),
        ),
        row(
            "What became of them?",
            (
                ranking(
                    "Orders by status",
                    "Rows of the trading database, in the time range: these count.",
                    Unit.COUNT,
                    sql_table(
                        "SELECT status AS metric, count(*) AS value FROM trading.orders"
                        f" WHERE {OF_STRATEGY} GROUP BY 1 ORDER BY 2 DESC"
                    ),
                    look=Look(width=8, low=0),
                ),
                table(
                    "Latency by strategy",
                    "From the database: every order of the time range, no histogram's bounds.",
                    Unit.MICROSECONDS,
                    sql_table(
                        "SELECT strategy_id, count(*) AS orders,"
                        " percentile_cont(0.5) WITHIN GROUP (ORDER BY fill_latency_us) AS p50,"
                        " percentile_cont(0.99) WITHIN GROUP (ORDER BY fill_latency_us) AS p99,"
                        " max(fill_latency_us) AS max"
                        f" FROM trading.orders WHERE {OF_STRATEGY} GROUP BY 1 ORDER BY 1"
                    ),
                    look=Look(width=16, columns={"orders": Column(Unit.COUNT)}),
                ),
            ),
            (
                table(
                    "Latest orders",
                    "Click an order for its fills, positions and log records.",
                    Unit.NUMBER,
                    sql_table(
                        "SELECT time, strategy_id, instrument, side, status, quantity, filled_quantity, average_price,"
                        " submit_latency_us, fill_latency_us, reason, run_id, client_order_id"
                        f" FROM trading.orders WHERE {OF_STRATEGY} ORDER BY time DESC, id DESC LIMIT 50"
                    ),
                    look=Look(columns=COLUMNS),
                ),
            ),
        ),
    ),
)
