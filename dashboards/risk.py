"""Risk Metrics: what stops trading, how near each limit is, and how it came to that."""

from __future__ import annotations

from dashboards.frame import PROCESS, Dashboard, row
from dashboards.panels import Look, chart, gauge, stat, states
from dashboards.promql import RATE, P
from dashboards.queries import prom, prom_now
from dashboards.vocabulary import REGIME, STOPPED, UP, Unit

SINCE_STOPPED = f"sum(increase(orders_submitted_total{{{P}}}[1m])) * on () max(min_over_time(crowsnest:kill_switch_active[2m]))"
SILENT = (
    'count(up{plane=~"trading|strategy_plane"} == 1 unless on (component)'
    ' {__name__=~"(trading|strategy)_kill_switch_active"}) or vector(0)'
)

DASHBOARD = Dashboard(
    uid="crowsnest-risk",
    title="Risk Metrics",
    description="What stops trading, how near each limit is, and how it came to that.",
    tags=("trading",),
    variables=(PROCESS,),
    related=("crowsnest-trading", "crowsnest-execution", "crowsnest-feed"),
    rows=(
        row(
            "Is trading stopped?",
            (
                stat(
                    "Kill switches",
                    "Every switch by itself; `trading` is the one of `trading_kill_switch_active`.",
                    Unit.STATE,
                    prom_now(f"max by (switch_type) (crowsnest:kill_switch_active{{{P}}})", "{{switch_type}}"),
                    look=Look(alerts=("KillSwitchActive", "KillSwitchTriggered"), states=STOPPED, width=8),
                ),
                stat(
                    "Circuit breakers tripped",
                    "New positions are refused until they are reset.",
                    Unit.COUNT,
                    prom_now(f"sum(trading_circuit_breakers_tripped{{{P}}})", "tripped"),
                    look=Look(alerts=("CircuitBreakerTripped",), width=4),
                ),
                stat(
                    "Orders despite a kill switch",
                    "Orders of the last minute, while a switch has been active for two. Stop by hand what sends them.",
                    Unit.COUNT,
                    prom_now(SINCE_STOPPED, "orders"),
                    look=Look(alerts=("KillSwitchIneffective",), width=4),
                ),
                stat(
                    "Kill switch changes in 15 min",
                    "A switch that is reset while its cause remains flaps.",
                    Unit.COUNT,
                    prom_now("max(changes(crowsnest:kill_switch_active[15m]))", "changes"),
                    look=Look(alerts=("KillSwitchFlapping",), width=4),
                ),
                stat(
                    "Processes without a switch",
                    "They answer and say nothing of a kill switch: its alerts cannot fire.",
                    Unit.COUNT,
                    prom_now(SILENT, "silent"),
                    look=Look(alerts=("KillSwitchMetricAbsent",), width=4),
                ),
            ),
        ),
        row(
            "How near are the limits?",
            (
                gauge(
                    "Day trades used (PDT)",
                    "In the rolling window of five days; the limit is 3.",
                    Unit.COUNT,
                    prom_now(f"max(trading_pdt_trades_used{{{P}}})", "used"),
                    look=Look(alerts=("PDTWarning", "PDTCritical"), low=0, high=4, decimals=0, width=6),
                ),
                gauge(
                    "Drawdown",
                    "How far equity is below its highest value.",
                    Unit.PERCENT,
                    prom_now(f"max(trading_portfolio_drawdown_pct{{{P}}})", "drawdown"),
                    look=Look(alerts=("DrawdownWarning", "DrawdownCritical", "DrawdownBreaker"), low=0, high=12, width=6),
                ),
                gauge(
                    "P&L today",
                    "Percent of the equity at the end of the day before.",
                    Unit.PERCENT,
                    prom_now(f"min(trading_portfolio_daily_pnl_pct{{{P}}})", "P&L today"),
                    look=Look(alerts=("DailyLossWarning", "DailyLossCritical", "DailyLossBreaker"), low=-4, high=4, width=6),
                ),
                gauge(
                    "VIX",
                    "The volatility index that the process trades by.",
                    Unit.NUMBER,
                    prom_now(f"max(trading_vix{{{P}}})", "VIX"),
                    look=Look(alerts=("VIXBreaker",), low=0, high=50, width=6),
                ),
            ),
            (
                stat(
                    "Gross exposure of the portfolio",
                    "1 is all of the capital; above it there is leverage.",
                    Unit.RATIO,
                    prom_now("crowsnest:gross_exposure:ratio", "gross / value"),
                    look=Look(alerts=("BudgetCapExceeded",)),
                ),
                stat(
                    "Market regime",
                    "What the regime model says.",
                    Unit.STATE,
                    prom_now(f"max(strategy_regime_state{{{P}}})", "regime"),
                    look=Look(alerts=("RegimeStorm",), states=REGIME),
                ),
                stat(
                    "Broker",
                    "Whether the process can trade at all.",
                    Unit.STATE,
                    prom_now(f'min(trading_dependency_up{{{P},dependency="broker"}})', "broker"),
                    look=Look(alerts=("BrokerDisconnected",), states=UP),
                ),
                stat(
                    "Other dependencies",
                    "What the process needs beside broker and feed. Trading goes on without them.",
                    Unit.STATE,
                    prom_now(f'min(trading_dependency_up{{{P},dependency!~"broker|feed"}})', "the worst"),
                    look=Look(alerts=("DependencyDown",), states=UP),
                ),
            ),
        ),
        row(
            "How did it come to that?",
            (
                chart(
                    "Drawdown over time",
                    "With the bounds of the three alerts.",
                    Unit.PERCENT,
                    prom(f"max(trading_portfolio_drawdown_pct{{{P}}})", "drawdown"),
                    look=Look(alerts=("DrawdownWarning", "DrawdownCritical", "DrawdownBreaker"), low=0, width=12),
                ),
                chart(
                    "P&L today over time",
                    "With the bounds of the three alerts.",
                    Unit.PERCENT,
                    prom(f"min(trading_portfolio_daily_pnl_pct{{{P}}})", "P&L today"),
                    look=Look(alerts=("DailyLossWarning", "DailyLossCritical", "DailyLossBreaker"), width=12),
                ),
            ),
            (
                states(
                    "Kill switches and breakers over time",
                    "When each was active.",
                    prom(f"max by (switch_type) (crowsnest:kill_switch_active{{{P}}})", "{{switch_type}}"),
                    prom(f"clamp_max(max(trading_circuit_breakers_tripped{{{P}}}), 1)", "circuit breaker"),
                    look=Look(alerts=("KillSwitchActive",), states=STOPPED, width=12),
                ),
                states(
                    "Dependencies over time",
                    "What the process said of broker, feed, and its other dependencies.",
                    prom(f"min by (dependency) (trading_dependency_up{{{P}}})", "{{dependency}}"),
                    look=Look(alerts=("DependencyDown",), states=UP, width=12),
                ),
            ),
            (
                chart(
                    "Risk checks",
                    "Checks a second by their result.",
                    Unit.PER_SECOND,
                    prom(f"sum by (result) (rate(trading_risk_checks_total{{{P}}}{RATE}))", "{{result}}"),
                ),
                chart(
                    "Rejections by check",
                    "Orders a second that a check of our own refused.",
                    Unit.PER_SECOND,
                    prom(f"sum by (check_type) (rate(orders_risk_rejections_total{{{P}}}{RATE}))", "{{check_type}}"),
                ),
                chart(
                    "Kill switches triggered",
                    "How often each switch has tripped since its process started.",
                    Unit.COUNT,
                    prom(f"sum by (switch_type) (strategy_kill_switches_triggered_total{{{P}}})", "{{switch_type}}"),
                ),
            ),
        ),
    ),
)
