"""The bounded queue between the threads that log and the sender, and the exact ledger of what passes through it.

Everything is changed under one lock that is held for a few bytecodes, never across I/O or code of the user. The lock
can still be met by its own holder: a signal handler or a finaliser may log in the middle of `put`. Such a record is
parked and admitted a moment later, instead of deadlocking (a plain lock) or interleaving (a re-entrant lock alone).
A signal handler may even raise there (Ctrl-C); what is then missing is found by the ledger's own equation.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import TypeAlias

from crowsnest.logs._capture import Content
from crowsnest.logs._contract import MAX_LINE_BYTES
from crowsnest.logs._ledger import DropReason, HandlerStats

ENTRY_OVERHEAD_BYTES = 384
"""Memory of a queued entry besides its message and fields: tuple, integers, headers of text and bytes, deque slot.

`queued_bytes` is an estimate: this, plus the characters of the message and of its text arguments, plus the bytes of the
fields' JSON. Above `_LARGE_BYTES` the message's real memory is taken; below, text outside ASCII counts one byte a
character and takes up to four.
"""

_LARGE_BYTES = 4096
"""Estimate from which a record is looked at more closely."""

GAP_LOGGER = "crowsnest.logs"
"""Logger name, hence `component`, of the records that tell of lost ones."""

_SECOND_HALF = 2
_CHUNK_RECORDS = 64
_GAP_INTERVAL_SECONDS = 60.0
_SILENT_REASONS = frozenset({DropReason.RECURSION, DropReason.SHUTDOWN})
"""Reasons no gap record tells of: sending would cause more of the one, and nothing is sent after the other."""

Entry: TypeAlias = tuple[int, int, int, str, int, str, tuple[object, ...], tuple[str, ...], bytes]
"""An accepted record: `seq`, time in ns since the epoch, estimated bytes, logger name, level, message and the content
as `_capture` gives it.

A plain tuple: one is made for every logging call, and one that holds only atoms is invisible to the garbage collector.
"""

_WARNING = logging.WARNING
_ERROR = logging.ERROR


@dataclass(slots=True)
class Gap:
    """Records lost for one reason since the last gap record: how many, and between which `seq`."""

    count: int
    first_seq: int
    last_seq: int


class RecordBuffer:
    """Queue of records, bounded by count and bytes; when full, the oldest of the least severe make room.

    DEBUG and INFO go first, then WARNING; ERROR and CRITICAL only when there is nothing else.
    Counts are exact under any interleaving of threads: accepted = delivered + dropped + queued + in flight.
    """

    __slots__ = (
        "_abandoned", "_busy", "_delivered", "_dropped", "_flying", "_gap_deadline", "_gap_records", "_gap_seqs", "_gaps",
        "_high", "_in_flight", "_last_time_ns", "_lock", "_low", "_max_bytes", "_max_records", "_middle", "_overflow_first_seq",
        "_overflow_last_seq", "_overflow_told", "_overflowed", "_parked", "_queued", "_queued_bytes", "_sealed", "_wake_asked",
        "_wake_bytes", "_wake_records", "boot", "last_seq", "wake_due",
    )  # fmt: skip

    def __init__(self, *, boot: str, max_records: int, max_bytes: int, wake_records: int, wake_bytes: int) -> None:
        self.boot = boot
        self.wake_due = False
        """Whether the sender should be woken now rather than at its next interval; who wakes it sets this to False."""
        self.last_seq = 0
        """`seq` of the newest accepted record; 0 before the first."""
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._wake_records = min(wake_records, max_records)
        self._wake_bytes = min(wake_bytes, max_bytes)
        self._lock = threading.RLock()
        self._busy = False
        self._parked: deque[Callable[[], object]] = deque()
        self._low: deque[Entry] = deque()
        self._middle: deque[Entry] = deque()
        self._high: deque[Entry] = deque()
        self._queued = 0
        self._queued_bytes = 0
        self._last_time_ns = 0
        self._delivered = 0
        self._in_flight = 0
        self._flying: list[Entry] = []
        self._dropped = dict.fromkeys(DropReason, 0)
        # Overflow is counted apart from `_dropped`: it happens on the caller's thread, where hashing an enum is dear.
        self._overflowed = self._overflow_told = self._overflow_first_seq = self._overflow_last_seq = 0
        self._gaps: dict[DropReason, Gap] = {}
        self._gap_seqs: set[int] = set()
        self._gap_records = 0
        self._gap_deadline: float | None = None
        self._wake_asked = False
        self._sealed = False
        self._abandoned = False

    @property
    def _queues(self) -> tuple[deque[Entry], deque[Entry], deque[Entry]]:
        return self._low, self._middle, self._high

    @property
    def is_busy(self) -> bool:
        """Whether some thread is in the middle of a change; for a signal handler, this may be the thread it interrupted."""
        return self._busy

    def put(self, name: str, levelno: int, content: Content) -> int:  # noqa: C901 - one function, because each call costs
        """Accept a record: logger name, level and content.

        Returns:
            Its `seq`; 0 when it was parked and gets one later.
        """
        message, arguments, argument_chars, names, extras = content
        size_bytes = len(message) + argument_chars + len(extras) + ENTRY_OVERHEAD_BYTES
        with self._lock:
            if self._busy:
                self._parked.append(partial(self.put, name, levelno, content))
                return 0
            self._busy = True
            try:
                self.last_seq = seq = self.last_seq + 1
                now_ns = time.time_ns()
                if now_ns <= self._last_time_ns:  # the clock stood still or was set back; tails skip equal timestamps
                    now_ns = self._last_time_ns + 1
                self._last_time_ns = now_ns
                if size_bytes > _LARGE_BYTES or self._sealed:
                    reason = self._refusal(seq, message, argument_chars, extras)
                    size_bytes += message.__sizeof__() - len(message)  # 4 bytes a character at most
                    if reason is None and size_bytes > self._max_bytes:
                        reason = DropReason.TOO_LARGE
                    if reason is not None:
                        self._drop(seq, reason)
                        return seq
                entry = (seq, now_ns, size_bytes, name, levelno, message, arguments, names, extras)
                if levelno < _WARNING:
                    self._low.append(entry)
                elif levelno < _ERROR:
                    self._middle.append(entry)
                else:
                    self._high.append(entry)
                self._queued += 1
                self._queued_bytes += size_bytes
                if self._queued >= self._wake_records or self._queued_bytes >= self._wake_bytes:
                    if not self._wake_asked:
                        self._wake_asked = self.wake_due = True
                    if self._queued > self._max_records or self._queued_bytes > self._max_bytes:
                        self._evict()
            except BaseException:
                self._repair()
                raise
            finally:
                self._busy = False
                if self._parked:
                    self._admit_parked()
            return seq

    def refuse(self, reason: DropReason) -> int:
        """Accept a record, and drop it right away for `reason`; return its `seq` (0 when parked)."""
        with self._lock:
            if self._busy:
                self._parked.append(partial(self.refuse, reason))
                return 0
            self.last_seq += 1
            self._drop(self.last_seq, DropReason.SHUTDOWN if self._sealed else reason)
            return self.last_seq

    def _refusal(self, seq: int, message: str, argument_chars: int, extras: bytes) -> DropReason | None:
        if self._sealed and (self._abandoned or seq not in self._gap_seqs):
            return DropReason.SHUTDOWN
        return DropReason.TOO_LARGE if len(message) + argument_chars + len(extras) > MAX_LINE_BYTES else None

    def _admit_parked(self) -> None:
        """Put what a signal handler or finaliser logged in the middle of `put`. The lock is held and not busy."""
        while self._parked:
            self._parked.popleft()()

    def _evict(self) -> None:
        while self._queued > self._max_records or self._queued_bytes > self._max_bytes:
            entry = (self._low or self._middle or self._high).popleft()
            seq = entry[0]
            self._queued -= 1
            self._queued_bytes -= entry[2]
            self._overflowed += 1
            if self._gap_seqs and seq in self._gap_seqs:
                self._gap_seqs.discard(seq)
                self._overflow_told += 1
            elif not self._overflow_first_seq:
                self._overflow_first_seq = self._overflow_last_seq = seq
            elif seq > self._overflow_last_seq:
                self._overflow_last_seq = seq
            elif seq < self._overflow_first_seq:
                self._overflow_first_seq = seq

    def _drop(self, seq: int, reason: DropReason) -> None:
        self._dropped[reason] += 1
        if self._gap_seqs and seq in self._gap_seqs:
            self._gap_seqs.discard(seq)  # a gap record is counted, but never the cause of another
        elif reason not in _SILENT_REASONS:
            gap = self._gaps.get(reason)
            if gap is None:
                self._gaps[reason] = Gap(1, seq, seq)
            else:
                gap.count += 1
                gap.first_seq = min(gap.first_seq, seq)
                gap.last_seq = max(gap.last_seq, seq)

    def _repair(self) -> None:
        """After an exception out of the blue: count what is queued anew, and what is then missing as dropped."""
        self._queued = sum(map(len, self._queues))
        self._queued_bytes = sum(entry[2] for queue in self._queues for entry in queue)
        known = self._delivered + sum(self._dropped.values()) + self._overflowed + self._queued + self._in_flight
        self._dropped[DropReason.INTERRUPTED] += self.last_seq - known

    def take(self, *, max_records: int, max_bytes: int) -> list[Entry]:
        """Move the oldest records into flight: at least one if any is queued, then as many as the limits allow.

        The lock is let go every few records, so that a logging thread never waits for a whole batch.
        """
        batch: list[Entry] = []
        batch_bytes = 0
        full = False
        while not full and len(batch) < max_records:
            with self._lock:
                self._busy = True
                try:
                    if not self._queued:
                        break
                    chunk: list[Entry] = []
                    chunk_bytes = 0
                    for _ in range(min(_CHUNK_RECORDS, max_records - len(batch), self._queued)):
                        queue = self._oldest()
                        size_bytes = queue[0][2]
                        if (batch or chunk) and batch_bytes + chunk_bytes + size_bytes > max_bytes:
                            full = True
                            break
                        chunk.append(queue.popleft())
                        chunk_bytes += size_bytes
                    self._queued -= len(chunk)
                    self._queued_bytes -= chunk_bytes
                    self._in_flight += len(chunk)
                    self._flying.extend(chunk)
                    batch.extend(chunk)
                    batch_bytes += chunk_bytes
                except BaseException:
                    self._repair()
                    raise
                finally:
                    self._busy = False
                    if self._parked:
                        self._admit_parked()
        self._wake_asked = self.wake_due = False
        return batch

    def _oldest(self) -> deque[Entry]:
        """The queue whose head is the oldest record; not all are empty."""
        if not self._middle and not self._high:
            return self._low
        return min((queue for queue in self._queues if queue), key=lambda queue: queue[0][0])

    def settle(self, entries: Sequence[Entry] | None, reason: DropReason | None = None) -> None:
        """Record that `entries` in flight (None: all) were delivered, or dropped for `reason`.

        Delivery is when the server is there: records lost before are then told of, once. Without effect after
        `abandon`: those records are already counted.
        """
        with self._lock:
            if self._abandoned:
                return
            self._busy = True
            try:
                settled = entries if entries is not None else self._flying[-self._in_flight :] if self._in_flight else []
                self._in_flight -= len(settled)
                if reason is None:
                    self._delivered += len(settled)
                    if self._gap_seqs:
                        self._gap_seqs.difference_update([entry[0] for entry in settled])
                else:
                    for entry in settled:
                        self._drop(entry[0], reason)
                if not self._in_flight:
                    self._flying = []
            except BaseException:
                self._repair()
                raise
            finally:
                self._busy = False
            if reason is None and (self._gaps or self._overflowed > self._overflow_told):
                self._report_gaps()
            if self._parked:
                self._admit_parked()

    def _report_gaps(self) -> None:
        """Queue a record for each reason that records were lost for, when the worst is over or has lasted a minute."""
        crowded = self._queued > self._max_records // _SECOND_HALF or self._queued_bytes > self._max_bytes // _SECOND_HALF
        if crowded:
            now = time.monotonic()
            self._gap_deadline = self._gap_deadline or now + _GAP_INTERVAL_SECONDS
            if now < self._gap_deadline:
                return
        self._gap_deadline = None
        gaps, self._gaps = self._gaps, {}
        if overflowed := self._overflowed - self._overflow_told:
            gaps[DropReason.OVERFLOW] = Gap(overflowed, self._overflow_first_seq, self._overflow_last_seq)
            self._overflow_told = self._overflowed
            self._overflow_first_seq = 0
        for reason, gap in gaps.items():
            fields = (
                f'{{"gap_reason":"{reason}","gap_records":{gap.count},'
                f'"gap_first_seq":{gap.first_seq},"gap_last_seq":{gap.last_seq}}}'
            ).encode()
            text = f"{gap.count} log records lost ({reason}) between seq {gap.first_seq} and {gap.last_seq}"
            self._gap_seqs.add(self.last_seq + 1)
            self._gap_records += 1
            self.put(GAP_LOGGER, logging.ERROR, (text, (), 0, (), fields))

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
            left = self._queued + self._in_flight
            self._dropped[DropReason.SHUTDOWN] += left
            for queue in self._queues:
                queue.clear()
            self._flying = []
            self._queued = self._queued_bytes = self._in_flight = 0
            return left

    @property
    def oldest_seq(self) -> int:
        """`seq` from which on records may be unsettled (of the batch in flight: its first); one past the last if none are."""
        with self._lock:
            if self._in_flight:
                return self._flying[0][0]
            return self._oldest()[0][0] if self._queued else self.last_seq + 1

    def is_settled(self, seq: int) -> bool:
        """Whether every record up to `seq`, and every gap record made so far, is delivered or dropped."""
        with self._lock:
            return self.oldest_seq > seq and not self._parked and not self._gap_seqs

    @property
    def is_empty(self) -> bool:
        """Whether nothing is queued or in flight."""
        with self._lock:
            return not self._in_flight and not self._parked and not self._queued

    @property
    def has_gap_record(self) -> bool:
        """Whether a gap record is queued or in flight."""
        return bool(self._gap_seqs)

    @property
    def is_crowded(self) -> bool:
        """Whether records are about to be lost for want of room."""
        return self._queued > self._max_records // _SECOND_HALF

    def dropped(self, reason: DropReason) -> int:
        """Records dropped for `reason` so far."""
        return self._overflowed if reason is DropReason.OVERFLOW else self._dropped[reason]

    def stats(
        self, *, requests: int, failed_requests: int, last_error: str | None, undelivered_seconds: float = 0.0
    ) -> HandlerStats:
        """A consistent snapshot, completed with the sender's figures."""
        with self._lock:
            return HandlerStats(
                boot=self.boot,
                accepted=self.last_seq + len(self._parked),
                delivered=self._delivered,
                dropped=MappingProxyType({reason.value: self.dropped(reason) for reason in DropReason}),
                queued=self._queued + len(self._parked),
                in_flight=self._in_flight,
                queued_bytes=self._queued_bytes,
                gap_records=self._gap_records,
                requests=requests,
                failed_requests=failed_requests,
                last_error=last_error,
                undelivered_seconds=undelivered_seconds,
            )
