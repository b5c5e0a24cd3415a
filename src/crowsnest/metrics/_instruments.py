"""Counters, gauges, histograms and infos that a strategy may call without a second thought.

They exist next to those of prometheus_client because a trading process asks for more: no call ever raises (unless
`strict`), not even from a signal handler or across a fork; label values are bounded; a histogram's count, sum and buckets
are read as one; a gauge says nothing before it was set; no `_created` series; and a name is exposed exactly as declared.
prometheus_client renders them: an `InstrumentSet` is one of its collectors.
"""

from __future__ import annotations

import math
import os
import threading
import weakref
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import product

from prometheus_client import Metric
from prometheus_client.samples import Sample
from prometheus_client.utils import floatToGoString

from crowsnest.metrics._labels import OTHER, UNKNOWN, Label, LabelValues, clean

_INFINITY = math.inf
_MAX_SERIES = 200  # label combinations of a counter or gauge
_MAX_HISTOGRAM_SERIES = 50  # of a histogram, each of which is a dozen series
_MAX_PREPARED = 16  # combinations of closed labels that start at 0 rather than appear with their first event


class Kind(StrEnum):
    """What a metric is; the values are Prometheus' names of the types."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    INFO = "info"


class Refusal(StrEnum):
    """Why a call, or a part of it, had no effect."""

    UNKNOWN_METRIC = "unknown_metric"
    UNKNOWN_LABEL = "unknown_label"
    MISSING_LABEL = "missing_label"
    WRONG_KIND = "wrong_kind"
    BAD_VALUE = "bad_value"
    """Not a number, not finite, or negative for a counter."""


class MetricError(ValueError):
    """A metric call was wrong; raised in strict mode only."""


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric as it is declared: a row of the tables in `_tables`."""

    name: str
    """The exposed name, to the letter."""
    kind: Kind
    help: str
    labels: tuple[Label, ...] = ()
    buckets: tuple[float, ...] = ()
    """Upper bounds of a histogram, without +Inf."""
    key: str = ""
    """How Python code names it (an attribute, or the key of `inc`, `observe` and `set`)."""


class Bound:
    """A metric with its label values: what `labels()` and `bind()` return. The base class takes no value at all."""

    __slots__ = ("_owner", "_what")

    def __init__(self, owner: InstrumentSet, what: str) -> None:
        self._owner = owner
        self._what = what

    def inc(self, amount: float = 1.0) -> None:
        """Add `amount`, which must not be negative for a counter."""
        self._refuse("inc", amount)

    def dec(self, amount: float = 1.0) -> None:
        """Take `amount` off a gauge."""
        self._refuse("dec", amount)

    def set(self, value: float) -> None:
        """Set a gauge."""
        self._refuse("set", value)

    def observe(self, value: float) -> None:
        """Put `value` into a histogram."""
        self._refuse("observe", value)

    def info(self, values: Mapping[str, object]) -> None:
        """Replace the labels of an info."""
        self._refuse("info", values)

    def _refuse(self, verb: str, value: object) -> None:
        del value
        self._owner.refuse(Refusal.WRONG_KIND, f"{self._what} has no {verb}()")

    def _refuse_value(self, value: object) -> None:
        self._owner.refuse(Refusal.BAD_VALUE, f"{self._what} cannot take {shown(value)}")


class BoundCounter(Bound):
    """One series of a counter."""

    __slots__ = ("_lock", "value")

    def __init__(self, owner: InstrumentSet, what: str) -> None:
        super().__init__(owner, what)
        self._lock = owner.lock
        self.value = 0.0

    def inc(self, amount: float = 1.0) -> None:
        """Add `amount`, a finite number of at least 0."""
        try:
            if 0 <= amount < _INFINITY:
                with self._lock:
                    self.value += amount
                return
        except Exception:  # noqa: BLE001 - whatever the amount is (Decimal, None, an object), the caller goes on
            amount = _as_float(amount)
            if 0 <= amount < _INFINITY:
                with self._lock:
                    self.value += amount
                return
        self._refuse_value(amount)


class BoundGauge(Bound):
    """One series of a gauge; `value` is NaN until it is set, and then it is not exposed."""

    __slots__ = ("_lock", "value")

    def __init__(self, owner: InstrumentSet, what: str) -> None:
        super().__init__(owner, what)
        self._lock = owner.lock
        self.value = math.nan

    def set(self, value: float) -> None:
        """Set a finite number. NaN is refused: no comparison with it is true, so it would silence every alert."""
        number = value if value.__class__ is float else _as_float(value)
        if -_INFINITY < number < _INFINITY:
            self.value = number  # one store is atomic; a lock would add nothing
        else:
            self._refuse_value(value)

    def inc(self, amount: float = 1.0) -> None:
        """Add a finite `amount`; a gauge that was never set starts at 0."""
        number = _as_float(amount)
        if -_INFINITY < number < _INFINITY:
            with self._lock:
                self.value = number if math.isnan(self.value) else self.value + number
        else:
            self._refuse_value(amount)

    def dec(self, amount: float = 1.0) -> None:
        """Take a finite `amount` off."""
        self.inc(-_as_float(amount))


class BoundHistogram(Bound):
    """One series of a histogram."""

    __slots__ = ("_bounds", "_lock", "counts", "total")

    def __init__(self, owner: InstrumentSet, what: str, bounds: tuple[float, ...]) -> None:
        super().__init__(owner, what)
        self._lock = owner.lock
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count a finite `value` in the first bucket whose upper bound is not below it."""
        number = value if value.__class__ is float else _as_float(value)
        if -_INFINITY < number < _INFINITY:
            index = bisect_left(self._bounds, number)
            with self._lock:
                self.counts[index] += 1
                self.total += number
        else:
            self._refuse_value(value)


class BoundInfo(Bound):
    """An info: constant 1, what it says is in its labels."""

    __slots__ = ("values",)

    def __init__(self, owner: InstrumentSet, what: str) -> None:
        super().__init__(owner, what)
        self.values: dict[str, str] = {}

    def info(self, values: Mapping[str, object]) -> None:
        """Replace the labels; their names must be identifiers."""
        try:
            checked = {str(name): clean(value) for name, value in values.items()}
        except Exception:  # noqa: BLE001 - a value's own __str__ may fail
            checked = {"": ""}
        if all(name.isidentifier() and name.isascii() and not name.startswith("__") for name in checked):
            self.values = checked
        else:
            self._refuse_value(values)


class Family:
    """A metric with all its series.

    Without labels it is its own only series, so `family.inc()`, `.set()`, `.observe()` work on it. With labels, get a
    series by `labels()` once and keep it.
    """

    __slots__ = ("_bound", "_domains", "_max_series", "_names", "_owner", "_series", "_single", "spec")

    def __init__(self, owner: InstrumentSet, spec: MetricSpec, domains: list[LabelValues], max_series: int) -> None:
        self.spec = spec
        self._owner = owner
        self._domains = domains
        self._names = tuple(label.name for label in spec.labels)
        self._max_series = max_series
        self._series: dict[tuple[str, ...], Bound] = {}
        self._bound: dict[tuple[object, ...], Bound] = {}
        self._single = None if spec.labels else self._child(())
        if spec.kind is Kind.COUNTER and all(label.closed for label in spec.labels):
            combinations = list(product(*(label.known for label in spec.labels)))
            if len(combinations) <= _MAX_PREPARED:
                for values in combinations:
                    self._child(values)

    def labels(self, *values: object, **named: object) -> Bound:
        """The series with these label values, all given in order or all by name.

        Unknown names are left out, missing ones become `unknown`; both are counted (strict: refused). Never raises
        otherwise. Costs about 1 µs; a series that is kept costs nothing to find again.
        """
        try:
            if named and not values and len(named) == len(self._names):
                values, named = self._in_order(values, named), {}
            if not named and (found := self._bound.get(values)) is not None:
                return found
            return self._find(values, named)
        except MetricError:
            raise
        except Exception:  # noqa: BLE001 - a value without a usable hash or text
            self._owner.refuse(Refusal.BAD_VALUE, f"{self.spec.name} got a label value that is no text")
            return self._with((OTHER,) * len(self._names))

    def inc(self, amount: float = 1.0) -> None:
        """`Bound.inc` of a metric without labels."""
        self._only().inc(amount)

    def dec(self, amount: float = 1.0) -> None:
        """`Bound.dec` of a metric without labels."""
        self._only().dec(amount)

    def set(self, value: float) -> None:
        """`Bound.set` of a metric without labels."""
        self._only().set(value)

    def observe(self, value: float) -> None:
        """`Bound.observe` of a metric without labels."""
        self._only().observe(value)

    def info(self, values: Mapping[str, object]) -> None:
        """`Bound.info` of an info."""
        self._only().info(values)

    def _only(self) -> Bound:
        return self._single if self._single is not None else self.labels()

    def _find(self, values: tuple[object, ...], named: Mapping[str, object]) -> Bound:
        if named:
            values = self._in_order(values, named)
        elif len(values) != len(self._names):
            self._complain(values)
            values = (values + (UNKNOWN,) * len(self._names))[: len(self._names)]
        with self._owner.lock:
            resolved = [domain.resolve(value) for domain, value in zip(self._domains, values, strict=True)]
            folded = [name for name, (_, is_folded) in zip(self._names, resolved, strict=True) if is_folded]
            bound = self._with(tuple(text for text, _ in resolved))
            # What was folded is looked up again each time, so that each time is counted.
            if not folded and len(self._bound) < 4 * self._max_series and all(type(value) is str for value in values):
                self._bound[values] = bound
        for name in folded:
            self._owner.count_fold(name)
        return bound

    def _in_order(self, values: tuple[object, ...], named: Mapping[str, object]) -> tuple[object, ...]:
        if not values:
            try:
                ordered = tuple([named[name] for name in self._names])
            except KeyError:
                pass
            else:
                if len(named) == len(ordered):
                    return ordered
        if values or named.keys() != set(self._names):
            for name in named:
                if name not in self._names:
                    self._owner.refuse(Refusal.UNKNOWN_LABEL, f"{self.spec.name} has no label {name!r}{self._has()}")
            for name in self._names[len(values) :]:
                if name not in named:
                    self._owner.refuse(Refusal.MISSING_LABEL, f"{self.spec.name} needs the label {name!r}{self._has()}")
        given = dict(zip(self._names, values, strict=False)) | dict(named)
        return tuple(given.get(name, UNKNOWN) for name in self._names)

    def _complain(self, values: tuple[object, ...]) -> None:
        reason = Refusal.MISSING_LABEL if len(values) < len(self._names) else Refusal.UNKNOWN_LABEL
        self._owner.refuse(reason, f"{self.spec.name} got {len(values)} label values{self._has()}")

    def _has(self) -> str:
        return f"; its labels are {', '.join(self._names) or 'none'}"

    def _with(self, values: tuple[str, ...]) -> Bound:
        with self._owner.lock:
            if (found := self._series.get(values)) is not None:
                return found
            if len(self._series) >= self._max_series:
                self._owner.count_cap(self.spec.name)
                values = (OTHER,) * len(self._names)
                if (found := self._series.get(values)) is not None:
                    return found
            return self._child(values)

    def _child(self, values: tuple[str, ...]) -> Bound:
        what = self.spec.name
        child: Bound
        if self.spec.kind is Kind.COUNTER:
            child = BoundCounter(self._owner, what)
        elif self.spec.kind is Kind.GAUGE:
            child = BoundGauge(self._owner, what)
        elif self.spec.kind is Kind.HISTOGRAM:
            child = BoundHistogram(self._owner, what, self.spec.buckets)
        else:
            child = BoundInfo(self._owner, what)
        self._series[values] = child
        return child

    def collect(self) -> Metric:
        """The metric in prometheus_client's form."""
        spec = self.spec
        if spec.kind is Kind.COUNTER and not spec.name.endswith("_total"):
            # OpenMetrics allows no such counter, and prometheus_client would print TYPE for another name.
            metric = Metric(spec.name, spec.help, "unknown")
        else:
            suffix = {Kind.COUNTER: "_total", Kind.INFO: "_info"}.get(spec.kind, "")
            metric = Metric(spec.name.removesuffix(suffix), spec.help, spec.kind.value)
        constant = self._owner.constant_labels
        with self._owner.lock:
            series = list(self._series.items())
        for values, bound in series:
            labels = dict(zip(self._names, values, strict=True), **constant)
            metric.samples.extend(self._samples(bound, labels))
        return metric

    def _samples(self, bound: Bound, labels: dict[str, str]) -> Iterator[Sample]:
        name = self.spec.name
        if isinstance(bound, BoundCounter) or (isinstance(bound, BoundGauge) and not math.isnan(bound.value)):
            yield Sample(name, labels, bound.value)
        elif isinstance(bound, BoundHistogram):
            with self._owner.lock:
                counts, total = list(bound.counts), bound.total
            count = 0
            for bound_text, in_bucket in zip(self._owner.bucket_texts(self.spec.buckets), counts, strict=True):
                count += in_bucket
                yield Sample(f"{name}_bucket", {**labels, "le": bound_text}, count)
            yield Sample(f"{name}_count", labels, count)
            # OpenMetrics: with a negative bound the sum is no counter and must not be there. prometheus_client agrees.
            if self.spec.buckets[0] >= 0:
                yield Sample(f"{name}_sum", labels, total)
        elif isinstance(bound, BoundInfo) and bound.values:
            yield Sample(name, {**labels, **bound.values}, 1.0)


class InstrumentSet:
    """The metrics of one registry, its limits, and the count of what was refused or folded."""

    def __init__(
        self,
        specs: Iterable[MetricSpec],
        *,
        strict: bool = False,
        constant_labels: Mapping[str, str] | None = None,
        label_caps: Mapping[str, int] | None = None,
        max_series_per_metric: int | None = None,
    ) -> None:
        # Re-entrant, because a signal handler or a finaliser may call a metric while this very thread is in one.
        self.lock = threading.RLock()
        self.strict = strict
        self.constant_labels = {name: clean(value) for name, value in (constant_labels or {}).items()}
        self.last_refusal: str | None = None
        self._refused: dict[Refusal, int] = dict.fromkeys(Refusal, 0)
        self._folded: dict[str, int] = {}
        self._capped: dict[str, int] = {}
        self._bucket_texts: dict[tuple[float, ...], list[str]] = {}
        self.families: dict[str, Family] = {}
        caps = label_caps or {}
        domains: dict[Label, LabelValues] = {}
        for spec in specs:
            most = max_series_per_metric or (_MAX_HISTOGRAM_SERIES if spec.kind is Kind.HISTOGRAM else _MAX_SERIES)
            values = [domains.setdefault(label, LabelValues(label, caps.get(label.name))) for label in spec.labels]
            self.families[spec.name] = Family(self, spec, values, most)
        known = {label.name for label in domains}
        if unknown := set(caps) - known:
            raise ValueError(f"no label {', '.join(sorted(unknown))}; labels are {', '.join(sorted(known))}")
        _alive.add(self)

    def refuse(self, reason: Refusal, text: str) -> None:
        """Count a call that was wrong.

        Raises:
            MetricError: in strict mode.
        """
        with self.lock:
            self._refused[reason] += 1
            self.last_refusal = text
        if self.strict:
            raise MetricError(text)

    def count_fold(self, label: str) -> None:
        """Count a label value that became `other`."""
        with self.lock:
            self._folded[label] = self._folded.get(label, 0) + 1

    def count_cap(self, metric: str) -> None:
        """Count a series that was not made, because its metric has as many as it may."""
        with self.lock:
            self._capped[metric] = self._capped.get(metric, 0) + 1

    def problems(self) -> dict[str, int]:
        """How often calls were refused, label values folded and series capped, by reason; without zeros."""
        with self.lock:
            return {
                **{reason.value: count for reason, count in self._refused.items() if count},
                **{f"folded:{label}": count for label, count in self._folded.items()},
                **{f"capped:{metric}": count for metric, count in self._capped.items()},
            }

    def bucket_texts(self, bounds: tuple[float, ...]) -> list[str]:
        """The `le` labels of these bounds."""
        if (texts := self._bucket_texts.get(bounds)) is None:
            texts = self._bucket_texts[bounds] = [floatToGoString(bound) for bound in (*bounds, _INFINITY)]  # type: ignore[no-untyped-call]
        return texts

    def collect(self) -> Iterator[Metric]:
        """All metrics, for prometheus_client."""
        for family in self.families.values():
            yield family.collect()

    def collect_problems(self) -> Iterator[Metric]:
        """What was refused, folded or capped, as metrics of the library itself."""
        with self.lock:
            counts = (
                ("refused_calls", "Metric calls that were wrong", "reason", {r.value: n for r, n in self._refused.items()}),
                ("folded_labels", "Label values folded into other", "label", dict(self._folded)),
                ("capped_series", "Series not made because a metric has too many", "metric", dict(self._capped)),
            )
        for name, text, label, values in counts:
            metric = Metric(f"crowsnest_metrics_{name}", text, "counter")
            for value, count in values.items():
                metric.add_sample(f"{metric.name}_total", {label: value, **self.constant_labels}, count)
            yield metric


_alive: weakref.WeakSet[InstrumentSet] = weakref.WeakSet()
_held: dict[int, list[InstrumentSet]] = {}  # by the forking thread


def _before_fork() -> None:
    # A lock that another thread holds in the instant of a fork would stay locked in the child for ever.
    mine = _held[threading.get_ident()] = []
    for one in list(_alive):
        one.lock.acquire()
        mine.append(one)


def _after_fork() -> None:
    # In the child this is the thread that forked, so it owns these locks there too.
    for one in _held.pop(threading.get_ident(), []):
        one.lock.release()


def _after_fork_in_child() -> None:
    _after_fork()
    _held.clear()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)


def _as_float(value: object) -> float:
    """`value` as a float; NaN when it is none."""
    try:
        return float(value)  # type: ignore[arg-type]
    except Exception:  # noqa: BLE001 - float() of a foreign object may raise anything
        return math.nan


def shown(value: object) -> str:
    """`value` for an error text; never raises."""
    try:
        return repr(value)[:80]
    except Exception:  # noqa: BLE001 - a foreign __repr__
        return f"a {type(value).__name__}"
