"""Data plane: what the process receives, checks, refuses and stores."""

from __future__ import annotations

from dashboards.frame import PROCESS, SYMBOL, Dashboard, row
from dashboards.panels import Look, chart, heat, stat
from dashboards.promql import RATE, P, histogram, quantile
from dashboards.queries import prom, prom_heat, prom_now
from dashboards.vocabulary import Unit

Y = f'{P},symbol=~"$symbol"'
WRITES = "data_storage_write_latency_seconds"

DASHBOARD = Dashboard(
    uid="crowsnest-data",
    title="Data plane",
    description="What the process receives, checks, refuses and stores.",
    tags=("trading", "plane"),
    variables=(PROCESS, SYMBOL),
    related=("crowsnest-feed", "crowsnest-orders", "crowsnest-strategy"),
    rows=(
        row(
            "Is data refused?",
            (
                stat(
                    "Validation errors",
                    "A second, of the worst kind and symbol.",
                    Unit.PER_SECOND,
                    prom_now(f"max(rate(data_validation_errors_total{{{Y}}}[5m]))", "errors"),
                    look=Look(alerts=("HighErrorRate",)),
                ),
                stat(
                    "Dead letters, 15 min",
                    "Messages that could not be processed and were set aside.",
                    Unit.COUNT,
                    prom_now(f"max(increase(data_dlq_messages_total{{{P}}}[15m]))", "dead letters"),
                    look=Look(alerts=("DeadLettersGrow",)),
                ),
                stat(
                    "Refused for clock drift, 15 min",
                    "Events with an impossible time.",
                    Unit.COUNT,
                    prom_now(f"sum(increase(data_ntp_rejects_total{{{P}}}[15m]))", "refused"),
                    look=Look(alerts=("EventsRejectedForClockDrift",)),
                ),
                stat(
                    "Normalization errors, 15 min",
                    "Events that could not be brought into the common form.",
                    Unit.COUNT,
                    prom_now(f"sum(increase(data_normalization_errors_total{{{P}}}[15m]))", "errors"),
                ),
            ),
            (
                chart(
                    "Validation errors by kind",
                    "Errors a second; a kind that one symbol alone has is that symbol's data.",
                    Unit.PER_SECOND,
                    prom(
                        f"sum by (error_type, symbol) (rate(data_validation_errors_total{{{Y}}}{RATE}))",
                        "{{error_type}} {{symbol}}",
                    ),
                    look=Look(alerts=("HighErrorRate",)),
                ),
                chart(
                    "Dead letters by reason",
                    "Messages a second that were set aside.",
                    Unit.PER_SECOND,
                    prom(f"sum by (reason) (rate(data_dlq_messages_total{{{P}}}{RATE}))", "{{reason}}"),
                ),
            ),
        ),
        row(
            "What comes in?",
            (
                chart(
                    "Ticks",
                    "A second, by symbol.",
                    Unit.PER_SECOND,
                    prom(f"sum by (symbol) (rate(data_ticks_received_total{{{Y}}}{RATE}))", "{{symbol}}"),
                ),
                chart(
                    "Bars",
                    "A second, by symbol.",
                    Unit.PER_SECOND,
                    prom(f"sum by (symbol) (rate(data_bars_received_total{{{Y}}}{RATE}))", "{{symbol}}"),
                ),
                chart(
                    "OFI events",
                    "Turns of the order flow a second, by symbol.",
                    Unit.PER_SECOND,
                    prom(f"sum by (symbol) (rate(data_ofi_events_generated_total{{{Y}}}{RATE}))", "{{symbol}}"),
                ),
            ),
        ),
        row(
            "Is it stored?",
            (
                chart(
                    "Storage writes",
                    "Events a second that were written, by type.",
                    Unit.PER_SECOND,
                    prom(f"sum by (event_type) (rate(data_storage_writes_total{{{P}}}{RATE}))", "{{event_type}}"),
                ),
                chart(
                    "Write latency",
                    "Median and tails of a write.",
                    Unit.SECONDS,
                    prom(quantile(0.5, WRITES, P), "p50"),
                    prom(quantile(0.95, WRITES, P), "p95"),
                    prom(quantile(0.99, WRITES, P), "p99"),
                ),
                heat(
                    "Write latency over time",
                    "Where the writes lie.",
                    Unit.SECONDS,
                    prom_heat(histogram(WRITES, P, RATE)),
                ),
            ),
        ),
    ),
)
