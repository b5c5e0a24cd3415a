"""What a metrics endpoint serves: a registry of its own, its readiness, and collectors that others add."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from prometheus_client import CollectorRegistry, Metric, generate_latest

from crowsnest.metrics._instruments import InstrumentSet, MetricSpec
from crowsnest.metrics._readiness import Readiness


class Collector(Protocol):
    """Anything with prometheus_client's `collect()`."""

    def collect(self) -> Iterable[Metric]:
        """Its metrics now."""


class MetricSource:
    """Base of `TradingMetrics` and `MetricsExporter`."""

    plane: str
    registry: CollectorRegistry
    """Its own: nothing that another library registers globally is served here."""
    readiness: Readiness

    def __init__(
        self,
        plane: str,
        specs: Iterable[MetricSpec],
        *,
        strict: bool,
        readiness: Readiness | None,
        constant_labels: Mapping[str, str] | None = None,
        label_caps: Mapping[str, int] | None = None,
        max_series_per_metric: int | None = None,
    ) -> None:
        self.plane = plane
        self.readiness = Readiness() if readiness is None else readiness
        self.registry = CollectorRegistry()
        self._instruments = InstrumentSet(
            specs,
            strict=strict,
            constant_labels=constant_labels,
            label_caps=label_caps,
            max_series_per_metric=max_series_per_metric,
        )
        self.registry.register(_Everything(self))
        self._added: list[Collector] = []

    @property
    def strict(self) -> bool:
        """Whether a wrong call raises `MetricError` instead of being counted."""
        return self._instruments.strict

    @property
    def last_refusal(self) -> str | None:
        """What the last wrong call was; None while there was none."""
        return self._instruments.last_refusal

    def problems(self) -> dict[str, int]:
        """Counts of wrong calls, folded label values and capped series; empty when all is well."""
        return self._instruments.problems()

    def register(self, collector: Collector) -> None:
        """Serve the metrics of `collector` too, such as the log handler's. One that fails is left out of the scrape."""
        self._added.append(collector)

    def collect(self) -> Iterator[Metric]:
        """The declared metrics alone, so that one source may be registered with another."""
        return self._instruments.collect()

    def exposition(self) -> str:
        """What `/metrics` answers, in Prometheus' text format."""
        return generate_latest(self.registry).decode()

    def _all(self) -> Iterator[Metric]:
        yield from self._instruments.collect()
        yield from self._instruments.collect_problems()
        yield from self.readiness.collect()
        failed = 0
        for collector in list(self._added):
            try:
                metrics = list(collector.collect())
            except Exception:  # noqa: BLE001 - a broken collector must not take everything else out of the scrape
                failed += 1
            else:
                yield from metrics
        broken = Metric("crowsnest_metrics_broken_collectors", "Added collectors that failed in this scrape", "gauge")
        broken.add_sample(broken.name, {}, failed)
        yield broken


class _Everything:
    """The collector of a source's registry; `describe` keeps registration from collecting."""

    def __init__(self, source: MetricSource) -> None:
        self._source = source

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        return self._source._all()  # noqa: SLF001 - the two are one thing
