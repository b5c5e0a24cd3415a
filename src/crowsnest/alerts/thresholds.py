"""The one table of thresholds: what is watched, where each bound lies, and on which side of it an alert begins.

Pure data, without a dependency: `ThresholdMonitor` evaluates it in the trading process, rules and dashboards are generated
from it. A bound is exactly the source's: "> 5 %" excludes 5, "2 used" and "trips at 10 %" include the number.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Final

_OPERATORS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


class Level(IntEnum):
    """How far a value has gone."""

    OK = 0
    INFO = 1
    WARNING = 2
    CRITICAL = 3
    BREAKER = 4
    """The circuit breaker trips: trading has to stop. Reported as CRITICAL."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A bound and the side of it that is bad. `note` says what it means, for people."""

    comparison: str
    value: float
    note: str = ""
    title: str = ""
    """Title of the alert, where the row's title and the level do not say it best."""

    def __post_init__(self) -> None:
        if self.comparison not in _OPERATORS:
            raise ValueError(f"comparison must be one of {', '.join(_OPERATORS)}, got {self.comparison!r}")

    def is_crossed(self, value: float, slack: float = 0.0) -> bool:
        """Whether `value` is on the bad side; `slack` moves the bound towards the good side."""
        towards_good = -slack if self.comparison.startswith(">") else slack
        return _OPERATORS[self.comparison](value, self.value + towards_good)


@dataclass(frozen=True, slots=True)
class Threshold:
    """A row of the table. Units are those of the metric; bounds get stricter from `info` to `breaker`."""

    name: str
    """What `ThresholdMonitor.observe` calls it."""
    title: str
    text: str
    """What is the case, with `{value}`."""
    metric: str | None = None
    """The Prometheus metric of the same value; None where no source names one."""
    unit: str = ""
    info: Bound | None = None
    warning: Bound | None = None
    critical: Bound | None = None
    breaker: Bound | None = None
    hysteresis: float = 0.0
    """How far back over a bound a value must come before its level is over."""
    source: str = ""
    """Where the numbers come from."""

    def __post_init__(self) -> None:
        bounds = list(self.bounds.values())
        if not bounds:
            raise ValueError(f"threshold {self.name!r} has no bound")
        if len({bound.comparison[0] for bound in bounds}) > 1:
            raise ValueError(f"threshold {self.name!r} compares in both directions")
        values = [bound.value for bound in bounds]
        if values != sorted(values, reverse=bounds[0].comparison.startswith("<")):
            raise ValueError(f"threshold {self.name!r}: a more severe bound is easier to reach")
        if not self.hysteresis >= 0:
            raise ValueError(f"threshold {self.name!r}: hysteresis must be at least 0")

    @property
    def bounds(self) -> Mapping[Level, Bound]:
        """The bounds there are, by level, the mildest first."""
        every = {
            Level.INFO: self.info,
            Level.WARNING: self.warning,
            Level.CRITICAL: self.critical,
            Level.BREAKER: self.breaker,
        }
        return MappingProxyType({level: bound for level, bound in every.items() if bound is not None})

    def level(self, value: float, slack: float = 0.0) -> Level:
        """The highest level whose bound `value` has crossed, each bound moved by `slack` towards the good side."""
        return max((level for level, bound in self.bounds.items() if bound.is_crossed(value, slack)), default=Level.OK)

    def as_row(self) -> dict[str, object]:
        """The row as plain JSON types."""
        return {
            "name": self.name,
            "title": self.title,
            "metric": self.metric,
            "unit": self.unit,
            "bounds": {
                level.name.lower(): {
                    "comparison": bound.comparison,
                    "value": bound.value,
                    "title": bound.title,
                    "note": bound.note,
                }
                for level, bound in self.bounds.items()
            },
            "hysteresis": self.hysteresis,
            "source": self.source,
        }


THRESHOLDS: Final[tuple[Threshold, ...]] = (
    Threshold(
        name="pdt_trades_used",
        title="PDT",
        text="{value} day trades used",
        metric="trading_pdt_trades_used",
        warning=Bound(">=", 2, "1 remaining"),
        critical=Bound(">=", 3, "limit reached"),
        source="S3-33",
    ),
    Threshold(
        name="drawdown_pct",
        title="Drawdown",
        text="Drawdown is {value} %",
        metric="trading_portfolio_drawdown_pct",
        unit="percent",
        warning=Bound(">", 5, "above 5 %"),
        critical=Bound(">", 8, "above 8 %; the circuit breaker trips at 10 %"),
        breaker=Bound(">=", 10, "the circuit breaker trips at 10 %"),
        hysteresis=0.25,
        source="S3-34",
    ),
    Threshold(
        name="daily_pnl_pct",
        title="Daily Loss",
        text="Daily P&L is {value} %",
        metric="trading_portfolio_daily_pnl_pct",
        unit="percent",
        warning=Bound("<", -2, "below -2 %"),
        critical=Bound("<", -2.5, "below -2.5 %; the circuit breaker trips at -3 %"),
        breaker=Bound("<=", -3, "the circuit breaker trips at -3 %"),
        hysteresis=0.1,
        source="S3-35",
    ),
    Threshold(
        name="psi_drift",
        title="Model Drift",
        text="PSI is {value}",
        metric="trading_ml_psi_drift",
        warning=Bound(">", 0.1, "above 0.1"),
        critical=Bound(">", 0.2, "above 0.2; retraining required"),
        hysteresis=0.01,
        source="S3-36",
    ),
    Threshold(
        name="kill_switch_active",
        title="Kill Switch",
        text="Kill switch active: {value}",
        metric="trading_kill_switch_active",
        unit="bool",
        critical=Bound(">", 0, "trading halted", "Kill Switch Activated"),
        source="S3-37",
    ),
    Threshold(
        name="broker_connected",
        title="Broker Connection",
        text="Broker connected: {value}",
        unit="bool",
        critical=Bound("<", 1, "connection lost", "Broker Disconnected"),
        source="S3-37",
    ),
    Threshold(
        name="feed_connected",
        title="Feed Connection",
        text="Market feed connected: {value}",
        unit="bool",
        critical=Bound("<", 1, "connection lost", "Feed Disconnected"),
        source="S3-37",
    ),
    Threshold(
        name="vix",
        title="VIX",
        text="VIX is {value}",
        metric="trading_vix",
        breaker=Bound(">", 35, "circuit breaker: VIX > 35"),
        hysteresis=1.0,
        source="S3-38",
    ),
)
"""Every threshold of the source (S3-33 to S3-38)."""


def as_rows() -> list[dict[str, object]]:
    """The table as plain JSON types, for rules and dashboards."""
    return [threshold.as_row() for threshold in THRESHOLDS]
