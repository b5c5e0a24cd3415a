"""The engine's settings: a typed tree read from the environment, unknown names refused."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from crowsnest.logs import DEFAULT_VICTORIALOGS_URL, VICTORIALOGS_URL_VARIABLE

PREFIX = "CROWSNEST_ENGINE_"
STRATEGY_IDS = ("ema_cross", "mean_reversion")
DEFAULT_HEARTBEAT_FILE = "/tmp/heartbeat"  # noqa: S108 - a tmpfs of the container, which is read-only otherwise

# The replay works in trading days of up to five bars and beats once a day, so slower ones would look dead.
_SLOWEST_BARS_PER_SECOND = 0.5


class SettingsError(ValueError):
    """A setting is unknown or has no usable value; the text names the variable."""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What the engine does; the defaults are those of the demo."""

    victorialogs_url: str = DEFAULT_VICTORIALOGS_URL
    bars_per_second: float = 20.0
    """Replay speed in wall-clock time; 0 means as fast as it can."""
    strategies: tuple[str, ...] = STRATEGY_IDS
    progress_seconds: float = 5.0
    heartbeat_file: Path = Path(DEFAULT_HEARTBEAT_FILE)
    days: int = 0
    """Trading days of history to replay before starting over; 0 means all."""
    metrics_host: str = ""
    """Address on which metrics are served at the planes' ports; empty serves none. Whoever reaches it sees P&L."""
    max_loops: int = 0
    """Passes through the history before the engine ends; 0 means no end."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> EngineSettings:
        """Read the settings; an empty variable counts as not set.

        Raises:
            SettingsError: a variable named `CROWSNEST_ENGINE_*` is unknown, or a value is not usable.
        """
        known = {variable for variable, _, _ in _VARIABLES}
        unknown = sorted(name for name in environment if name.startswith(PREFIX) and name not in known)
        if unknown:
            raise SettingsError(f"unknown variable {', '.join(unknown)}; known are {', '.join(sorted(known))}")
        values: dict[str, object] = {}
        for variable, field, parse in _VARIABLES:
            if text := environment.get(variable, "").strip():
                try:
                    values[field] = parse(text)
                except ValueError as error:
                    raise SettingsError(f"{variable}={text!r}: {error}") from None
        return cls(**values)  # type: ignore[arg-type]


def _speed(text: str) -> float:
    speed = _number(text)
    if speed != 0 and speed < _SLOWEST_BARS_PER_SECOND:
        raise ValueError(f"must be 0 (as fast as it can) or at least {_SLOWEST_BARS_PER_SECOND}")
    return speed


def _interval_seconds(text: str) -> float:
    seconds = _number(text)
    if seconds < 0.1:
        raise ValueError("must be at least 0.1 seconds")
    return seconds


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ValueError("must be a number") from None
    if not math.isfinite(number) or number < 0:
        raise ValueError("must be a finite number, not negative")
    return number


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError("must be a whole number, not negative")
    return int(text)


def _strategies(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in STRATEGY_IDS:
            raise ValueError(f"unknown strategy {name!r}; known are {', '.join(STRATEGY_IDS)}")
    if len(set(names)) != len(names):
        raise ValueError("names a strategy twice")
    return names


_VARIABLES: tuple[tuple[str, str, Callable[[str], object]], ...] = (
    (VICTORIALOGS_URL_VARIABLE, "victorialogs_url", str),
    (PREFIX + "BARS_PER_SECOND", "bars_per_second", _speed),
    (PREFIX + "STRATEGIES", "strategies", _strategies),
    (PREFIX + "PROGRESS_SECONDS", "progress_seconds", _interval_seconds),
    (PREFIX + "HEARTBEAT_FILE", "heartbeat_file", Path),
    (PREFIX + "METRICS_HOST", "metrics_host", str),
    (PREFIX + "DAYS", "days", _count),
    (PREFIX + "MAX_LOOPS", "max_loops", _count),
)

HELP = f"""\
environment variables:
  {VICTORIALOGS_URL_VARIABLE}                    base URL of VictoriaLogs (default {DEFAULT_VICTORIALOGS_URL})
  {PREFIX}BARS_PER_SECOND    replay speed, at least {_SLOWEST_BARS_PER_SECOND}; 0 is as fast as it can (default 20)
  {PREFIX}STRATEGIES         comma list of {", ".join(STRATEGY_IDS)} (default all)
  {PREFIX}PROGRESS_SECONDS   seconds between progress lines on stdout (default 5)
  {PREFIX}HEARTBEAT_FILE     file touched while bars are processed (default {DEFAULT_HEARTBEAT_FILE})
  {PREFIX}METRICS_HOST       address to serve metrics on; empty serves none (default)
  {PREFIX}DAYS               trading days of history to replay, 0 is all (default 0)
  {PREFIX}MAX_LOOPS          passes through the history, 0 is no end (default 0)
"""
