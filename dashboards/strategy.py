"""Strategy plane: signals, portfolio, regime, optimizer."""

from __future__ import annotations

from dashboards.frame import PROCESS, STRATEGY, Dashboard, row
from dashboards.panels import Link, Look, buckets, chart, stat, states
from dashboards.promql import RATE, P, S, histogram, quantile, ratio
from dashboards.queries import prom, prom_buckets, prom_now
from dashboards.vocabulary import REGIME, Unit

FAILED = f'sum(rate(strategy_qp_solve_status_total{{{P},status!~"(?i)optimal|solved|ok"}}[15m]) or vector(0))'
SOLVED = f"sum(rate(strategy_qp_solve_status_total{{{P}}}[15m]))"
SOLVE = "strategy_qp_solve_time_seconds"

DASHBOARD = Dashboard(
    uid="crowsnest-strategy",
    title="Strategy plane",
    description="What strategies want, what the portfolio is, and what they go by.",
    tags=("trading", "plane"),
    variables=(PROCESS, STRATEGY),
    related=("crowsnest-model", "crowsnest-latency", "crowsnest-data", "crowsnest-orders"),
    rows=(
        row(
            "Do the strategies work?",
            (
                stat(
                    "Signals",
                    "A second, of the chosen strategies.",
                    Unit.PER_SECOND,
                    prom_now(f"sum(rate(strategy_signals_generated_total{{{S}}}{RATE}))", "signals"),
                ),
                stat(
                    "Optimizer failures",
                    "Share of the solves that found nothing, over 15 minutes.",
                    Unit.RATIO,
                    prom_now(ratio(FAILED, SOLVED), "failed"),
                    look=Look(alerts=("QPSolveFailing",)),
                ),
                stat(
                    "Unrealized P&L",
                    "Of the positions that are open.",
                    Unit.DOLLARS,
                    prom_now(f"sum(strategy_pnl_unrealized_usd{{{P}}})", "unrealized"),
                ),
                stat(
                    "Portfolio",
                    "Its value now.",
                    Unit.DOLLARS,
                    prom_now(f"sum(strategy_portfolio_value_usd{{{P}}})", "value"),
                ),
            ),
        ),
        row(
            "What do they want?",
            (
                chart(
                    "Signals by strategy",
                    "Signals a second.",
                    Unit.PER_SECOND,
                    prom(f"sum by (strategy) (rate(strategy_signals_generated_total{{{S}}}{RATE}))", "{{strategy}}"),
                    look=Look(links=(Link("Log panel of the strategy", "/../strategies/${__field.labels.strategy}"),)),
                ),
                chart(
                    "Signals by direction",
                    "Signals a second.",
                    Unit.PER_SECOND,
                    prom(f"sum by (direction) (rate(strategy_signals_generated_total{{{S}}}{RATE}))", "{{direction}}"),
                ),
                buckets(
                    "Signal strength",
                    "Signals of the time range by strength, each bar up to its bound.",
                    Unit.COUNT,
                    prom_buckets(histogram("strategy_signal_strength", S)),
                ),
            ),
        ),
        row(
            "What is the portfolio?",
            (
                chart(
                    "P&L",
                    "Realized, unrealized, and both together.",
                    Unit.DOLLARS,
                    prom(f"sum(strategy_pnl_realized_usd{{{P}}})", "realized"),
                    prom(f"sum(strategy_pnl_unrealized_usd{{{P}}})", "unrealized"),
                    prom(f"sum(strategy_pnl_total_usd{{{P}}})", "total"),
                ),
                chart(
                    "Exposure",
                    "Gross is long plus short, net is long less short.",
                    Unit.DOLLARS,
                    prom(f"sum(strategy_portfolio_gross_exposure_usd{{{P}}})", "gross"),
                    prom(f"sum(strategy_portfolio_net_exposure_usd{{{P}}})", "net"),
                ),
            ),
        ),
        row(
            "What do they go by?",
            (
                states(
                    "Market regime",
                    "What the regime model said.",
                    prom(f"max(strategy_regime_state{{{P}}})", "regime"),
                    look=Look(alerts=("RegimeStorm",), states=REGIME, width=8),
                ),
                chart(
                    "Regime transitions",
                    "Since the process started.",
                    Unit.COUNT,
                    prom(
                        f"sum by (from_regime, to_regime) (strategy_regime_transitions_total{{{P}}})",
                        "{{from_regime}} to {{to_regime}}",
                    ),
                    look=Look(width=8),
                ),
                chart(
                    "Optimizer",
                    "Median and tail of the time to a solution.",
                    Unit.SECONDS,
                    prom(quantile(0.5, SOLVE, P), "p50"),
                    prom(quantile(0.95, SOLVE, P), "p95"),
                    look=Look(width=8),
                ),
            ),
        ),
    ),
)
