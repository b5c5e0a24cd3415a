"""Which `boot`, `seq` and `_time` a record has in VictoriaLogs: what makes a file line comparable with the store."""

from __future__ import annotations

import logging
import threading
import time
from typing import NamedTuple

from crowsnest.logs._capture import identity_of
from crowsnest.logs._handler import VictoriaLogsHandler


class Stamp(NamedTuple):
    """Identity of an accepted record, and its time.

    The handler stamps its own time a few microseconds earlier. Both rise strictly with `seq`, and the time of one
    record here is below the handler's of the next: a record filled in later stands in its place.
    """

    boot: str
    seq: int
    time_ns: int


class Stamper:
    """Hands records to a handler, one at a time, and says which stamp each got."""

    def __init__(self, handler: VictoriaLogsHandler) -> None:
        self.handler = handler
        # Re-entrant: a signal handler may log in the middle of `send`.
        self._lock = threading.RLock()
        self._last_time_ns = 0

    def renew_lock(self) -> None:
        """In a forked child: another thread of the parent may have held the lock."""
        self._lock = threading.RLock()

    def send(self, record: logging.LogRecord) -> Stamp | None:
        """Have the handler take `record`; None when it did not, or not yet."""
        with self._lock:
            self.handler.handle(record)
            identity = identity_of(record)
            if identity is None:
                return None
            self._last_time_ns = max(time.time_ns(), self._last_time_ns + 1)
            return Stamp(*identity, self._last_time_ns)
