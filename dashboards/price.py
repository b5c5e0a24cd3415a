"""Price: the ticks in QuestDB, and whether all of them are there."""

from __future__ import annotations

from dashboards.frame import Dashboard, Variable, row
from dashboards.panels import Column, Look, chart, stat, states, table
from dashboards.promql import RATE
from dashboards.queries import prom, prom_now, ticks_series, ticks_table
from dashboards.vocabulary import ROOM, UP, Unit

SYMBOL = Variable("symbol", "Symbol", "questdb", "SELECT DISTINCT symbol FROM price_log ORDER BY symbol")
OF_SYMBOL = "$__timeFilter(timestamp) AND symbol IN (${symbol:sqlstring})"

DASHBOARD = Dashboard(
    uid="crowsnest-ticks",
    title="Price",
    description="The ticks in QuestDB, and whether all of them are there.",
    tags=("trading",),
    variables=(SYMBOL,),
    related=("crowsnest-feed", "crowsnest-pipelines", "crowsnest-capacity"),
    since="now-15m",
    rows=(
        row(
            "What are the prices?",
            (
                chart(
                    "Price",
                    "The last price of each interval, as the source's chart has it.",
                    Unit.DOLLARS,
                    ticks_series(
                        "SELECT timestamp AS time, symbol AS metric, last(price) AS value FROM price_log"
                        f" WHERE {OF_SYMBOL} SAMPLE BY $__interval_msT"
                    ),
                    look=Look(width=16),
                ),
                table(
                    "Latest prices",
                    "The newest row of each symbol.",
                    Unit.DOLLARS,
                    ticks_table("SELECT timestamp, symbol, price FROM price_latest WHERE symbol IN (${symbol:sqlstring})"),
                    look=Look(width=8, columns={"timestamp": Column(Unit.AGO)}),
                ),
            ),
            (
                chart(
                    "High and low of a minute",
                    "From the materialised view of open, high, low and close.",
                    Unit.DOLLARS,
                    ticks_series(
                        "SELECT timestamp AS time, symbol || ' high' AS metric, high AS value FROM price_ohlc"
                        f" WHERE {OF_SYMBOL}"
                    ),
                    ticks_series(
                        f"SELECT timestamp AS time, symbol || ' low' AS metric, low AS value FROM price_ohlc WHERE {OF_SYMBOL}"
                    ),
                ),
                chart(
                    "Prices a minute",
                    "Rows that became each minute's bar.",
                    Unit.COUNT,
                    ticks_series(
                        f"SELECT timestamp AS time, symbol AS metric, prices AS value FROM price_ohlc WHERE {OF_SYMBOL}"
                    ),
                ),
            ),
        ),
        row(
            "Are all of them there?",
            (
                stat(
                    "Missing records, 1 h",
                    "Numbers that are missing in the runs of the last hour.",
                    Unit.COUNT,
                    prom_now("sum(ticks_records_missing)", "missing"),
                    look=Look(alerts=("TicksMissing",)),
                ),
                stat(
                    "Set aside, 15 min",
                    "Rows that QuestDB refused; they stand in `dead_letters` with the reason.",
                    Unit.COUNT,
                    prom_now("sum(increase(ticks_dead_letters_total[15m])) or vector(0)", "set aside"),
                    look=Look(alerts=("TicksSetAside",)),
                ),
                stat(
                    "Unreadable lines, 15 min",
                    "Lines without a time; they are not stored.",
                    Unit.COUNT,
                    prom_now('sum(increase(internal_gather_errors{input="tail"}[15m]))', "unreadable"),
                    look=Look(alerts=("TicksUnreadable",)),
                ),
                stat(
                    "Suspended tables",
                    "Tables to which QuestDB applies nothing.",
                    Unit.COUNT,
                    prom_now("sum(ticks_tables_suspended)", "suspended"),
                    look=Look(alerts=("TicksTableSuspended",)),
                ),
                stat(
                    "Transactions behind",
                    "Acknowledged, and no query sees them yet.",
                    Unit.COUNT,
                    prom_now("sum(ticks_transactions_behind)", "behind"),
                    look=Look(alerts=("TicksLate",)),
                ),
                stat(
                    "Room on the disk",
                    "What QuestDB said when it last wrote.",
                    Unit.STATE,
                    prom_now("max(ticks_store_full)", "disk"),
                    look=Look(alerts=("TicksStoreFull",), states=ROOM),
                ),
            ),
            (
                chart(
                    "Rows stored",
                    "A second, by event; each is on QuestDB's disk.",
                    Unit.PER_SECOND,
                    prom(f"sum by (event) (rate(ticks_rows_total{RATE}))", "{{event}}"),
                ),
                chart(
                    "Write latency",
                    "Until QuestDB had a batch on its disk.",
                    Unit.SECONDS,
                    prom(f"histogram_quantile(0.5, sum by (le) (rate(ticks_write_seconds_bucket{RATE})))", "p50"),
                    prom(f"histogram_quantile(0.99, sum by (le) (rate(ticks_write_seconds_bucket{RATE})))", "p99"),
                ),
                states(
                    "Store",
                    "Whether QuestDB answered the relay.",
                    prom("min(ticks_store_up)", "QuestDB"),
                    look=Look(alerts=("TicksStoreAway",), states=UP),
                ),
            ),
            (
                table(
                    "Runs",
                    "Each process that logged: its records, and how many numbers are missing.",
                    Unit.COUNT,
                    ticks_table("SELECT run_id, first, last, records, missing FROM log_runs ORDER BY last DESC LIMIT 20"),
                    look=Look(columns={"first": Column(Unit.AGO), "last": Column(Unit.AGO)}),
                ),
            ),
        ),
    ),
)
