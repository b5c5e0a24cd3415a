"""The log record contract: the names and limits that the library, VictoriaLogs and the dashboards agree on."""

from __future__ import annotations

import logging
from typing import Final

VICTORIALOGS_URL_VARIABLE: Final = "VICTORIALOGS_URL"
"""Environment variable that holds the base URL of VictoriaLogs."""

DEFAULT_VICTORIALOGS_URL: Final = "http://victorialogs:9428"
"""Base URL used when the environment names none; the only place in the package that holds it."""

DEFAULT_STREAM_FIELDS: Final = ("strategy_id", "source", "level")

NEVER_STREAM_FIELDS: Final = frozenset({"order_id", "instrument_id", "trace_id", "timestamp", "boot", "seq"})
"""Fields with a value per order, instrument or record: as stream fields they would explode the stream index."""

TIME_FIELD: Final = "_time"
MESSAGE_FIELD: Final = "_msg"

SOURCES: Final = frozenset({"strategy", "system", "container"})
"""Every value that `source` may take; it is a stream field, so the set is closed."""

STRATEGY_LOGGER: Final = "strategy"
"""Loggers of this name and below it have source `strategy`; what follows the dot is the strategy id."""

RESERVED_FIELDS: Final = frozenset({TIME_FIELD, MESSAGE_FIELD, "_stream", "_stream_id", "level", "boot", "seq"})
"""Fields that only the library may write; see `FREE_FIELD_PREFIX`."""

FREE_FIELD_PREFIX: Final = "field_"
"""A free field that would shadow a reserved one (or has an empty name) is kept under its name after this prefix."""

MAX_FIELD_NAME_BYTES: Final = 128
"""VictoriaLogs refuses records with a longer field name; longer names are cut here."""

MAX_LINE_BYTES: Final = 256 * 1024
"""VictoriaLogs' default `-insert.maxLineSizeBytes`: it skips longer lines and still answers 200."""


def level_name(levelno: int) -> str:
    """The contract's name for a numeric level: the nearest standard level at or below it, at least DEBUG.

    `level` is a stream field, so custom levels must not add values to it.
    """
    if levelno >= logging.CRITICAL:
        return "CRITICAL"
    if levelno >= logging.ERROR:
        return "ERROR"
    if levelno >= logging.WARNING:
        return "WARNING"
    if levelno >= logging.INFO:
        return "INFO"
    return "DEBUG"


def origin_of(logger_name: str) -> tuple[str, str | None]:
    """The `source` and the `strategy_id` (or None) that a logger's name implies.

    >>> origin_of("strategy.ema_cross.orders")
    ('strategy', 'ema_cross')
    >>> origin_of("strategyx")
    ('system', None)
    """
    parts = logger_name.split(".", 2)
    if parts[0] != STRATEGY_LOGGER:
        return "system", None
    return "strategy", parts[1] if len(parts) > 1 and parts[1] else None
