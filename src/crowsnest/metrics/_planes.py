"""The three planes: one exporter each, addressed by key."""

from __future__ import annotations

from collections.abc import Mapping

from crowsnest.metrics._instruments import Bound, Family, MetricSpec, Refusal, shown
from crowsnest.metrics._readiness import Readiness
from crowsnest.metrics._source import MetricSource
from crowsnest.metrics._tables import PLANES, spellings


class MetricsExporter(MetricSource):
    """The metrics of a plane, updated by key: `inc('ticks_received', source='ibkr_rt', symbol='SPY')`.

    A key may be written with the plane's prefix or without, and with the exposed name's units or without. In a hot
    path, `bind()` once and keep what it returns. No method raises (`strict=True`: `MetricError`).
    """

    def __init__(
        self,
        plane: str,
        *,
        service: str | None = None,
        strict: bool = False,
        readiness: Readiness | None = None,
        label_caps: Mapping[str, int] | None = None,
        max_series_per_metric: int | None = None,
    ) -> None:
        """Make the exporter of a plane; see `init_metrics_exporter`."""
        if plane not in PLANES:
            raise ValueError(f"unknown plane {plane!r}; known are {', '.join(PLANES)}")
        super().__init__(
            plane,
            PLANES[plane],
            strict=strict,
            readiness=readiness,
            constant_labels={"service": service or plane},
            label_caps=label_caps,
            max_series_per_metric=max_series_per_metric,
        )
        self._by_key: dict[str, Family] = {
            key: self._instruments.families[spec.name] for spec in PLANES[plane] for key in spellings(plane, spec)
        }
        self._nothing = Bound(self._instruments, "an unknown metric")

    @property
    def specs(self) -> tuple[MetricSpec, ...]:
        """The plane's metrics as declared."""
        return PLANES[self.plane]

    def inc(self, key: str, amount: float = 1.0, **labels: object) -> None:
        """Add to a counter, or to a gauge."""
        if (family := self._family(key)) is not None:
            family.labels(**labels).inc(amount)

    def observe(self, key: str, amount: float, **labels: object) -> None:
        """Put a value into a histogram."""
        if (family := self._family(key)) is not None:
            family.labels(**labels).observe(amount)

    def set(self, key: str, amount: float, **labels: object) -> None:
        """Set a gauge."""
        if (family := self._family(key)) is not None:
            family.labels(**labels).set(amount)

    def bind(self, key: str, **labels: object) -> Bound:
        """The series itself, for hot paths. For an unknown key: one on which every call is counted and ignored."""
        family = self._family(key)
        return self._nothing if family is None else family.labels(**labels)

    def _family(self, key: str) -> Family | None:
        try:
            found = self._by_key.get(key)
        except Exception:  # noqa: BLE001 - no text, and not even hashable
            found = None
        if found is None:
            known = ", ".join(spec.key for spec in self.specs)
            text = f"{self.plane} has no metric {shown(key)}; its keys are {known}"
            self._instruments.refuse(Refusal.UNKNOWN_METRIC, text)
        return found


def init_metrics_exporter(
    plane: str = "data_plane",
    service: str | None = None,
    *,
    strict: bool = False,
    readiness: Readiness | None = None,
    label_caps: Mapping[str, int] | None = None,
    max_series_per_metric: int | None = None,
) -> MetricsExporter:
    """The exporter of `data_plane`, `order_plane` or `strategy_plane`, with a registry of its own.

    Args:
        plane: which one.
        service: value of the label `service` on every series of the plane; by default the plane's name.
        strict: raise `MetricError` for an unknown key, label or value instead of counting it. For tests.
        readiness: what `/ready` looks at; by default broker, feed, database and log_pipeline.
        label_caps: most distinct values, by label name: `{"symbol": 200}`.
        max_series_per_metric: label combinations; by default 200, of a histogram 50.

    Raises:
        ValueError: the plane is unknown, or `label_caps` names a label that the plane does not have.
    """
    return MetricsExporter(
        plane,
        service=service,
        strict=strict,
        readiness=readiness,
        label_caps=label_caps,
        max_series_per_metric=max_series_per_metric,
    )
