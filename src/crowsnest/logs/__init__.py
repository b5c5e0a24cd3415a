"""Logging to VictoriaLogs from a trading process: never blocking it, never losing a record uncounted.

>>> import logging
>>> from crowsnest.logs import VictoriaLogsHandler
>>> logging.getLogger().addHandler(VictoriaLogsHandler())
>>> logging.getLogger("strategy.ema_cross").info("order filled", extra={"order_id": "O-1", "price": 101.25})

`python -m crowsnest.logs recent` reads the records back.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from crowsnest.logs._contract import DEFAULT_STREAM_FIELDS, DEFAULT_VICTORIALOGS_URL, VICTORIALOGS_URL_VARIABLE
from crowsnest.logs._exit import drain_on_sigterm
from crowsnest.logs._handler import VictoriaLogsHandler
from crowsnest.logs._health import health
from crowsnest.logs._ledger import DropReason, HandlerStats

if TYPE_CHECKING:
    from crowsnest.logs.drops import DropRule
    from crowsnest.logs.redact import RedactionRules
    from crowsnest.logs.setup import LoggingSettings, LoggingSetup, LoggingStats, configure_logging

__all__ = [
    "DEFAULT_STREAM_FIELDS",
    "DEFAULT_VICTORIALOGS_URL",
    "VICTORIALOGS_URL_VARIABLE",
    "DropReason",
    "DropRule",
    "HandlerStats",
    "LoggingSettings",
    "LoggingSetup",
    "LoggingStats",
    "RedactionRules",
    "VictoriaLogsHandler",
    "configure_logging",
    "drain_on_sigterm",
    "health",
]

# Loaded when asked for: the handler alone needs neither structlog nor the time to import it.
_LATER = {
    "DropRule": "drops",
    "LoggingSettings": "setup",
    "LoggingSetup": "setup",
    "LoggingStats": "setup",
    "RedactionRules": "redact",
    "configure_logging": "setup",
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(f"crowsnest.logs.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
