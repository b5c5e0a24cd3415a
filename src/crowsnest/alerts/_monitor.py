"""`ThresholdMonitor`: values against the table of thresholds, and an alert for each step up and each way back."""

# ruff: noqa: BLE001 - nothing may be raised into a trading thread
from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from crowsnest.alerts._alert import AlertSeverity
from crowsnest.alerts._note import note
from crowsnest.alerts.thresholds import THRESHOLDS, Level, Threshold

_MAX_SUBJECTS: Final = 1_000
_SEVERITIES: Final = {
    Level.OK: AlertSeverity.INFO,
    Level.INFO: AlertSeverity.INFO,
    Level.WARNING: AlertSeverity.WARNING,
    Level.CRITICAL: AlertSeverity.CRITICAL,
    Level.BREAKER: AlertSeverity.CRITICAL,
}
_NAMES: Final = {Level.INFO: "Notice", Level.WARNING: "Warning", Level.CRITICAL: "Critical", Level.BREAKER: "Circuit Breaker"}


class SendsAlerts(Protocol):
    """What the monitor needs of an `AlertManager`."""

    def send(
        self,
        severity: AlertSeverity,
        title: str,
        message: str = "",
        metadata: Mapping[str, object] | None = None,
        *,
        fingerprint: str | None = None,
    ) -> bool:
        """Send an alert without blocking or raising."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What an observation led to."""

    name: str
    subject: str
    value: float
    level: Level
    """The level that holds now; it lags behind the value on the way back (hysteresis, relapses)."""
    previous: Level
    severity: AlertSeverity | None = None
    """Of the alert that was sent; None if none was."""
    title: str = ""
    message: str = ""
    problem: str | None = None
    """Why the value was not evaluated; the level then stays as it was."""

    @property
    def changed(self) -> bool:
        """Whether the level changed."""
        return self.level is not self.previous

    @property
    def breaker(self) -> bool:
        """Whether the circuit breaker's bound is reached. Stopping to trade is the strategy's part."""
        return self.level is Level.BREAKER


@dataclass(slots=True)
class _Watch:
    """State of one threshold and subject."""

    level: Level = Level.OK
    value: float = math.nan
    lowered_at: float = -math.inf
    relapsed: bool = False
    better_since: float | None = None
    """Since when values ask for a lower level; None while they do not."""
    better_worst: Level = Level.OK
    """The highest level asked for since then."""
    steps: int = 0
    not_a_number: bool = False


class ThresholdMonitor:
    """Evaluates observed values and sends an alert whenever a level changes.

    Upwards at once, whatever the severity: INFO → WARNING → CRITICAL, levels in between may be skipped. Downwards when the
    value is back by the threshold's hysteresis, with an INFO alert that says so. A level that comes back within
    `relapse_window_seconds` of having been over is reported at once, but then counts as over only after it was for that
    long: however often a value flaps around a bound, a window brings two alerts (the first three). `tick` ends such a
    wait when nothing is observed any more; every `observe` does it as well.

    Thread-safe; neither method raises.

    Args:
        alerts: gets the alerts; None only decides.
        thresholds: rows to evaluate.
        relapse_window_seconds: see above.
        clock: seconds, rising.

    Raises:
        ValueError: two rows have the same name, or the window is negative.
    """

    def __init__(
        self,
        alerts: SendsAlerts | None = None,
        *,
        thresholds: Iterable[Threshold] = THRESHOLDS,
        relapse_window_seconds: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not relapse_window_seconds >= 0:
            raise ValueError(f"relapse_window_seconds must be at least 0, got {relapse_window_seconds!r}")
        self._alerts = alerts
        self._window = relapse_window_seconds
        self._clock = clock
        self._rows: dict[str, Threshold] = {}
        for row in thresholds:
            for name in (row.name, row.metric):
                if name is not None and name in self._rows:
                    raise ValueError(f"two thresholds are called {name!r}")
                if name is not None:
                    self._rows[name] = row
        self._watches: dict[tuple[str, str], _Watch] = {}
        self._lock = threading.RLock()

    def observe(self, name: str, value: float, *, subject: str = "") -> Decision:
        """Evaluate a value.

        Args:
            name: a threshold's name, or its metric's.
            value: in the metric's unit; a bool counts as 1 or 0.
            subject: whose value it is (a strategy, a broker, a model), where there are several.
        """
        try:
            return self._observe(name, value, str(subject))
        except Exception as error:
            note("observe", f"threshold {name!r} not evaluated: {type(error).__name__}")
            return Decision(str(name), str(subject), math.nan, Level.OK, Level.OK, problem=type(error).__name__)

    def tick(self) -> list[Decision]:
        """End the waits that are over; return the levels that changed by it."""
        try:
            return self._tick()
        except Exception as error:
            note("observe", f"thresholds not evaluated: {type(error).__name__}")
            return []

    def level(self, name: str, *, subject: str = "") -> Level:
        """The level that holds now; OK for what was never observed."""
        row = self._rows.get(name)
        with self._lock:
            watch = self._watches.get((row.name if row is not None else name, subject))
            return watch.level if watch is not None else Level.OK

    def _observe(self, name: str, value: float, subject: str) -> Decision:
        row = self._rows.get(name)
        if row is None:
            note(f"threshold.{name}", f"no threshold is called {name!r}")
            return Decision(name, subject, math.nan, Level.OK, Level.OK, problem="no such threshold")
        number = float(value)
        self._tick(without=(row.name, subject))
        with self._lock:
            watch = self._watch(row.name, subject)
            previous = watch.level
            if math.isnan(number):
                decision = self._not_a_number(row, subject, watch)
            else:
                watch.value, watch.not_a_number = number, False
                self._move(row, watch, number, self._clock())
                decision = self._decision(row, subject, watch, previous)
            steps = watch.steps
        self._send(decision, row, steps)
        return decision

    def _watch(self, name: str, subject: str) -> _Watch:
        watch = self._watches.get((name, subject))
        if watch is None:
            if len(self._watches) >= _MAX_SUBJECTS:
                note("subjects", f"more than {_MAX_SUBJECTS} subjects are watched; some are forgotten")
                self._watches = {key: old for key, old in self._watches.items() if old.level is not Level.OK}
                while len(self._watches) >= _MAX_SUBJECTS:
                    del self._watches[next(iter(self._watches))]
            watch = self._watches[name, subject] = _Watch()
        return watch

    def _move(self, row: Threshold, watch: _Watch, value: float, now: float) -> None:
        reached = row.level(value)
        if reached > watch.level:
            watch.relapsed = now - watch.lowered_at < self._window
            watch.level, watch.better_since = reached, None
            watch.steps += 1
            return
        held = min(watch.level, row.level(value, row.hysteresis))
        if held is watch.level:
            watch.better_since = None
            return
        if watch.better_since is None:
            watch.better_since, watch.better_worst = now, held
        watch.better_worst = max(watch.better_worst, held)
        self._lower(watch, held, now)

    def _lower(self, watch: _Watch, held: Level, now: float) -> None:
        """Lower the level if it may be: at once, or after a relapse to the highest level of a whole window."""
        if watch.better_since is None:
            return
        if watch.relapsed and now - watch.better_since < self._window:
            return
        watch.level = watch.better_worst if watch.relapsed else held
        watch.better_since, watch.relapsed, watch.lowered_at = None, False, now
        watch.steps += 1

    def _tick(self, without: tuple[str, str] | None = None) -> list[Decision]:
        now = self._clock()
        changed: list[tuple[Decision, Threshold, int]] = []
        with self._lock:
            for (name, subject), watch in self._watches.items():
                if watch.better_since is None or (name, subject) == without:
                    continue
                previous, row = watch.level, self._rows[name]
                self._lower(watch, watch.better_worst, now)
                if watch.level is not previous:
                    changed.append((self._decision(row, subject, watch, previous), row, watch.steps))
        for decision, row, steps in changed:
            self._send(decision, row, steps)
        return [decision for decision, _, _ in changed]

    def _not_a_number(self, row: Threshold, subject: str, watch: _Watch) -> Decision:
        """A NaN compares as harmless with every bound; it must not pass for a recovery."""
        first, watch.not_a_number = not watch.not_a_number, True
        watch.steps += first
        return Decision(
            row.name,
            subject,
            math.nan,
            watch.level,
            watch.level,
            severity=AlertSeverity.WARNING if first else None,
            title=f"{row.title} Unknown" if first else "",
            message="The value is not a number; the threshold is not watched." if first else "",
            problem="not a number",
        )

    def _decision(self, row: Threshold, subject: str, watch: _Watch, previous: Level) -> Decision:
        level = watch.level
        if level is previous:
            return Decision(row.name, subject, watch.value, level, previous)
        text = row.text.format(value=_shown(watch.value, row.unit))
        if level > previous:
            bound = row.bounds[level]
            title = bound.title or f"{row.title} {_NAMES[level]}"
            message = f"{text} ({bound.note})" if bound.note else text
            severity = _SEVERITIES[level]
        else:
            title = f"{row.title} {'Recovered' if level is Level.OK else 'Improved'}"
            message = f"{text} (was {_NAMES[previous].lower()}{'' if level is Level.OK else f', now {_NAMES[level].lower()}'})"
            severity = AlertSeverity.INFO
        return Decision(row.name, subject, watch.value, level, previous, severity, title, message)

    def _send(self, decision: Decision, row: Threshold, steps: int) -> None:
        if decision.severity is None or self._alerts is None:
            return
        metadata: dict[str, object] = {"threshold": row.name}
        if decision.subject:
            metadata["subject"] = decision.subject
        # every step is news: the manager must not take a relapse for a repeat of what was reported as over
        fingerprint = f"threshold\0{row.name}\0{decision.subject}\0{steps}\0{id(self)}"
        self._alerts.send(decision.severity, decision.title, decision.message, metadata, fingerprint=fingerprint)


def _shown(value: float, unit: str) -> str:
    if unit == "bool":
        return "yes" if value > 0 else "no"
    return f"{value:.10g}"
