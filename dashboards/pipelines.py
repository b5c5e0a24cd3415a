"""Pipeline health and loss ledger: what comes in, what arrives, what waits, what is lost and why."""

from __future__ import annotations

from dashboards.frame import PROCESS, Dashboard, row
from dashboards.panels import Look, chart, stat
from dashboards.promql import RATE, P
from dashboards.queries import prom, prom_now
from dashboards.vocabulary import WRITABLE, Unit

COLLECTED = (
    f'sum(rate(loki_write_sent_entries_total{{job="alloy"}}{RATE}))'
    f' or sum(rate(vector_component_sent_events_total{{component_id="victorialogs"}}{RATE}))'
)
REFUSED = 'loki_process_custom_nautilus_metric_lines_total{metric_type="refused"}'
BEHIND = (
    'max(prometheus_remote_storage_highest_timestamp_in_seconds{job="alloy-trader"})'
    ' - max(prometheus_remote_storage_queue_highest_sent_timestamp_seconds{job="alloy-trader"})'
)
UNREAD = 'max(loki_source_file_file_bytes_total{job="alloy-trader"} - loki_source_file_read_bytes_total)'

DASHBOARD = Dashboard(
    uid="crowsnest-pipelines",
    title="Pipeline health and loss ledger",
    description="What comes in, what arrives, what waits, what is lost and why. Nothing of it is waited for by trading.",
    tags=("platform",),
    variables=(PROCESS,),
    related=("crowsnest-logs", "crowsnest-capacity", "crowsnest-platform"),
    rows=(
        row(
            "Is anything lost?",
            (
                stat(
                    "Records lost by processes, 10 min",
                    "Log records that never left the process, with a reason each.",
                    Unit.COUNT,
                    prom_now(f"sum(increase(crowsnest_logs_dropped_total{{{P}}}[10m]))", "lost"),
                    look=Look(alerts=("LogRecordsDropped",)),
                ),
                stat(
                    "Gaps told of, 10 min",
                    "Records in the store that tell of lost ones.",
                    Unit.COUNT,
                    prom_now(f"sum(increase(crowsnest_logs_gap_records_total{{{P}}}[10m]))", "gaps"),
                    look=Look(alerts=("LogSequenceGaps",)),
                ),
                stat(
                    "Unaccounted for",
                    "Accepted less delivered, dropped, queued and in flight; not 0 is a defect of the ledger.",
                    Unit.COUNT,
                    prom_now(f"max(abs(crowsnest_logs_ledger_residual{{{P}}}))", "residual"),
                    look=Look(alerts=("LogLedgerResidual",)),
                ),
                stat(
                    "Rows dropped by the store, 10 min",
                    "VictoriaLogs took them and threw them away: too old, too new, too long.",
                    Unit.COUNT,
                    prom_now("sum(increase(vl_rows_dropped_total[10m]))", "dropped"),
                    look=Look(alerts=("LogStoreDropsRows",)),
                ),
                stat(
                    "Trader's lines dropped, 10 min",
                    "Lines that Loki refused for good.",
                    Unit.COUNT,
                    prom_now(
                        'sum(increase(loki_write_dropped_entries_total{job="alloy-trader"}[10m])) or vector(0)', "dropped"
                    ),
                    look=Look(alerts=("TraderLinesDropped",)),
                ),
                stat(
                    "Metric lines refused, 10 min",
                    "Lines that say they are a metric and are none.",
                    Unit.COUNT,
                    prom_now(f"sum(increase({REFUSED}[10m])) or vector(0)", "refused"),
                    look=Look(alerts=("MetricLinesRefused",)),
                ),
            ),
        ),
        row(
            "Does everything arrive?",
            (
                stat(
                    "Rows into VictoriaLogs, 10 min",
                    "A second; 0 means that nobody writes, or nobody can.",
                    Unit.PER_SECOND,
                    prom_now("sum(rate(vl_rows_ingested_total[10m]))", "rows"),
                    look=Look(alerts=("LogStoreWithoutIngest",)),
                ),
                stat(
                    "VictoriaLogs",
                    "It turns read-only before the disk is full.",
                    Unit.STATE,
                    prom_now("max(vl_storage_is_read_only)", "store"),
                    look=Look(alerts=("LogStoreReadOnly",), states=WRITABLE),
                ),
                stat(
                    "Trader's files not read",
                    "What the reader still has before it.",
                    Unit.BYTES,
                    prom_now(UNREAD, "not read"),
                    look=Look(alerts=("TraderLogsBehind",)),
                ),
                stat(
                    "Metrics not yet in Mimir",
                    "How old the newest sample is that waits on the reader's disk.",
                    Unit.SECONDS,
                    prom_now(BEHIND, "behind"),
                    look=Look(alerts=("RemoteWriteBehind",)),
                ),
            ),
            (
                chart(
                    "The ledger of the processes",
                    "Records a second that were offered, that the store acknowledged, and that were lost.",
                    Unit.PER_SECOND,
                    prom(f"sum(rate(crowsnest_logs_accepted_total{{{P}}}{RATE}))", "accepted"),
                    prom(f"sum(rate(crowsnest_logs_delivered_total{{{P}}}{RATE}))", "delivered"),
                    prom(f"sum(rate(crowsnest_logs_dropped_total{{{P}}}{RATE}))", "dropped"),
                ),
                chart(
                    "Into the stores",
                    "Records and samples a second that each store took.",
                    Unit.PER_SECOND,
                    prom(f"sum(rate(vl_rows_ingested_total{RATE}))", "VictoriaLogs, records"),
                    prom(f"sum(rate(loki_distributor_lines_received_total{RATE}))", "Loki, lines"),
                    prom(f"sum(rate(cortex_distributor_received_samples_total{RATE}))", "Mimir, samples"),
                    prom(f"sum(rate(prometheus_tsdb_head_samples_appended_total{RATE}))", "Prometheus, samples"),
                ),
            ),
        ),
        row(
            "Where does it wait?",
            (
                chart(
                    "Queue of the processes",
                    "Records that wait or are on their way.",
                    Unit.COUNT,
                    prom(f"sum(crowsnest_logs_queue_records{{{P}}})", "waiting"),
                    prom(f"sum(crowsnest_logs_in_flight{{{P}}})", "in flight"),
                ),
                chart(
                    "How long it has been tried",
                    "The oldest record that is on its way.",
                    Unit.SECONDS,
                    prom(f"max(crowsnest_logs_undelivered_seconds{{{P}}})", "tried for"),
                ),
                chart(
                    "Requests to the store",
                    "A second, and those without success.",
                    Unit.PER_SECOND,
                    prom(f"sum(rate(crowsnest_logs_requests_total{{{P}}}{RATE}))", "requests"),
                    prom(f"sum(rate(crowsnest_logs_failed_requests_total{{{P}}}{RATE}))", "failed"),
                ),
            ),
            (
                chart(
                    "Lines of containers",
                    "Lines a second that the collector sent to VictoriaLogs.",
                    Unit.PER_SECOND,
                    prom(COLLECTED, "sent"),
                ),
                chart(
                    "Trader's lines",
                    "Lines a second that were read from its files: once for Loki, once for the metrics in them.",
                    Unit.PER_SECOND,
                    prom(
                        f'sum by (component_id) (rate(loki_source_file_read_lines_total{{job="alloy-trader"}}{RATE}))',
                        "{{component_id}}",
                    ),
                ),
                chart(
                    "Samples that wait for Mimir",
                    "On the reader's disk, for eight hours at most.",
                    Unit.COUNT,
                    prom('sum(prometheus_remote_storage_samples_pending{job="alloy-trader"})', "pending"),
                ),
            ),
        ),
    ),
)
