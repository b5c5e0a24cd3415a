"""Logging to VictoriaLogs from a trading process: never blocking it, never losing a record uncounted.

>>> import logging
>>> from crowsnest.logs import VictoriaLogsHandler
>>> logging.getLogger().addHandler(VictoriaLogsHandler())
>>> logging.getLogger("strategy.ema_cross").info("order filled", extra={"order_id": "O-1", "price": 101.25})

`python -m crowsnest.logs recent` reads the records back.
"""

from __future__ import annotations

from crowsnest.logs._contract import DEFAULT_STREAM_FIELDS, DEFAULT_VICTORIALOGS_URL, VICTORIALOGS_URL_VARIABLE
from crowsnest.logs._handler import VictoriaLogsHandler
from crowsnest.logs._ledger import DropReason, HandlerStats

__all__ = [
    "DEFAULT_STREAM_FIELDS",
    "DEFAULT_VICTORIALOGS_URL",
    "VICTORIALOGS_URL_VARIABLE",
    "DropReason",
    "HandlerStats",
    "VictoriaLogsHandler",
]
