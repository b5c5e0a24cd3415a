"""Order plane: what is sent, refused and outstanding."""

from __future__ import annotations

from dashboards.frame import PROCESS, SYMBOL, Dashboard, row
from dashboards.panels import Look, chart, ranking, stat
from dashboards.promql import RANGE, RATE, P
from dashboards.queries import prom, prom_now
from dashboards.vocabulary import Unit

Y = f'{P},symbol=~"$symbol"'
REJECTED = "crowsnest:orders_rejected:rate5m / on () group_left () (crowsnest:orders_submitted:rate5m > 0)"

DASHBOARD = Dashboard(
    uid="crowsnest-orders",
    title="Order plane",
    description="What is sent, refused and outstanding.",
    tags=("trading", "plane"),
    variables=(PROCESS, SYMBOL),
    related=("crowsnest-lifecycle", "crowsnest-execution", "crowsnest-data", "crowsnest-strategy"),
    rows=(
        row(
            "Does the broker take orders?",
            (
                stat(
                    "Without acknowledgement",
                    "Orders whose state is unknown. Sending again may double the position.",
                    Unit.COUNT,
                    prom_now("crowsnest:orders_unacknowledged", "orders"),
                    look=Look(alerts=("OrderStuck",)),
                ),
                stat(
                    "Rejected by the broker",
                    "Share of the orders, of the commonest reason.",
                    Unit.RATIO,
                    prom_now(f"max({REJECTED}) or vector(0)", "rejected"),
                    look=Look(alerts=("RejectRateHigh",)),
                ),
                stat(
                    "Denied by our own checks",
                    "In the time range: kill switch, budget and other checks before the broker.",
                    Unit.COUNT,
                    prom_now(f"sum(increase(orders_risk_rejections_total{{{P}}}{RANGE}))", "denied"),
                ),
                stat(
                    "Made smaller",
                    "Orders that the share of a day's volume allowed only in part, in the time range.",
                    Unit.COUNT,
                    prom_now(f"sum(increase(orders_pov_downscales_total{{{Y}}}{RANGE}))", "made smaller"),
                ),
            ),
            (
                chart(
                    "Rejections by reason",
                    "Orders a second that the broker refused.",
                    Unit.PER_SECOND,
                    prom(f"sum by (reason) (rate(orders_rejected_total{{{Y}}}{RATE}))", "{{reason}}"),
                ),
                chart(
                    "Denials by check",
                    "Orders a second that a check of our own refused.",
                    Unit.PER_SECOND,
                    prom(f"sum by (check_type) (rate(orders_risk_rejections_total{{{P}}}{RATE}))", "{{check_type}}"),
                ),
            ),
        ),
        row(
            "What is sent?",
            (
                chart(
                    "Intents by strategy",
                    "Orders a second that strategies decided on.",
                    Unit.PER_SECOND,
                    prom(f"sum by (strategy) (rate(orders_received_total{{{Y}}}{RATE}))", "{{strategy}}"),
                ),
                chart(
                    "Submitted by direction",
                    "Orders a second that were sent.",
                    Unit.PER_SECOND,
                    prom(f"sum by (direction) (rate(orders_submitted_total{{{Y}}}{RATE}))", "{{direction}}"),
                ),
                chart(
                    "Ended by status",
                    "Orders a second, as the broker ended them.",
                    Unit.PER_SECOND,
                    prom(f"sum by (status) (rate(orders_filled_total{{{Y}}}{RATE}))", "{{status}}"),
                ),
            ),
            (
                ranking(
                    "Submitted by symbol",
                    "Orders in the time range.",
                    Unit.COUNT,
                    prom_now(f"sum by (symbol) (increase(orders_submitted_total{{{Y}}}{RANGE}))", "{{symbol}}"),
                    look=Look(low=0),
                ),
                chart(
                    "Commission",
                    "Dollars since the process started, by symbol.",
                    Unit.DOLLARS,
                    prom(f"sum by (symbol) (orders_commission_total_usd{{{Y}}})", "{{symbol}}"),
                ),
            ),
        ),
    ),
)
