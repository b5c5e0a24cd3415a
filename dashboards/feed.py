"""Feed health: whether market data is there, fresh and complete."""

from __future__ import annotations

from dashboards.frame import PROCESS, SYMBOL, Dashboard, row
from dashboards.panels import Look, chart, heat, stat, states
from dashboards.promql import RATE, P, histogram
from dashboards.queries import prom, prom_heat, prom_now
from dashboards.vocabulary import OPEN, UP, Unit

Y = f'{P},symbol=~"$symbol"'
AGE = "data_freshness_seconds"
AGE_P95 = f"histogram_quantile(0.95, sum by (le, source) (rate({AGE}_bucket{{{Y}}}[5m])))"

DASHBOARD = Dashboard(
    uid="crowsnest-feed",
    title="Feed health",
    description="Whether market data is there, fresh and complete.",
    tags=("trading",),
    variables=(PROCESS, SYMBOL),
    related=("crowsnest-data", "crowsnest-risk"),
    rows=(
        row(
            "Can prices be trusted?",
            (
                stat(
                    "Feed",
                    "What the process says of its connection.",
                    Unit.STATE,
                    prom_now(f'min(trading_dependency_up{{{P},dependency="feed"}})', "feed"),
                    look=Look(alerts=("FeedDisconnected",), states=UP),
                ),
                stat(
                    "Market events",
                    "Ticks and bars a second; 0 in an open market is a feed that only looks connected.",
                    Unit.PER_SECOND,
                    prom_now(f"min(crowsnest:market_events:rate1m{{{P}}})", "events"),
                    look=Look(alerts=("FeedStale",)),
                ),
                stat(
                    "Age on arrival, p95",
                    "Of the source that is late the most.",
                    Unit.SECONDS,
                    prom_now(f"max({AGE_P95})", "p95"),
                    look=Look(alerts=("DataLate",)),
                ),
                stat(
                    "Completeness",
                    "Of the symbol that misses the most.",
                    Unit.RATIO,
                    prom_now(f"min(data_completeness_score{{{Y}}})", "the worst"),
                    look=Look(alerts=("DataIncomplete",), low=0, high=1),
                ),
            ),
        ),
        row(
            "Since when, and whose?",
            (
                states(
                    "Feed and market",
                    "The connection as the process sees it, and whether the market is open by the stack's calendar.",
                    prom(f'min(trading_dependency_up{{{P},dependency="feed"}})', "feed"),
                    prom("min(crowsnest:market_open)", "market"),
                    look=Look(alerts=("FeedDisconnected",), states={**UP, 1: OPEN[1]}, width=12),
                ),
                chart(
                    "Report of the feed",
                    "Seconds since the process last heard of it, and from when it counts as down.",
                    Unit.SECONDS,
                    prom(f'max(trading_dependency_age_seconds{{{P},dependency="feed"}})', "age"),
                    prom(f'max(trading_dependency_max_age_seconds{{{P},dependency="feed"}})', "allowed"),
                    look=Look(width=12),
                ),
            ),
            (
                chart(
                    "Age on arrival by source, p95",
                    "All late: this machine or its network. One late: that source.",
                    Unit.SECONDS,
                    prom(AGE_P95, "{{source}}"),
                    look=Look(alerts=("DataLate",), width=8),
                ),
                heat(
                    "Age on arrival over time",
                    "Where the ages lie.",
                    Unit.SECONDS,
                    prom_heat(histogram(AGE, Y, RATE)),
                    look=Look(width=8),
                ),
                chart(
                    "Completeness by symbol",
                    "Indicators over a symbol are wrong by what is missing.",
                    Unit.RATIO,
                    prom(f"min by (symbol) (data_completeness_score{{{Y}}})", "{{symbol}}"),
                    look=Look(alerts=("DataIncomplete",), low=0, high=1, width=8),
                ),
            ),
        ),
    ),
)
