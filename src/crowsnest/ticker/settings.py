"""The price process's settings: read from the environment, unknown names refused."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

PREFIX = "CROWSNEST_TICKER_"
LOG_FILE_VARIABLE = "LOG_FILE_NAME"
"""The source's own name for it."""
DEFAULT_HEARTBEAT_FILE = "/tmp/heartbeat"  # noqa: S108 - a tmpfs of the container, which is read-only otherwise

Prices = Literal["bars", "walk"]
Format = Literal["json", "plain"]
Rotation = Literal["segments", "rename"]

# Beats once a price, and is taken for dead after half a minute.
_LONGEST_INTERVAL_SECONDS = 10.0


class SettingsError(ValueError):
    """A setting is unknown or has no usable value; the text names the variable."""


@dataclass(frozen=True, slots=True)
class TickerSettings:
    """What the process does; the defaults are the source's where it has one."""

    log_file: Path
    prices: Prices = "bars"
    """Closing prices of five real shares, day after day, or the source's random walk from 100."""
    interval_seconds: float = 0.5
    """Pause after each price; 0 means none."""
    format: Format = "json"
    """``plain`` is the first step of the source: a price a line, for people."""
    rotation: Rotation = "segments"
    """``segments``: no file name is used twice, see `crowsnest.ticker.segments`. ``rename``: Python's own rotation."""
    segment_mb: float = 16.0
    segments: int = 8
    """Files that are kept, the one that is written among them."""
    prices_logged: int = 0
    """Prices before the process ends; 0 means no end."""
    seed: int | None = None
    """Of the random walk."""
    heartbeat_file: Path = Path(DEFAULT_HEARTBEAT_FILE)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> TickerSettings:
        """Read the settings; an empty variable counts as not set.

        Raises:
            SettingsError: ``LOG_FILE_NAME`` is missing, a variable named ``CROWSNEST_TICKER_*`` is unknown, or a value is not
                usable.
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
        if "log_file" not in values:
            raise SettingsError(f"{LOG_FILE_VARIABLE} is needed: the file to log to, such as /var/log/trader/trader.logs")
        return cls(**values)  # type: ignore[arg-type]


def _file(text: str) -> Path:
    path = Path(text)
    if not path.is_absolute():
        raise ValueError("must be an absolute path")
    return path


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text

    return parse


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ValueError("must be a number") from None
    if not math.isfinite(number) or number < 0:
        raise ValueError("must be a finite number, not negative")
    return number


def _interval_seconds(text: str) -> float:
    seconds = _number(text)
    if seconds > _LONGEST_INTERVAL_SECONDS:
        raise ValueError(f"must be at most {_LONGEST_INTERVAL_SECONDS:g}")
    return seconds


def _megabytes(text: str) -> float:
    megabytes = _number(text)
    if megabytes < 0.01:
        raise ValueError("must be at least 0.01")
    return megabytes


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError("must be a whole number, not negative")
    return int(text)


def _files(text: str) -> int:
    count = _count(text)
    if count < 2:
        raise ValueError("must be at least 2: one to write, one for who reads behind")
    return count


_VARIABLES: tuple[tuple[str, str, Callable[[str], object]], ...] = (
    (LOG_FILE_VARIABLE, "log_file", _file),
    (PREFIX + "PRICES", "prices", _one_of(*get_args(Prices))),
    (PREFIX + "INTERVAL_SECONDS", "interval_seconds", _interval_seconds),
    (PREFIX + "FORMAT", "format", _one_of(*get_args(Format))),
    (PREFIX + "ROTATION", "rotation", _one_of(*get_args(Rotation))),
    (PREFIX + "SEGMENT_MB", "segment_mb", _megabytes),
    (PREFIX + "SEGMENTS", "segments", _files),
    (PREFIX + "PRICES_LOGGED", "prices_logged", _count),
    (PREFIX + "SEED", "seed", _count),
    (PREFIX + "HEARTBEAT_FILE", "heartbeat_file", _file),
)

HELP = f"""\
environment variables:
  {LOG_FILE_VARIABLE}                      file to log to; needed
  {PREFIX}PRICES            bars: real closing prices of five shares (default); walk: random, from 100
  {PREFIX}INTERVAL_SECONDS  pause after each price, 0 is none (default 0.5)
  {PREFIX}FORMAT            json (default), or plain: `price 101.5`
  {PREFIX}ROTATION          segments (default), or rename: Python's own
  {PREFIX}SEGMENT_MB        size at which a new file is begun (default 16)
  {PREFIX}SEGMENTS          files that are kept (default 8)
  {PREFIX}PRICES_LOGGED     prices before it ends, 0 is no end (default 0)
  {PREFIX}SEED              of the random walk (default: another each time)
  {PREFIX}HEARTBEAT_FILE    file touched while prices are logged (default {DEFAULT_HEARTBEAT_FILE})
"""
