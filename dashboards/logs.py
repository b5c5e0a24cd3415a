"""Logs: the records of VictoriaLogs and the trader's lines in Loki, side by side."""

from __future__ import annotations

from dashboards.frame import Dashboard, Variable, row
from dashboards.panels import Link, Look, chart, lines, ranking, stat
from dashboards.queries import logs_lines, logs_over_time, logs_stats, loki_lines, loki_now, loki_rate
from dashboards.vocabulary import Unit

SEARCH = Variable("search", "LogsQL", default="*")
STRATEGY = Variable("strategy", "Strategy", "loki", 'label_values({component="trader"}, strategy_id)')
# Metric lines are DEBUG; to count all of them over a day takes Loki seconds, and their number is in Strategy latency.
LINES = '{component="trader",strategy_id=~"$strategy",level!="DEBUG"}'
VIEWER = Link("Log panel of the strategy", "/../strategies/${__field.labels.strategy_id}")

DASHBOARD = Dashboard(
    uid="crowsnest-logs",
    title="Logs",
    description="The records of VictoriaLogs and the trader's lines in Loki. To search them, the viewer is the better place.",
    tags=("platform",),
    variables=(SEARCH, STRATEGY),
    related=("crowsnest-pipelines", "crowsnest-latency"),
    rows=(
        row(
            "Is something wrong?",
            (
                stat(
                    "Records",
                    "That fit the query, in the time range.",
                    Unit.COUNT,
                    logs_stats("$search | stats count() records", "records"),
                ),
                stat(
                    "Errors",
                    "Records of level ERROR or CRITICAL that fit the query.",
                    Unit.COUNT,
                    logs_stats("($search) AND level:in(ERROR,CRITICAL) | stats count() errors", "errors"),
                ),
                stat(
                    "Warnings",
                    "Records of level WARNING that fit the query.",
                    Unit.COUNT,
                    logs_stats("($search) AND level:=WARNING | stats count() warnings", "warnings"),
                ),
                stat(
                    "Lost before the store",
                    "Records by which trading processes told of a loss; the ledger is in Pipeline health.",
                    Unit.COUNT,
                    logs_stats("gap_reason:* | stats count() lost", "lost"),
                ),
            ),
            (
                chart(
                    "Records by level",
                    "VictoriaLogs, records of an interval that fit the query.",
                    Unit.COUNT,
                    logs_over_time("$search | stats by (level) count() records", "{{level}}"),
                    look=Look(stacked=True),
                ),
                chart(
                    "Lines by level",
                    "Loki, the trader's lines of an interval, without DEBUG.",
                    Unit.COUNT,
                    loki_rate(f"sum by (level) (count_over_time({LINES} [$__interval]))", "{{level}}"),
                    look=Look(stacked=True),
                ),
            ),
            (
                ranking(
                    "Who writes",
                    "Records by where they are from, in the time range.",
                    Unit.COUNT,
                    logs_stats("$search | stats by (source) count() records", "{{source}}"),
                    look=Look(low=0),
                ),
                ranking(
                    "Strategies that write",
                    "Lines in Loki, in the time range, without DEBUG.",
                    Unit.COUNT,
                    loki_now(f"sum by (strategy_id) (count_over_time({LINES} [$__range]))", "{{strategy_id}}"),
                    look=Look(low=0, links=(VIEWER,)),
                ),
            ),
        ),
        row(
            "What do they say?",
            (
                lines(
                    "Records of VictoriaLogs",
                    "Of strategies, engine and containers; at most 200.",
                    logs_lines("$search"),
                ),
                lines(
                    "Lines of Loki",
                    "What NautilusTrader wrote into its log files; DEBUG is left out.",
                    loki_lines(f'{LINES} | json | line_format "{{{{.component}}}}: {{{{.message}}}}"'),
                ),
            ),
        ),
    ),
)
