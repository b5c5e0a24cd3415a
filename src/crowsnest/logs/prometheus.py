"""The ledger of the process's handlers as Prometheus metrics.

>>> from prometheus_client import REGISTRY
>>> from crowsnest.logs.prometheus import LedgerCollector
>>> REGISTRY.register(LedgerCollector())
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

from crowsnest.logs._handler import ledger_of_process
from crowsnest.logs._ledger import DropReason

_COUNTERS = {
    "accepted": "Log records offered to the handler, its own included.",
    "delivered": "Log records acknowledged by VictoriaLogs.",
    "gap_records": "Records the handler made to tell of lost ones.",
    "requests": "HTTP requests attempted, retries included.",
    "failed_requests": "HTTP requests without success.",
}
_GAUGES = {
    "queue_records": ("queued", "Log records waiting."),
    "queue_bytes": ("queued_bytes", "Estimated memory of the waiting log records."),
    "in_flight": ("in_flight", "Log records in the request under way."),
    "undelivered_seconds": ("undelivered_seconds", "How long the oldest log record in flight has been tried."),
    "ledger_residual": ("residual", "Log records unaccounted for; always 0."),
}


class LedgerCollector:
    """Collects the sum of all handlers of this process, closed and forgotten ones included, so that no counter falls.

    A scrape reads a few integers under the queue's lock; it makes no request. prometheus_client is imported here and
    nowhere else in `crowsnest.logs`.

    Raises:
        ImportError: prometheus_client is not installed.
    """

    def __init__(self) -> None:
        core = importlib.import_module("prometheus_client.core")
        self._counter: Any = core.CounterMetricFamily
        self._gauge: Any = core.GaugeMetricFamily

    def describe(self) -> Iterator[Any]:
        """The same families; so that registering costs no scrape's worth of surprises."""
        return self.collect()

    def collect(self) -> Iterator[Any]:
        """Metric families of prometheus_client."""
        ledger = ledger_of_process()
        for name, text in _COUNTERS.items():
            yield self._counter(f"crowsnest_logs_{name}", text, value=ledger[name])
        dropped = self._counter("crowsnest_logs_dropped", "Log records lost, by reason.", labels=["reason"])
        for reason in DropReason:
            dropped.add_metric([reason.value], ledger[f"dropped_{reason}"])
        yield dropped
        for name, (key, text) in _GAUGES.items():
            yield self._gauge(f"crowsnest_logs_{name}", text, value=ledger[key])
