"""The channel that is always there: every alert, each repeat of it included, as a log record of the logger given here.

It writes on the caller's thread, as any log call of the caller does: the record is in order with the others, and there even
if the process dies in the next moment.
"""

# ruff: noqa: BLE001 - a handler of the user may raise anything
from __future__ import annotations

import logging
import threading
from collections import deque
from types import MappingProxyType
from typing import Final

from crowsnest.alerts._alert import Alert, AlertSeverity
from crowsnest.alerts._ledger import ChannelStats, DropReason
from crowsnest.alerts._note import nesting

LOGGER_NAME: Final = "crowsnest.alerts"

_LEVELS: Final = {
    AlertSeverity.CRITICAL: logging.CRITICAL,
    AlertSeverity.WARNING: logging.WARNING,
    AlertSeverity.INFO: logging.INFO,
}
_FOLD_AT: Final = 1_000


class AlertLog:
    """Writes alerts to the logger `crowsnest.alerts`; `delivered` means handed to `logging`."""

    def __init__(self) -> None:
        self._logger = logging.getLogger(LOGGER_NAME)
        # Appending is atomic, also when a signal handler interrupts it; adding to a counter is not.
        self._outcomes: deque[DropReason | None] = deque()
        self._lock = threading.RLock()
        self._folding = False
        self._delivered = 0
        self._dropped = dict.fromkeys(DropReason, 0)
        self._last_error: str | None = None

    def write(self, alert: Alert) -> None:
        """Log an alert; never raises."""
        nesting.depth += 1
        try:
            text = f"{alert.title}: {alert.message}" if alert.message else alert.title
            fields = {
                "component": "alerts",
                "alert": alert.title,
                "severity": alert.severity.value,
                "alert_metadata": dict(alert.metadata),
            }
            self._logger.log(_LEVELS[alert.severity], "%s", text, extra=fields)
            self._outcomes.append(None)
        except Exception as error:
            self._last_error = type(error).__name__
            self._outcomes.append(DropReason.SENDER_ERROR)
        finally:
            nesting.depth -= 1
        if len(self._outcomes) >= _FOLD_AT:
            self._fold()

    def refuse(self, reason: DropReason) -> None:
        """Account for an alert that is not logged."""
        self._outcomes.append(reason)

    def _fold(self) -> None:
        with self._lock:
            if self._folding:
                return
            self._folding = True
            try:
                while self._outcomes:
                    reason = self._outcomes.popleft()
                    if reason is None:
                        self._delivered += 1
                    else:
                        self._dropped[reason] += 1
            finally:
                self._folding = False

    def stats(self) -> ChannelStats:
        """A snapshot; an alert counts from when it is written."""
        with self._lock:
            self._fold()
            failed = self._dropped[DropReason.SENDER_ERROR]
            return ChannelStats(
                accepted=self._delivered + sum(self._dropped.values()),
                delivered=self._delivered,
                grouped=0,
                deduplicated=0,
                dropped=MappingProxyType({reason.value: count for reason, count in self._dropped.items()}),
                queued=0,
                in_flight=0,
                attempts=self._delivered + failed,
                failed_attempts=failed,
                last_error=self._last_error,
            )
