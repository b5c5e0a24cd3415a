"""The engine's settings: a typed tree read from the environment, unknown names refused."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

from crowsnest.logs import DEFAULT_VICTORIALOGS_URL, VICTORIALOGS_URL_VARIABLE

PREFIX = "CROWSNEST_ENGINE_"
STRATEGY_IDS = (
    *("ema_cross", "mean_reversion", "hourly_buy"),
    *("mean_reversion_latency", "hourly_buy_latency", "ema_cross_latency"),
)
# The five of the source: the two that trade, and three latency-instrumented variants.
DEFAULT_STRATEGY_IDS = ("mean_reversion", "hourly_buy", "mean_reversion_latency", "hourly_buy_latency", "ema_cross_latency")
MODES = ("replay", "sandbox")
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
    strategies: tuple[str, ...] = DEFAULT_STRATEGY_IDS
    progress_seconds: float = 5.0
    heartbeat_file: Path = Path(DEFAULT_HEARTBEAT_FILE)
    days: int = 0
    """Trading days of history to replay before starting over; 0 means all."""
    metrics_host: str = ""
    """Address on which metrics are served at the planes' ports; empty serves none. Whoever reaches it sees P&L."""
    max_loops: int = 0
    """Passes through the history before the engine ends; 0 means no end."""
    mode: str = "replay"
    """`replay` simulates time and venue; `sandbox` runs a live node whose venue is simulated."""
    logs_folder: Path | None = None
    """Where NautilusTrader writes its log as JSON lines; None writes no files."""
    database_url: str | None = None
    """PostgreSQL that orders, fills, positions and signals go to, and budgets come from; None keeps none."""
    database_password_file: Path | None = None
    spool_file: Path | None = None
    """File for rows that the database cannot take now; without it they wait in memory."""
    cap_usd: Decimal = Decimal(1_000_000)
    """Budget of a strategy that the database does not know."""

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


def _dollars(text: str) -> Decimal:
    try:
        dollars = Decimal(text)
    except InvalidOperation:
        raise ValueError("must be a number of dollars") from None
    if not dollars.is_finite() or dollars < 0 or dollars != dollars.quantize(Decimal("0.01")):
        raise ValueError("must be dollars and cents, not negative")
    return dollars


def _mode(text: str) -> str:
    if text not in MODES:
        raise ValueError(f"must be {' or '.join(MODES)}")
    return text


def _database(text: str) -> str:
    if not text.startswith("postgresql://"):
        raise ValueError("must look like postgresql://user@host:port/database")
    return text


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
    (PREFIX + "MODE", "mode", _mode),
    (PREFIX + "LOGS_FOLDER", "logs_folder", Path),
    (PREFIX + "DATABASE_URL", "database_url", _database),
    (PREFIX + "DATABASE_PASSWORD_FILE", "database_password_file", Path),
    (PREFIX + "SPOOL_FILE", "spool_file", Path),
    (PREFIX + "CAP_USD", "cap_usd", _dollars),
)

HELP = f"""\
environment variables:
  {VICTORIALOGS_URL_VARIABLE}                    base URL of VictoriaLogs (default {DEFAULT_VICTORIALOGS_URL})
  {PREFIX}BARS_PER_SECOND    replay speed, at least {_SLOWEST_BARS_PER_SECOND}; 0 is as fast as it can (default 20)
  {PREFIX}STRATEGIES         comma list of {", ".join(STRATEGY_IDS)}
                                      (default {", ".join(DEFAULT_STRATEGY_IDS)})
  {PREFIX}PROGRESS_SECONDS   seconds between progress lines on stdout (default 5)
  {PREFIX}HEARTBEAT_FILE     file touched while bars are processed (default {DEFAULT_HEARTBEAT_FILE})
  {PREFIX}METRICS_HOST       address to serve metrics on; empty serves none (default)
  {PREFIX}DAYS               trading days of history to replay, 0 is all (default 0)
  {PREFIX}MAX_LOOPS          passes through the history, 0 is no end (default 0)
  {PREFIX}MODE               {" or ".join(MODES)} (default replay)
  {PREFIX}LOGS_FOLDER        folder for NautilusTrader's log as JSON lines; empty writes none (default)
  {PREFIX}DATABASE_URL       postgresql://user@host:port/database for orders, fills, positions, signals; empty keeps none
  {PREFIX}DATABASE_PASSWORD_FILE  file with its password
  {PREFIX}SPOOL_FILE         file for rows that the database cannot take now; empty keeps them in memory
  {PREFIX}CAP_USD            budget of a strategy that the database does not know (default 1000000)
"""
