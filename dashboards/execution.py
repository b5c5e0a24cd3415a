"""Execution Quality: what fills cost, and how long they take."""

from __future__ import annotations

from dashboards.frame import PROCESS, SYMBOL, Dashboard, row
from dashboards.panels import Look, buckets, chart, heat, pie, stat
from dashboards.promql import RANGE, RATE, P, histogram, quantile
from dashboards.queries import prom, prom_buckets, prom_heat, prom_now
from dashboards.vocabulary import Unit

Y = f'{P},symbol=~"$symbol"'
LATENCY = "orders_total_fill_latency_seconds"

DASHBOARD = Dashboard(
    uid="crowsnest-execution",
    title="Execution Quality",
    description="What fills cost against the price of the decision, and how long they take.",
    tags=("trading",),
    variables=(PROCESS, SYMBOL),
    related=("crowsnest-lifecycle", "crowsnest-orders", "crowsnest-trading"),
    rows=(
        row(
            "Is execution good enough?",
            (
                stat(
                    "Slippage p95",
                    "One fill in twenty is worse than this.",
                    Unit.BASIS_POINTS,
                    prom_now("crowsnest:slippage_bps:p95", "p95"),
                    look=Look(alerts=("SlippageHigh",)),
                ),
                stat(
                    "Slow fills, 1 h",
                    "Share of fills that took longer than a second; the month's budget is 1 %.",
                    Unit.RATIO,
                    prom_now("crowsnest:fills_slow:ratio_rate1h", "slow"),
                    look=Look(alerts=("FillLatencyBudgetBurnFast",)),
                ),
                stat(
                    "Slow fills, 6 h",
                    "Share of fills that took longer than a second; the month's budget is 1 %.",
                    Unit.RATIO,
                    prom_now("crowsnest:fills_slow:ratio_rate6h", "slow"),
                    look=Look(alerts=("FillLatencyBudgetBurnSlow",)),
                ),
                stat(
                    "Signals and orders, 30 min",
                    "0 in an open market means that the strategies wait for something that does not come.",
                    Unit.COUNT,
                    prom_now(f"sum(crowsnest:strategy_actions:increase30m{{{P}}})", "actions"),
                    look=Look(alerts=("BotAliveButIdle",)),
                ),
            ),
        ),
        row(
            "What do fills cost?",
            (
                buckets(
                    "Slippage histogram",
                    "Fills by slippage, each bar up to its bound in basis points. Below 0 the price was better than expected.",
                    Unit.COUNT,
                    prom_buckets(histogram("orders_slippage_bps", Y)),
                    look=Look(width=12),
                ),
                chart(
                    "Slippage",
                    "Median and tail; above 0 the price was worse than that of the decision.",
                    Unit.BASIS_POINTS,
                    prom(quantile(0.5, "orders_slippage_bps", Y), "p50"),
                    prom(quantile(0.95, "orders_slippage_bps", Y), "p95"),
                    look=Look(alerts=("SlippageHigh",), width=12),
                ),
            ),
            (
                chart(
                    "Slippage p95 by symbol",
                    "Which symbol is expensive to trade.",
                    Unit.BASIS_POINTS,
                    prom(quantile(0.95, "orders_slippage_bps", Y, "symbol"), "{{symbol}}"),
                    look=Look(width=8),
                ),
                chart(
                    "Cost and improvement",
                    "Basis points a second that fills lost against their decision, and that they won.",
                    Unit.BASIS_POINTS,
                    prom(f"sum(rate(trading_slippage_cost_bps_total{{{P}}}{RATE}))", "loss"),
                    prom(f"-sum(rate(trading_price_improvement_bps_total{{{P}}}{RATE}))", "profit"),
                    look=Look(width=8),
                ),
                chart(
                    "Commission",
                    "Dollars a second by symbol.",
                    Unit.DOLLARS,
                    prom(f"sum by (symbol) (rate(orders_commission_total_usd{{{Y}}}{RATE}))", "{{symbol}}"),
                    look=Look(width=8),
                ),
            ),
        ),
        row(
            "How long do they take?",
            (
                buckets(
                    "Fill latency histogram",
                    "Fills by the time from intent to fill, each bar up to its bound in seconds.",
                    Unit.COUNT,
                    prom_buckets(histogram(LATENCY, Y)),
                    look=Look(width=8),
                ),
                heat(
                    "Fill latency over time",
                    "From intent to fill; a second band above the first is a second way that orders take.",
                    Unit.SECONDS,
                    prom_heat(histogram(LATENCY, Y, RATE)),
                    look=Look(width=8),
                ),
                chart(
                    "Fill latency",
                    "Median and tails, from intent to fill.",
                    Unit.SECONDS,
                    prom(quantile(0.5, LATENCY, Y), "p50"),
                    prom(quantile(0.95, LATENCY, Y), "p95"),
                    prom(quantile(0.99, LATENCY, Y), "p99"),
                    look=Look(width=8),
                ),
            ),
        ),
        row(
            "Of what kind are the orders?",
            (
                pie(
                    "Order types",
                    "Orders submitted in the time range.",
                    Unit.COUNT,
                    prom_now(f"sum by (order_type) (increase(orders_submitted_total{{{Y}}}{RANGE}))", "{{order_type}}"),
                ),
                pie(
                    "Direction",
                    "Orders submitted in the time range.",
                    Unit.COUNT,
                    prom_now(f"sum by (direction) (increase(orders_submitted_total{{{Y}}}{RANGE}))", "{{direction}}"),
                ),
                pie(
                    "How orders ended",
                    "Fills by their status, in the time range.",
                    Unit.COUNT,
                    prom_now(f"sum by (status) (increase(orders_filled_total{{{Y}}}{RANGE}))", "{{status}}"),
                ),
            ),
        ),
    ),
)
