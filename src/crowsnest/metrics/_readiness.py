"""Readiness: what a trading process depends on, when that was last seen working, and how old that may be."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client import Metric

from crowsnest.metrics._labels import clean
from crowsnest.settings import MonitoringSettings

BROKER = "broker"
FEED = "feed"
DATABASE = "database"
LOG_PIPELINE = "log_pipeline"
REDIS = "redis"

DEFAULT_DEPENDENCIES = (BROKER, FEED, DATABASE, LOG_PIPELINE)


@dataclass(frozen=True, slots=True)
class DependencyState:
    """One dependency at one moment."""

    up: bool
    """The last report was good and is not too old."""
    age_seconds: float | None
    """Since the last good report; None while there was none."""
    max_age_seconds: float
    detail: str
    """Why it is not up; empty when it is."""


@dataclass(slots=True)
class _Seen:
    max_age_seconds: float
    good_at: float | None = None
    ok: bool = False
    detail: str = field(default="never reported")


class Readiness:
    """Ready means: every dependency's last report was good and no older than its maximum age.

    Nothing here asks a dependency anything. The code that talks to the broker reports, or a `HealthChecker` does, so a
    hanging dependency makes its report old and never makes `/ready` hang.
    """

    def __init__(
        self, max_age_seconds: Mapping[str, float] | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Declare the dependencies.

        Args:
            max_age_seconds: by name. None takes broker, feed, database and log_pipeline with two health check
                intervals (120 s); {} declares that there are none.
            clock: seconds, monotonic.

        Raises:
            ValueError: a maximum age is not above 0.
        """
        if max_age_seconds is None:
            max_age_seconds = _default_ages(MonitoringSettings().health_check_interval_seconds)
        if bad := [name for name, age in max_age_seconds.items() if not age > 0]:
            raise ValueError(f"the maximum age of {', '.join(bad)} must be above 0 seconds")
        self._lock = threading.RLock()
        self._clock = clock
        self._seen = {clean(name): _Seen(float(age)) for name, age in max_age_seconds.items()}

    @classmethod
    def every(cls, interval_seconds: float, *dependencies: str) -> Readiness:
        """Dependencies that are checked every `interval_seconds` and may miss one check; by default the four."""
        return cls(_default_ages(interval_seconds, dependencies or DEFAULT_DEPENDENCIES))

    def report(self, dependency: str, ok: bool = True, detail: str = "") -> bool:
        """Say what was just seen of a dependency. Never raises.

        Returns:
            False for a dependency that was not declared; the report is then of no effect.
        """
        try:
            good = bool(ok)
            reason = "" if good else clean(detail or "reported as failed")
            seen = self._seen.get(dependency)
        except Exception:  # noqa: BLE001 - foreign objects may raise from anything
            return False
        if seen is None:
            return False
        with self._lock:
            seen.ok, seen.detail = good, reason
            if good:
                seen.good_at = self._clock()
        return True

    def states(self) -> dict[str, DependencyState]:
        """All dependencies now."""
        with self._lock:
            now = self._clock()
            return {name: _state(seen, now) for name, seen in self._seen.items()}

    @property
    def ready(self) -> bool:
        """Whether every dependency is up."""
        return all(state.up for state in self.states().values())

    def collect(self) -> Iterator[Metric]:
        """`trading_dependency_up`, `_age_seconds` and `_max_age_seconds`, for prometheus_client."""
        up = Metric("trading_dependency_up", "1 when the last report was good and is not too old", "gauge")
        age = Metric("trading_dependency_age_seconds", "Seconds since the last good report", "gauge")
        limit = Metric("trading_dependency_max_age_seconds", "Age from which a dependency counts as down", "gauge")
        for name, state in self.states().items():
            labels = {"dependency": name}
            up.add_sample(up.name, labels, float(state.up))
            limit.add_sample(limit.name, labels, state.max_age_seconds)
            if state.age_seconds is not None:
                age.add_sample(age.name, labels, state.age_seconds)
        yield from (up, age, limit)


def _default_ages(interval_seconds: float, dependencies: tuple[str, ...] = DEFAULT_DEPENDENCIES) -> dict[str, float]:
    return dict.fromkeys(dependencies, 2 * interval_seconds)


def _state(seen: _Seen, now: float) -> DependencyState:
    age = None if seen.good_at is None else max(0.0, now - seen.good_at)
    stale = age is None or age > seen.max_age_seconds
    detail = seen.detail
    if seen.ok and stale:
        detail = f"last seen {age:.1f} s ago"
    return DependencyState(seen.ok and not stale, age, seen.max_age_seconds, detail)


class HealthChecker:
    """Runs a probe per dependency every `interval_seconds`, each in a thread of its own, and reports the outcome.

    A probe returns normally (or True) when all is well, and returns False or raises when not. One that hangs only makes
    its own dependency old.
    """

    def __init__(
        self,
        readiness: Readiness,
        probes: Mapping[str, Callable[[], object]],
        *,
        interval_seconds: float = MonitoringSettings().health_check_interval_seconds,
    ) -> None:
        """Take the probes, by dependency.

        Raises:
            ValueError: a probe is for a dependency that `readiness` does not have, or the interval is not above 0.
        """
        if unknown := sorted(set(probes) - set(readiness.states())):
            raise ValueError(f"no dependency {', '.join(unknown)}; there are {', '.join(readiness.states()) or 'none'}")
        if not interval_seconds > 0:
            raise ValueError("interval_seconds must be above 0")
        self._readiness = readiness
        self._probes = dict(probes)
        self._interval_seconds = interval_seconds
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> HealthChecker:
        """Probe at once and then every interval."""
        if not self._threads:
            self._threads = [
                threading.Thread(target=self._run, args=item, name=f"crowsnest-health-{item[0]}", daemon=True)
                for item in self._probes.items()
            ]
            for thread in self._threads:
                thread.start()
        return self

    def close(self, timeout_seconds: float = 2.0) -> None:
        """End probing; a probe that hangs is left behind."""
        self._ended.set()
        deadline = time.monotonic() + timeout_seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self, dependency: str, probe: Callable[[], object]) -> None:
        while not self._ended.is_set():
            try:
                failed = probe() is False
                detail = "the probe answered False" if failed else ""
            except Exception as error:  # noqa: BLE001 - a failing probe is an answer
                failed, detail = True, type(error).__name__
            self._readiness.report(dependency, not failed, detail)
            self._ended.wait(self._interval_seconds)
