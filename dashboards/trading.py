"""Trading Overview: what is earned, and whether orders succeed."""

from __future__ import annotations

from dashboards.frame import PROCESS, STRATEGY, Dashboard, row
from dashboards.panels import Link, Look, bars, chart, stat
from dashboards.promql import RANGE, RATE, P, S, ratio
from dashboards.queries import prom, prom_now
from dashboards.vocabulary import STOPPED, Unit

FILLED = f'sum(increase(trading_orders_total{{{S},status="FILLED"}}{RANGE}))'
SUBMITTED = f'sum(increase(trading_orders_total{{{S},status="SUBMITTED"}}{RANGE}))'
PANEL_OF_STRATEGY = Link("Log panel of the strategy", "/../strategies/${__field.labels.strategy}")

DASHBOARD = Dashboard(
    uid="crowsnest-trading",
    title="Trading Overview",
    description="What is earned, what is held, and whether orders succeed.",
    tags=("trading",),
    variables=(PROCESS, STRATEGY),
    related=("crowsnest-risk", "crowsnest-execution", "crowsnest-reconciliation"),
    rows=(
        row(
            "Is it well?",
            (
                stat(
                    "Equity",
                    "What the account is worth now, in the process's own view.",
                    Unit.DOLLARS,
                    prom_now(f"sum(trading_portfolio_equity_dollars{{{P}}})", "equity"),
                ),
                stat(
                    "P&L today",
                    "Since the last trading day ended; a replay's days are simulated.",
                    Unit.DOLLARS,
                    prom_now(f"sum(trading_portfolio_daily_pnl_dollars{{{P}}})", "P&L today"),
                ),
                stat(
                    "Drawdown",
                    "How far equity is below its highest value.",
                    Unit.PERCENT,
                    prom_now(f"max(trading_portfolio_drawdown_pct{{{P}}})", "drawdown"),
                    look=Look(alerts=("DrawdownWarning", "DrawdownCritical", "DrawdownBreaker")),
                ),
                stat(
                    "Open positions",
                    "Positions that are held now.",
                    Unit.COUNT,
                    prom_now(f"sum(trading_portfolio_positions_count{{{P}}})", "open"),
                ),
                stat(
                    "Order success rate",
                    "Filled orders of those submitted, over the time range. The rest was rejected, denied, or is on its way.",
                    Unit.RATIO,
                    prom_now(ratio(FILLED, SUBMITTED), "filled"),
                    look=Look(low=0, high=1),
                ),
                stat(
                    "Kill switch",
                    "Whether any kill switch stops trading now. Which one, and since when: Risk Metrics.",
                    Unit.STATE,
                    prom_now("max(crowsnest:kill_switch_active)", "kill switch"),
                    look=Look(alerts=("KillSwitchActive",), states=STOPPED),
                ),
            ),
        ),
        row(
            "What was earned?",
            (
                chart(
                    "Equity over time",
                    "Equity and the cash in it. The distance is what is invested.",
                    Unit.DOLLARS,
                    prom(f"sum(trading_portfolio_equity_dollars{{{P}}})", "equity"),
                    prom(f"sum(trading_portfolio_cash_dollars{{{P}}})", "cash"),
                    look=Look(width=12),
                ),
                bars(
                    "Daily P&L",
                    "Profit or loss of each trading day, in dollars.",
                    Unit.DOLLARS,
                    prom(f"sum(trading_portfolio_daily_pnl_dollars{{{P}}})", "daily P&L"),
                    look=Look(width=12),
                ),
            ),
            (
                chart(
                    "P&L by strategy",
                    "Profit less loss of the positions that each strategy has closed since its process started.",
                    Unit.DOLLARS,
                    prom(
                        f"sum by (strategy) (trading_trade_profit_dollars_total{{{S}}})"
                        f" - sum by (strategy) (trading_trade_loss_dollars_total{{{S}}})",
                        "{{strategy}}",
                    ),
                    look=Look(links=(PANEL_OF_STRATEGY,)),
                ),
                chart(
                    "Profit and loss",
                    "Dollars a second that closed positions won, and that they lost.",
                    Unit.DOLLARS,
                    prom(f"sum(rate(trading_trade_profit_dollars_total{{{S}}}{RATE}))", "profit"),
                    prom(f"-sum(rate(trading_trade_loss_dollars_total{{{S}}}{RATE}))", "loss"),
                ),
            ),
        ),
        row(
            "What was done?",
            (
                chart(
                    "Orders by status",
                    "Orders a second that reached each status.",
                    Unit.PER_SECOND,
                    prom(f"sum by (status) (rate(trading_orders_total{{{S}}}{RATE}))", "{{status}}"),
                ),
                chart(
                    "Order success rate over time",
                    "Filled orders of those submitted.",
                    Unit.RATIO,
                    prom(
                        ratio(
                            f'sum(rate(trading_orders_total{{{S},status="FILLED"}}{RATE}))',
                            f'sum(rate(trading_orders_total{{{S},status="SUBMITTED"}}{RATE}))',
                        ),
                        "filled",
                    ),
                    look=Look(low=0),
                ),
                chart(
                    "Trades by strategy",
                    "Executed trades a second.",
                    Unit.PER_SECOND,
                    prom(f"sum by (strategy) (rate(trading_trades_total{{{S}}}{RATE}))", "{{strategy}}"),
                    look=Look(links=(PANEL_OF_STRATEGY,)),
                ),
            ),
            (
                chart(
                    "Open positions over time",
                    "How many positions are held.",
                    Unit.COUNT,
                    prom(f"sum(trading_portfolio_positions_count{{{P}}})", "open"),
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
    ),
)
