"""Prometheus metrics of a trading process: exact names, bounded labels, and calls that never raise.

>>> from crowsnest.metrics import TradingMetrics, init_metrics_exporter, start_metrics_server
>>> metrics = init_metrics_exporter("data_plane")
>>> metrics.inc("ticks_received", source="ibkr_rt", symbol="SPY")

docs/metrics.md says what every metric means and where to update it.
"""

from __future__ import annotations

from crowsnest.metrics._instruments import Bound, Family, Kind, MetricError, MetricSpec, Refusal
from crowsnest.metrics._planes import MetricsExporter, init_metrics_exporter
from crowsnest.metrics._readiness import (
    BROKER,
    DATABASE,
    FEED,
    LOG_PIPELINE,
    REDIS,
    DependencyState,
    HealthChecker,
    Readiness,
)
from crowsnest.metrics._server import MetricsServer, PortInUseError, start_metrics_server
from crowsnest.metrics._source import Collector, MetricSource
from crowsnest.metrics._trading import TradingMetrics

__all__ = [
    "BROKER",
    "DATABASE",
    "FEED",
    "LOG_PIPELINE",
    "REDIS",
    "Bound",
    "Collector",
    "DependencyState",
    "Family",
    "HealthChecker",
    "Kind",
    "MetricError",
    "MetricSource",
    "MetricSpec",
    "MetricsExporter",
    "MetricsServer",
    "PortInUseError",
    "Readiness",
    "Refusal",
    "TradingMetrics",
    "init_metrics_exporter",
    "start_metrics_server",
]
