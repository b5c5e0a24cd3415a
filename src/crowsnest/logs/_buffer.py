"""The bounded queue between the threads that log and the sender, and the exact ledger of what passes through it.

Everything is changed under one lock that is held for a few bytecodes, never across I/O or code of the user. The lock
can still be met by its own holder: a signal handler or a finaliser may log in the middle of `put`. Such a record is
parked and admitted a moment later, instead of deadlocking (a plain lock) or interleaving (a re-entrant lock alone).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from types import MappingProxyType
from typing import TypeAlias

from crowsnest.logs._contract import MAX_LINE_BYTES
from crowsnest.logs._ledger import DropReason, HandlerStats

LINE_HEAD_BYTES = 128
"""Room kept for what the sender puts before a body: `_time`, `boot` and `seq`."""

ENTRY_OVERHEAD_BYTES = 160
"""Memory of a queued entry besides its body (tuple, integers, bytes header, deque slot), counted as queued bytes."""


Entry: TypeAlias = tuple[int, int, bytes]
"""An accepted record: `seq`, time in ns since the epoch, body. A plain tuple: one is made for every logging call."""


class RecordBuffer:
    """Queue of encoded records, bounded by count and bytes; when full, the oldest make room (`overflow`).

    Counts are exact under any interleaving of threads:
    accepted = delivered + dropped + queued + in flight.
    """

    def __init__(self, *, boot: str, max_records: int, max_bytes: int, wake_records: int, wake_bytes: int) -> None:
        self.boot = boot
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._wake_records = wake_records
        self._wake_bytes = wake_bytes
        self._lock = threading.RLock()
        self._busy = False
        self._parked: deque[bytes | DropReason] = deque()
        self._queue: deque[Entry] = deque()
        self._queued_bytes = 0
        self._last_seq = 0
        self._last_time_ns = 0
        self._delivered = 0
        self._in_flight = 0
        self._dropped = dict.fromkeys(DropReason, 0)
        self._wake_asked = False
        self._sealed = False
        self._abandoned = False

    def put(self, body: bytes | DropReason) -> bool:
        """Accept a record: its encoded body, or the reason why it is dropped right away.

        Returns:
            Whether the sender should be woken now rather than at its next interval.
        """
        with self._lock:
            if self._busy:
                self._parked.append(body)
                return False
            self._busy = True
            try:
                self._admit(body)
                if self._parked:
                    self._admit_parked()
            finally:
                self._busy = False
            if self._wake_asked or (len(self._queue) < self._wake_records and self._queued_bytes < self._wake_bytes):
                return False
            self._wake_asked = True
            return True

    def _admit(self, body: bytes | DropReason) -> None:
        self._last_seq = seq = self._last_seq + 1
        now_ns = time.time_ns()
        if now_ns <= self._last_time_ns:  # the clock stood still or was set back; tails skip equal timestamps
            now_ns = self._last_time_ns + 1
        self._last_time_ns = now_ns
        if isinstance(body, DropReason):
            self._dropped[body] += 1
            return
        size_bytes = len(body) + ENTRY_OVERHEAD_BYTES
        if self._sealed:
            self._dropped[DropReason.SHUTDOWN] += 1
        elif len(body) + LINE_HEAD_BYTES > MAX_LINE_BYTES or size_bytes > self._max_bytes:
            self._dropped[DropReason.TOO_LARGE] += 1
        else:
            self._queue.append((seq, now_ns, body))
            self._queued_bytes += size_bytes
            while len(self._queue) > self._max_records or self._queued_bytes > self._max_bytes:
                self._queued_bytes -= len(self._queue.popleft()[2]) + ENTRY_OVERHEAD_BYTES
                self._dropped[DropReason.OVERFLOW] += 1

    def _admit_parked(self) -> None:
        while self._parked:
            self._admit(self._parked.popleft())

    def take(self, *, max_records: int, max_bytes: int) -> list[Entry]:
        """Move the oldest records into flight: at least one if any is queued, then as many as the limits allow."""
        with self._lock:
            self._busy = True
            try:
                self._admit_parked()
                batch: list[Entry] = []
                batch_bytes = 0
                while self._queue and len(batch) < max_records:
                    size_bytes = len(self._queue[0][2]) + ENTRY_OVERHEAD_BYTES
                    if batch and batch_bytes + size_bytes > max_bytes:
                        break
                    batch.append(self._queue.popleft())
                    batch_bytes += size_bytes
                self._queued_bytes -= batch_bytes
                self._in_flight += len(batch)
                self._wake_asked = False
                return batch
            finally:
                self._busy = False

    def settle(self, count: int | None, reason: DropReason | None = None) -> None:
        """Record that `count` records in flight (None: all) were delivered, or dropped for `reason`.

        Without effect after `abandon`: those records are already counted.
        """
        with self._lock:
            if self._abandoned:
                return
            settled = self._in_flight if count is None else count
            self._in_flight -= settled
            if reason is None:
                self._delivered += settled
            else:
                self._dropped[reason] += settled

    def seal(self) -> None:
        """From now on count every new record as dropped (`shutdown`)."""
        with self._lock:
            self._sealed = True

    def abandon(self) -> int:
        """Count everything queued or in flight as dropped (`shutdown`), once; return how many that were."""
        with self._lock:
            if self._abandoned:
                return 0
            self._sealed = self._abandoned = True
            left = len(self._queue) + self._in_flight
            self._dropped[DropReason.SHUTDOWN] += left
            self._queue.clear()
            self._queued_bytes = self._in_flight = 0
            return left

    @property
    def last_seq(self) -> int:
        """`seq` of the newest accepted record; 0 before the first."""
        return self._last_seq

    def is_settled(self, seq: int) -> bool:
        """Whether every record up to `seq` is delivered or dropped."""
        with self._lock:
            return not self._in_flight and not self._parked and (not self._queue or self._queue[0][0] > seq)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is queued or in flight."""
        with self._lock:
            return not self._in_flight and not self._parked and not self._queue

    def dropped(self, reason: DropReason) -> int:
        """Records dropped for `reason` so far."""
        return self._dropped[reason]

    def stats(self, *, requests: int, failed_requests: int, last_error: str | None) -> HandlerStats:
        """A consistent snapshot, completed with the sender's figures."""
        with self._lock:
            return HandlerStats(
                boot=self.boot,
                accepted=self._last_seq + len(self._parked),
                delivered=self._delivered,
                dropped=MappingProxyType({reason.value: count for reason, count in self._dropped.items()}),
                queued=len(self._queue) + len(self._parked),
                in_flight=self._in_flight,
                queued_bytes=self._queued_bytes,
                requests=requests,
                failed_requests=failed_requests,
                last_error=last_error,
            )
