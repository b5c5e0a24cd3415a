"""Platform: which component answers, and how databases and gateway are."""

from __future__ import annotations

from dashboards.frame import Dashboard, row
from dashboards.panels import Look, chart, stat, states
from dashboards.promql import RATE
from dashboards.queries import prom, prom_now
from dashboards.vocabulary import UP, Unit

CONNECTIONS = "max(sum by (instance) (pg_stat_database_numbackends) / on (instance) pg_settings_max_connections)"

DASHBOARD = Dashboard(
    uid="crowsnest-platform",
    title="Platform",
    description="Which component answers, and how databases and gateway are.",
    tags=("platform",),
    related=("crowsnest-host", "crowsnest-pipelines", "crowsnest-alerting", "crowsnest-backup"),
    rows=(
        row(
            "Does everything answer?",
            (
                stat(
                    "Targets",
                    "The worst of what Prometheus scrapes.",
                    Unit.STATE,
                    prom_now("min(up)", "the worst"),
                    look=Look(alerts=("TargetDown",), states=UP),
                ),
                stat(
                    "Probes",
                    "The worst of what is asked from outside.",
                    Unit.STATE,
                    prom_now("min(probe_success)", "the worst"),
                    look=Look(alerts=("ProbeFailed",), states=UP),
                ),
                stat(
                    "PostgreSQL",
                    "Whether its exporter can log in.",
                    Unit.STATE,
                    prom_now("min(pg_up)", "PostgreSQL"),
                    look=Look(alerts=("PostgreSQLDown",), states=UP),
                ),
                stat(
                    "Redis",
                    "Whether its exporter can log in.",
                    Unit.STATE,
                    prom_now("min(redis_up)", "Redis"),
                    look=Look(alerts=("RedisDown",), states=UP),
                ),
            ),
            (
                states(
                    "Components over time",
                    "Answers to the probes from outside.",
                    prom("min by (component) (probe_success)", "{{component}}"),
                    look=Look(alerts=("ProbeFailed",), states=UP, width=12),
                ),
                states(
                    "Targets over time",
                    "Answers to scrapes.",
                    prom("min by (job) (up)", "{{job}}"),
                    look=Look(alerts=("TargetDown",), states=UP, width=12),
                ),
            ),
            (
                chart(
                    "Time to answer",
                    "Of each probe.",
                    Unit.SECONDS,
                    prom("max by (component) (probe_duration_seconds)", "{{component}}"),
                    look=Look(width=8),
                ),
                chart(
                    "Uptime",
                    "Since each component was started; a drop to 0 is a restart.",
                    Unit.SECONDS,
                    prom("max by (component) (time() - process_start_time_seconds)", "{{component}}"),
                    look=Look(width=8),
                ),
                chart(
                    "Certificate of the gateway",
                    "Until it expires. It is renewed by itself when a third of its time is left.",
                    Unit.SECONDS,
                    prom("min by (instance) (probe_ssl_earliest_cert_expiry - time())", "{{instance}}"),
                    look=Look(alerts=("CertificateExpiresSoon", "CertificateExpired"), width=8),
                ),
            ),
        ),
        row(
            "How are the databases?",
            (
                stat(
                    "Connections of PostgreSQL",
                    "Share of those that it allows.",
                    Unit.RATIO,
                    prom_now(CONNECTIONS, "used"),
                    look=Look(alerts=("PostgreSQLConnectionsHigh",)),
                ),
                stat(
                    "Memory of Redis",
                    "Share of its bound; beyond it, writes are refused.",
                    Unit.RATIO,
                    prom_now("max(redis_memory_used_bytes / (redis_memory_max_bytes > 0))", "used"),
                    look=Look(alerts=("RedisMemoryHigh",)),
                ),
                stat(
                    "Cache hits of PostgreSQL",
                    "Share of the blocks that it did not have to read from the disk.",
                    Unit.RATIO,
                    prom_now(
                        f"sum(rate(pg_stat_database_blks_hit{RATE}))"
                        f" / (sum(rate(pg_stat_database_blks_hit{RATE})) + sum(rate(pg_stat_database_blks_read{RATE})) > 0)",
                        "hits",
                    ),
                ),
                stat(
                    "Clients of Redis",
                    "That are connected now.",
                    Unit.COUNT,
                    prom_now("max(redis_connected_clients)", "clients"),
                ),
            ),
            (
                chart(
                    "Transactions of PostgreSQL",
                    "A second, committed and rolled back.",
                    Unit.PER_SECOND,
                    prom(f"sum(rate(pg_stat_database_xact_commit{RATE}))", "committed"),
                    prom(f"sum(rate(pg_stat_database_xact_rollback{RATE}))", "rolled back"),
                ),
                chart(
                    "Rows of PostgreSQL",
                    "A second that were inserted and updated.",
                    Unit.PER_SECOND,
                    prom(f"sum(rate(pg_stat_database_tup_inserted{RATE}))", "inserted"),
                    prom(f"sum(rate(pg_stat_database_tup_updated{RATE}))", "updated"),
                ),
                chart(
                    "Commands of Redis",
                    "Commands a second.",
                    Unit.PER_SECOND,
                    prom(f"sum(rate(redis_commands_processed_total{RATE}))", "commands"),
                ),
            ),
        ),
        row(
            "How is the gateway?",
            (
                chart(
                    "Requests",
                    "A second, by handler.",
                    Unit.PER_SECOND,
                    prom(f"sum by (handler) (rate(caddy_http_requests_total{RATE}))", "{{handler}}"),
                ),
                chart(
                    "Answers",
                    "Median and tail of the time to an answer.",
                    Unit.SECONDS,
                    prom(
                        f"histogram_quantile(0.5, sum by (le) (rate(caddy_http_request_duration_seconds_bucket{RATE})))", "p50"
                    ),
                    prom(
                        f"histogram_quantile(0.99, sum by (le) (rate(caddy_http_request_duration_seconds_bucket{RATE})))", "p99"
                    ),
                ),
                chart(
                    "Answers by status",
                    "Answers a second.",
                    Unit.PER_SECOND,
                    prom(f"sum by (code) (rate(caddy_http_request_duration_seconds_count{RATE}))", "{{code}}"),
                ),
            ),
        ),
    ),
)
