"""Alerting health: what fires, whether it reaches people, and whether rules and scrapes work at all."""

from __future__ import annotations

from dashboards.frame import Dashboard, row
from dashboards.panels import Column, Look, chart, stat, table
from dashboards.promql import RATE, ratio
from dashboards.queries import prom, prom_now, prom_table
from dashboards.vocabulary import TAKEN, UP, Unit

FIRING = 'ALERTS{alertstate="firing",alertname!="Watchdog"}'
EVALUATION = "max by (rule_group) (prometheus_rule_group_last_duration_seconds)"
FAILED = ratio(
    "sum by (integration) (rate(alertmanager_notifications_failed_total[5m]))",
    "sum by (integration) (rate(alertmanager_notifications_total[5m]))",
)

DASHBOARD = Dashboard(
    uid="crowsnest-alerting",
    title="Alerting health",
    description="What fires, whether it reaches people, and whether rules and scrapes work at all.",
    tags=("platform",),
    related=("crowsnest-platform", "crowsnest-capacity"),
    rows=(
        row(
            "Would somebody be told?",
            (
                stat(
                    "Watchdog",
                    "Fires always; the heartbeat on another machine misses it.",
                    Unit.STATE,
                    prom_now('count(ALERTS{alertname="Watchdog",alertstate="firing"}) or vector(0)', "Watchdog"),
                    look=Look(about=("Watchdog",), states=UP),
                ),
                stat(
                    "Alertmanagers",
                    "That Prometheus knows of.",
                    Unit.COUNT,
                    prom_now("min(prometheus_notifications_alertmanagers_discovered)", "found"),
                    look=Look(alerts=("PrometheusCannotReachAlertmanager",)),
                ),
                stat(
                    "Notifications that failed",
                    "Share of the last five minutes, of the receiver that fails the most.",
                    Unit.RATIO,
                    prom_now(f"max({FAILED})", "failed"),
                    look=Look(alerts=("NotificationsFail",)),
                ),
                stat(
                    "Alerts dropped, 10 min",
                    "That Prometheus could not hand to Alertmanager.",
                    Unit.COUNT,
                    prom_now("sum(increase(prometheus_notifications_dropped_total[10m]))", "dropped"),
                    look=Look(alerts=("PrometheusDropsAlerts",)),
                ),
                stat(
                    "Configuration of Prometheus",
                    "Whether it took the last one.",
                    Unit.STATE,
                    prom_now("min(prometheus_config_last_reload_successful)", "configuration"),
                    look=Look(alerts=("PrometheusConfigReloadFailed",), states=TAKEN),
                ),
                stat(
                    "Configuration of Alertmanager",
                    "Whether it took the last one.",
                    Unit.STATE,
                    prom_now("min(alertmanager_config_last_reload_successful)", "configuration"),
                    look=Look(alerts=("AlertmanagerConfigReloadFailed",), states=TAKEN),
                ),
            ),
        ),
        row(
            "What fires?",
            (
                table(
                    "Firing now",
                    "A row an alert; the runbook of each is docs/runbooks/<alert>.md. Watchdog is left out.",
                    Unit.TEXT,
                    prom_table(f'{FIRING} or on () label_replace(vector(0), "alertname", "none", "", "")'),
                    look=Look(
                        hide=("Time", "Value", "__name__", "alertstate"), columns={"alertname": Column(Unit.TEXT, "alert")}
                    ),
                ),
            ),
            (
                chart(
                    "Firing over time",
                    "By severity; Watchdog is left out.",
                    Unit.COUNT,
                    prom(
                        f'count by (severity) ({FIRING}) or on () label_replace(vector(0), "severity", "none", "", "")',
                        "{{severity}}",
                    ),
                    look=Look(stacked=True, low=0),
                ),
                chart(
                    "In Alertmanager",
                    "Alerts by state, and silences that hold.",
                    Unit.COUNT,
                    prom("sum by (state) (alertmanager_alerts)", "{{state}}"),
                    prom('sum(alertmanager_silences{state="active"})', "silences"),
                ),
                chart(
                    "Notifications",
                    "A second, by the way they take.",
                    Unit.PER_SECOND,
                    prom(
                        f"sum by (integration) (rate(alertmanager_notifications_total{RATE}))",
                        "{{integration}}",
                    ),
                ),
            ),
        ),
        row(
            "Do rules and scrapes work?",
            (
                stat(
                    "Rules that failed, 10 min",
                    "Evaluations of rules without a result.",
                    Unit.COUNT,
                    prom_now("sum(increase(prometheus_rule_evaluation_failures_total[10m]))", "failed"),
                    look=Look(alerts=("RuleEvaluationFails",)),
                ),
                stat(
                    "Metric calls refused, 15 min",
                    "Calls of trading processes with a wrong name, label or value; what they said is missing.",
                    Unit.COUNT,
                    prom_now("sum(increase(crowsnest_metrics_refused_calls_total[15m]))", "refused"),
                    look=Look(alerts=("MetricCallsRefused",)),
                ),
                stat(
                    "Slowest scrape",
                    "Of all targets, now.",
                    Unit.SECONDS,
                    prom_now("max(scrape_duration_seconds)", "slowest"),
                    look=Look(alerts=("ScrapeSlow",)),
                ),
                stat(
                    "Corruptions of the metrics store, 1 h",
                    "Of its write-ahead log.",
                    Unit.COUNT,
                    prom_now("sum(increase(prometheus_tsdb_wal_corruptions_total[1h]))", "corruptions"),
                    look=Look(alerts=("PrometheusStorageCorrupt",)),
                ),
            ),
            (
                chart(
                    "Evaluation of rules",
                    "Seconds of the last round of each group.",
                    Unit.SECONDS,
                    prom(f'label_replace({EVALUATION}, "group", "$1", "rule_group", ".*;(.*)")', "{{group}}"),
                ),
                chart(
                    "Scrapes by job",
                    "Seconds of the slowest target of each job.",
                    Unit.SECONDS,
                    prom("max by (job) (scrape_duration_seconds)", "{{job}}"),
                    look=Look(alerts=("ScrapeSlow",)),
                ),
            ),
        ),
    ),
)
