"""What a metric call costs the strategy, and what a scrape costs the process.

Run it: `python tests/bench/bench_metrics.py` with prometheus-client installed. Prints a table; exit 1 when a goal is
missed. Compares with prometheus_client's own instruments in the same run, because ratios survive a busy machine.
"""

from __future__ import annotations

import sys
import timeit
import urllib.request
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "src"))

import prometheus_client
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics

from crowsnest.metrics import MetricsExporter, MetricsServer, TradingMetrics, init_metrics_exporter

INCREMENT_GOAL_US = 0.4
SCRAPE_GOAL_MS = 3.0
SERIES = 500


def fastest(call: Callable[[], object], number: int) -> float:
    """Seconds for one call: the best of seven rounds."""
    return min(timeit.repeat(call, number=number, repeat=7)) / number


def series_of(text: str) -> int:
    return sum(1 for line in text.splitlines() if line and not line.startswith("#"))


def plane_of_500_series() -> MetricsExporter:
    """A data plane of 24 symbols in two histograms' worth of series, filled up with counters."""
    metrics = init_metrics_exporter("data_plane", label_caps={"symbol": 500}, max_series_per_metric=500)
    for number in range(24):
        metrics.observe("freshness", 0.15, source="ibkr_rt", symbol=f"SYM{number}")
    number = 0
    while series_of(metrics.exposition()) < SERIES:
        metrics.inc("ticks_received", source="ibkr_rt", symbol=f"SYM{number}")
        number += 1
    return metrics


def client_of_500_series() -> prometheus_client.CollectorRegistry:
    registry = prometheus_client.CollectorRegistry()
    labels = ["service", "source", "symbol"]
    histogram = prometheus_client.Histogram(
        "freshness", "x", labels, buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 5, 10), registry=registry
    )
    counter = prometheus_client.Counter("ticks", "x", labels, registry=registry)
    for number in range(24):
        histogram.labels("data_plane", "ibkr_rt", f"SYM{number}").observe(0.15)
    number = 0
    # Its `_created` series, which nobody asked for, are left out of the count: they are what it costs more.
    while sum(1 for m in registry.collect() for s in m.samples if not s.name.endswith("_created")) < SERIES:
        counter.labels("data_plane", "ibkr_rt", f"SYM{number}").inc()
        number += 1
    return registry


def main() -> int:
    """Print the table."""
    metrics = plane_of_500_series()
    trading = TradingMetrics()
    counter = metrics.bind("ticks_received", source="ibkr_rt", symbol="SYM1")
    histogram = metrics.bind("freshness", source="ibkr_rt", symbol="SYM1")
    gauge = metrics.bind("completeness_score", symbol="SYM1")
    client = prometheus_client.Counter("x", "x", ["symbol"], registry=None)
    client_counter = client.labels("SPY")
    calls: tuple[tuple[str, Callable[[], object]], ...] = (
        ("bound counter inc()", counter.inc),
        ("bound gauge set(x)", lambda: gauge.set(0.95)),
        ("bound histogram observe(x)", lambda: histogram.observe(0.15)),
        ("inc(key, source=, symbol=)", lambda: metrics.inc("ticks_received", source="ibkr_rt", symbol="SYM1")),
        ("record_order(...)", lambda: trading.record_order("BUY", "LIMIT", "SwingMomentum", "FILLED")),
        ("prometheus_client bound inc()", client_counter.inc),
        ("prometheus_client labels().inc()", lambda: client.labels(symbol="SPY").inc()),
    )
    microseconds = {name: fastest(call, 100_000) * 1e6 for name, call in calls}
    for name, value in microseconds.items():
        print(f"{name:<34} {value:8.3f} us")
    registry = client_of_500_series()
    with MetricsServer(metrics, 0) as server:
        scrapes: tuple[tuple[str, Callable[[], object]], ...] = (
            (f"scrape of {series_of(metrics.exposition())} series, text", metrics.exposition),
            ("  OpenMetrics", lambda: openmetrics(metrics.registry)),
            ("  over HTTP", lambda: urllib.request.urlopen(f"{server.url}/metrics").read()),
            ("  prometheus_client's instruments", lambda: prometheus_client.generate_latest(registry)),
        )
        milliseconds = {name: fastest(call, 10) * 1e3 for name, call in scrapes}
    for name, value in milliseconds.items():
        print(f"{name:<34} {value:8.3f} ms")
    increment, scrape = microseconds["bound counter inc()"], next(iter(milliseconds.values()))
    print(f"increment: {increment:.3f} us, goal {INCREMENT_GOAL_US} us: {verdict(increment <= INCREMENT_GOAL_US)}")
    print(f"scrape: {scrape:.3f} ms, goal {SCRAPE_GOAL_MS} ms: {verdict(scrape <= SCRAPE_GOAL_MS)}")
    return 0 if increment <= INCREMENT_GOAL_US and scrape <= SCRAPE_GOAL_MS else 1


def verdict(kept: bool) -> str:
    return "kept" if kept else "MISSED"


if __name__ == "__main__":
    sys.exit(main())
