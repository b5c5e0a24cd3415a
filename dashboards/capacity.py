"""Capacity and retention: how large the stores are, how far back they reach, and when there is no room."""

from __future__ import annotations

from dashboards.frame import Dashboard, row
from dashboards.panels import Look, chart, ranking, stat
from dashboards.promql import RATE
from dashboards.queries import prom, prom_now
from dashboards.vocabulary import Unit

DISKS = 'fstype!~"tmpfs|overlay|squashfs|ramfs"'
SIZES = (
    ("sum(prometheus_tsdb_storage_blocks_bytes + prometheus_tsdb_wal_storage_size_bytes)", "Prometheus"),
    ("sum(vl_data_size_bytes)", "VictoriaLogs"),
    ("sum(pg_database_size_bytes)", "PostgreSQL"),
    ("sum(ticks_disk_bytes)", "QuestDB"),
    ("sum(redis_memory_used_bytes)", "Redis (memory)"),
)

DASHBOARD = Dashboard(
    uid="crowsnest-capacity",
    title="Capacity and retention",
    description="How large the stores are, how far back they reach, and when there is no room. Planning: docs/capacity.md.",
    tags=("platform",),
    related=("crowsnest-host", "crowsnest-pipelines", "crowsnest-backup"),
    since="now-24h",
    rows=(
        row(
            "Will it fit?",
            (
                stat(
                    "Disk left in a day",
                    "At the pace of the last six hours, of the file system that is full first.",
                    Unit.BYTES,
                    prom_now(f"min(predict_linear(node_filesystem_avail_bytes{{{DISKS}}}[6h], 24 * 3600))", "left"),
                    look=Look(alerts=("HostDiskFullWithinADay",)),
                ),
                stat(
                    "Metrics store of its cap",
                    "Beyond the cap the oldest goes, whatever its age.",
                    Unit.RATIO,
                    prom_now("max(prometheus_tsdb_storage_blocks_bytes / (prometheus_tsdb_retention_limit_bytes > 0))", "used"),
                    look=Look(alerts=("MetricsStoreNearItsCap",)),
                ),
                stat(
                    "Series",
                    "In Prometheus now. Its memory grows with them.",
                    Unit.COUNT,
                    prom_now("max(prometheus_tsdb_head_series)", "series"),
                    look=Look(alerts=("SeriesBudgetExceeded",)),
                ),
                stat(
                    "Series of one process",
                    "Of the largest endpoint of a trading process.",
                    Unit.COUNT,
                    prom_now('max(scrape_samples_post_metric_relabeling{plane!=""})', "series"),
                    look=Look(alerts=("TargetSeriesBudgetExceeded",)),
                ),
                stat(
                    "Label values folded",
                    "Values beyond the bound of their label since the processes started; alerts cover them as `other`.",
                    Unit.COUNT,
                    prom_now("sum(crowsnest_metrics_folded_labels_total) or vector(0)", "folded"),
                    look=Look(alerts=("LabelValuesFolded",)),
                ),
                stat(
                    "Room of VictoriaLogs",
                    "Free bytes of its file system; it turns read-only at 1 GiB.",
                    Unit.BYTES,
                    prom_now("min(vl_free_disk_space_bytes)", "free"),
                ),
            ),
        ),
        row(
            "How large are the stores?",
            (
                chart(
                    "Size over time",
                    "Bytes on the disk, Redis' in memory. Loki and Mimir do not say theirs; see Containers and host.",
                    Unit.BYTES,
                    *(prom(text, name) for text, name in SIZES),
                    look=Look(width=16),
                ),
                ranking(
                    "Size now",
                    "The largest is the one whose retention matters.",
                    Unit.BYTES,
                    *(prom_now(text, name) for text, name in SIZES),
                    look=Look(width=8, low=0),
                ),
            ),
            (
                chart(
                    "Growth of the log store",
                    "Bytes a second over an hour.",
                    Unit.BYTES_PER_SECOND,
                    prom("sum(deriv(vl_data_size_bytes[1h]))", "VictoriaLogs"),
                ),
                chart(
                    "Compression of the log store",
                    "Bytes as they came for each byte on the disk.",
                    Unit.NUMBER,
                    prom("sum(vl_uncompressed_data_size_bytes) / (sum(vl_compressed_data_size_bytes) > 0)", "ratio"),
                ),
                chart(
                    "Free disk",
                    "By file system.",
                    Unit.BYTES,
                    prom(f"min by (mountpoint) (node_filesystem_avail_bytes{{{DISKS}}})", "{{mountpoint}}"),
                ),
            ),
        ),
        row(
            "How far back do they reach?",
            (
                stat(
                    "Oldest metric",
                    "Age of the oldest sample in Prometheus; retention and cap bound it.",
                    Unit.SECONDS,
                    prom_now("max(time() - prometheus_tsdb_lowest_timestamp_seconds)", "age"),
                ),
                stat(
                    "Rows in the log store",
                    "That are stored now.",
                    Unit.COUNT,
                    prom_now("sum(vl_storage_rows)", "rows"),
                ),
                stat(
                    "Series in Mimir",
                    "In memory now; at most 50,000.",
                    Unit.COUNT,
                    prom_now("sum(cortex_ingester_memory_series)", "series"),
                ),
                stat(
                    "Streams in Loki",
                    "In memory now; at most 1,000.",
                    Unit.COUNT,
                    prom_now("sum(loki_ingester_memory_streams)", "streams"),
                ),
            ),
            (
                chart(
                    "Series over time",
                    "With the bound of the alert.",
                    Unit.COUNT,
                    prom("max(prometheus_tsdb_head_series)", "Prometheus"),
                    prom("sum(cortex_ingester_memory_series)", "Mimir"),
                    look=Look(alerts=("SeriesBudgetExceeded",)),
                ),
                chart(
                    "Into the stores",
                    "Bytes a second that each took, before compression.",
                    Unit.BYTES_PER_SECOND,
                    prom(f"sum(rate(loki_distributor_bytes_received_total{RATE}))", "Loki"),
                    prom(f"sum(rate(vl_bytes_ingested_total{RATE}))", "VictoriaLogs"),
                ),
            ),
        ),
    ),
)
