"""Strategy latency, derived from the trader's log lines."""

from __future__ import annotations

from dashboards.frame import Dashboard, Variable, row
from dashboards.panels import Link, Look, chart, ranking, stat
from dashboards.promql import RANGE
from dashboards.queries import mimir, mimir_now
from dashboards.vocabulary import Unit

LATENCY = "loki_process_custom_nautilus_latency_us"
COUNTED = "loki_process_custom_nautilus_metrics_this_run_total"
STRATEGY = Variable("strategy", "Strategy", "mimir", f"label_values({COUNTED}, strategy_id)")
S = 'strategy_id=~"$strategy"'
PANEL = Link("Log panel of the strategy", "/../strategies/${__field.labels.strategy_id}")
KINDS = (
    ("Time over a bar", "strategy_latency_us", "What `on_bar` of a latency-instrumented strategy takes."),
    ("Answer to an order", "order_submit_latency_us", "From the decision to the venue's answer."),
    ("Fill of an order", "order_fill_latency_us", "From the decision to the fill."),
)


def _newest(name: str) -> str:
    return f'max by (strategy_id) ({LATENCY}{{{S},metric_name="{name}"}})'


def _counted(name: str) -> str:
    return f'sum by (strategy_id) (increase({COUNTED}{{{S},metric_name="{name}"}}{RANGE}))'


DASHBOARD = Dashboard(
    uid="crowsnest-latency",
    title="Strategy latency",
    description="Out of the trader's log lines, by Alloy, in Mimir. A gauge is the newest of many values.",
    tags=("trading",),
    variables=(STRATEGY,),
    related=("crowsnest-strategy", "crowsnest-lifecycle", "crowsnest-pipelines"),
    rows=(
        row(
            "Is a strategy slow?",
            (
                *(
                    stat(
                        f"{title}, worst",
                        f"{text} The slowest strategy's highest value in the time range.",
                        Unit.MICROSECONDS,
                        mimir_now(f'max(max_over_time({LATENCY}{{{S},metric_name="{name}"}}{RANGE}))', "worst"),
                    )
                    for title, name, text in KINDS
                ),
                stat(
                    "Database write",
                    "One batch of orders and fills, to its commit. The strategies do not wait for it.",
                    Unit.MICROSECONDS,
                    mimir_now(f'max({LATENCY}{{metric_name="database_write_latency_us"}})', "newest"),
                ),
            ),
        ),
        row(
            "Which, and since when?",
            tuple(
                chart(title, text, Unit.MICROSECONDS, mimir(_newest(name), "{{strategy_id}}"), look=Look(links=(PANEL,)))
                for title, name, text in KINDS
            ),
            (
                chart(
                    "Typical and worst time over a bar",
                    "Of the samples of five minutes: median and maximum.",
                    Unit.MICROSECONDS,
                    mimir(f'max(quantile_over_time(0.5, {LATENCY}{{{S},metric_name="strategy_latency_us"}}[5m]))', "p50"),
                    mimir(f'max(max_over_time({LATENCY}{{{S},metric_name="strategy_latency_us"}}[5m]))', "worst"),
                ),
                chart(
                    "Database write over time",
                    "One batch, to its commit.",
                    Unit.MICROSECONDS,
                    mimir(f'max({LATENCY}{{metric_name="database_write_latency_us"}})', "newest"),
                ),
            ),
        ),
        row(
            "What did they do meanwhile?",
            tuple(
                ranking(
                    title,
                    "Counted from log lines, in the time range; the database has the exact number.",
                    Unit.COUNT,
                    mimir_now(_counted(name), "{{strategy_id}}"),
                    look=Look(low=0, links=(PANEL,)),
                )
                for title, name in (("Signals", "signals"), ("Orders", "orders"), ("Fills", "fills"))
            ),
        ),
    ),
)
