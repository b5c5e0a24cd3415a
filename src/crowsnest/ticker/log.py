"""The logger of the source, with what makes loss provable: ``run_id`` and ``seq``."""

from __future__ import annotations

import itertools
import logging
import logging.handlers
import secrets
from collections.abc import MutableMapping
from typing import Any

import structlog

from crowsnest.ticker.segments import SegmentedFileHandler
from crowsnest.ticker.settings import TickerSettings


class Numbered:
    """A processor that adds the run's id and the record's number: 1, 2, 3, … over all events of the run."""

    def __init__(self) -> None:
        self.run_id = secrets.token_hex(8)
        self._numbers = itertools.count(1)

    def __call__(self, _logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Number one record."""
        event["run_id"] = self.run_id
        event["seq"] = next(self._numbers)
        return event


def configure(settings: TickerSettings) -> tuple[Any, Numbered]:
    """Configure the root logger as the source does, to the console and to the file, and wrap it.

    Returns:
        The structured logger, and what numbers its records.

    Raises:
        OSError: the log file cannot be made.
    """
    root = logging.getLogger()
    root.setLevel(logging.DEBUG)
    root.addHandler(logging.StreamHandler())
    root.addHandler(file_handler(settings))
    numbered = Numbered()
    structlog.configure_once(
        processors=[
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            numbered,
            structlog.processors.JSONRenderer(),
        ],
    )
    return structlog.wrap_logger(root), numbered


def file_handler(settings: TickerSettings) -> logging.Handler:
    """The handler of the log file, by the chosen way of rotation.

    Raises:
        OSError: the log file cannot be made.
    """
    size = int(settings.segment_mb * 1_000_000)
    if settings.rotation == "segments":
        return SegmentedFileHandler(settings.log_file, segment_bytes=size, segments=settings.segments)
    return logging.handlers.RotatingFileHandler(settings.log_file, maxBytes=size, backupCount=settings.segments - 1)
