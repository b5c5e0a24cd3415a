"""The bounded queue of one channel: what to send next and when, and the exact ledger of it. No thread, no clock, no I/O.

Everything is changed under one lock, held for microseconds. A signal handler or a finaliser may send an alert in the middle
of a change on the same thread: such an alert is parked and admitted a moment later.
"""

from __future__ import annotations

import contextlib
import random
import threading
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from types import MappingProxyType
from typing import Final

from crowsnest.alerts._alert import Alert, AlertSeverity, Notification, label
from crowsnest.alerts._channels import RateLimit
from crowsnest.alerts._http import Outcome, Verdict
from crowsnest.alerts._ledger import ChannelStats, DropReason

_BACKOFF_FIRST_SECONDS: Final = 0.5
_BACKOFF_MAX_SECONDS: Final = 60.0
_CLOSING_BACKOFF_SECONDS: Final = 0.2
# a new CRITICAL does not wait for the end of a back-off, but a storm of them must not hammer a dead server
_CRITICAL_RETRY_SECONDS: Final = 1.0
_RETRY_AFTER_MAX_SECONDS: Final = 900.0
_LATE_SECONDS: Final = 60.0
_DIGEST_LINES: Final = 15
_LEAST_URGENT_FIRST: Final = (AlertSeverity.INFO, AlertSeverity.WARNING, AlertSeverity.CRITICAL)


@dataclass(frozen=True, slots=True)
class Policy:
    """How a channel's alerts are thinned out; seconds and alerts."""

    max_queued: int = 500
    dedupe_window_seconds: float = 300.0
    group_window_seconds: float = 30.0
    max_age_seconds: float = 900.0
    critical_max_age_seconds: float = 3_600.0
    max_attempts: int = 20

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            least = 0 if name in ("dedupe_window_seconds", "group_window_seconds") else 1e-9
            if not value >= least:
                raise ValueError(f"{name} must be {'positive' if least else 'at least 0'}, got {value!r}")


class _State(Enum):
    QUEUED = auto()
    IN_FLIGHT = auto()
    SETTLED = auto()


@dataclass(slots=True, eq=False)
class Entry:
    """An alert in a queue."""

    alert: Alert
    seq: int
    state: _State = _State.QUEUED
    attempts: int = 0
    repeats: int = 0
    """Equal alerts left out while this one waited, or since the one before it."""


@dataclass(slots=True)
class _Seen:
    since: float
    entry: Entry
    unreported: int = 0


@dataclass(frozen=True, slots=True)
class Job:
    """A message to send now, and the alerts that it settles."""

    notification: Notification
    entries: Sequence[Entry]
    lost: int = 0
    """Dropped alerts that the message mentions."""


class Outbox:
    """Alerts waiting for one channel. `now` is the manager's clock, in seconds, in every call."""

    def __init__(self, rate_limit: RateLimit, policy: Policy) -> None:
        self._limit = rate_limit
        self._policy = policy
        self._lock = threading.RLock()
        self._busy = False
        self._parked: deque[Alert] = deque()
        self._queues: dict[AlertSeverity, deque[Entry]] = {severity: deque() for severity in AlertSeverity}
        self._seen: OrderedDict[str, _Seen] = OrderedDict()
        self._in_flight: list[Entry] = []
        self._accepted = self._delivered = self._grouped = self._deduplicated = 0
        self._dropped = dict.fromkeys(DropReason, 0)
        self._attempts = self._failed_attempts = 0
        self._last_error: str | None = None
        self._lost_unreported = 0
        self._closing = self._abandoned = False
        self._tokens = float(rate_limit.burst)
        self._tokens_at = 0.0
        self._failures = 0
        self._last_attempt = float("-inf")
        self._backoff_until = self._held_until = self._group_open_until = float("-inf")

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        with self._lock:
            if self._busy:  # this thread, interrupted: the outer call admits what is parked
                yield
                return
            self._busy = True
            try:
                yield
                while self._parked:
                    self._admit(self._parked.popleft())
            finally:
                self._busy = False

    # -- taking alerts ------------------------------------------------------------------------------------------------

    def put(self, alert: Alert) -> bool:
        """Accept an alert; return whether it will be sent, be it as a repeat of one that was."""
        with self._lock:
            if self._busy:
                self._parked.append(alert)
                return True
            with self._changing():
                return self._admit(alert)

    def refuse(self, reason: DropReason) -> None:
        """Account for an alert that is dropped right away."""
        with self._changing():
            self._accepted += 1
            self._dropped[reason] += 1

    def _admit(self, alert: Alert) -> bool:
        self._accepted += 1
        if self._closing:
            self._dropped[DropReason.SHUTDOWN] += 1
            return False
        now = alert.created
        seen = self._seen.get(alert.fingerprint)
        if seen is not None:
            if seen.entry.state is _State.QUEUED:
                self._deduplicated += 1
                seen.entry.repeats += 1
                return True
            if seen.entry.state is _State.IN_FLIGHT or now - seen.since < self._policy.dedupe_window_seconds:
                self._deduplicated += 1
                seen.unreported += 1
                return True
        entry = Entry(alert, self._accepted, repeats=seen.unreported if seen is not None else 0)
        if not self._make_room(alert.severity):
            self._drop(entry, DropReason.OVERFLOW)
            return False
        self._queues[alert.severity].append(entry)
        self._remember(alert.fingerprint, _Seen(now, entry))
        if alert.severity is AlertSeverity.CRITICAL:
            self._backoff_until = min(self._backoff_until, self._last_attempt + _CRITICAL_RETRY_SECONDS)
        return True

    def _make_room(self, severity: AlertSeverity) -> bool:
        """Whether one more fits; the oldest of the least urgent goes, never a CRITICAL one: the first says the cause."""
        if sum(map(len, self._queues.values())) < self._policy.max_queued:
            return True
        for lower in _LEAST_URGENT_FIRST[:-1]:
            if lower.rank <= severity.rank and self._queues[lower]:
                self._drop(self._queues[lower].popleft(), DropReason.OVERFLOW)
                return True
        return False

    def _remember(self, fingerprint: str, seen: _Seen) -> None:
        self._seen[fingerprint] = seen
        self._seen.move_to_end(fingerprint)
        while len(self._seen) > 2 * self._policy.max_queued + 16:
            self._seen.popitem(last=False)  # a repeat may pass; the other way round an alert could be lost

    def _drop(self, entry: Entry, reason: DropReason) -> None:
        """Count an alert as lost, and forget it: its repeat must not be left out in favour of something never sent."""
        entry.state = _State.SETTLED
        self._dropped[reason] += 1
        self._lost_unreported += 1
        seen = self._seen.get(entry.alert.fingerprint)
        if seen is not None and seen.entry is entry:
            del self._seen[entry.alert.fingerprint]

    # -- sending ------------------------------------------------------------------------------------------------------

    def next_due(self, now: float) -> tuple[float, int] | None:
        """When the next message may be sent and how urgent it is (`rank`); None while nothing waits."""
        with self._changing():
            self._expire(now)
            blocked = max(self._held_until, self._backoff_until)
            if self._queues[AlertSeverity.CRITICAL]:
                return max(blocked, self._token_time(now, critical=True)), AlertSeverity.CRITICAL.rank
            if not any(self._queues.values()):
                return None
            rank = AlertSeverity.WARNING.rank if self._queues[AlertSeverity.WARNING] else AlertSeverity.INFO.rank
            if self._closing:
                return blocked, rank
            return max(blocked, self._group_open_until, self._token_time(now, critical=False)), rank

    def take(self, now: float) -> Job | None:
        """Move what is due into flight: the oldest CRITICAL, else everything else as one message."""
        with self._changing():
            self._expire(now)
            critical = self._queues[AlertSeverity.CRITICAL]
            if critical:
                entries = [critical.popleft()]
            else:
                entries = sorted((entry for queue in self._queues.values() for entry in queue), key=lambda entry: entry.seq)
                for queue in self._queues.values():
                    queue.clear()
            if not entries:
                return None
            for entry in entries:
                entry.state = _State.IN_FLIGHT
            self._in_flight = entries
            self._spend(now)
            self._attempts += 1
            self._last_attempt = now
            lost = self._lost_unreported if len(entries) > 1 else 0
            return Job(_single(entries[0], now) if len(entries) == 1 else _digest(entries, now, lost), entries, lost)

    def settle(self, job: Job, outcome: Outcome, now: float) -> DropReason | None:
        """Account for what became of a job; return the reason if (some of) its alerts are lost by it.

        Without effect after `abandon`: those alerts are already counted.
        """
        with self._changing():
            failed = outcome.verdict is not Verdict.DELIVERED
            if failed:
                self._failed_attempts += 1
                self._last_error = outcome.detail
            if self._abandoned:
                return None
            self._in_flight = []
            if not failed:
                self._failures = 0
                self._backoff_until = float("-inf")
                self._delivered += 1
                self._grouped += len(job.entries) - 1
                for entry in job.entries:
                    entry.state = _State.SETTLED
                if job.entries[0].alert.severity is not AlertSeverity.CRITICAL:
                    self._group_open_until = now + self._policy.group_window_seconds
                    self._lost_unreported -= job.lost
                return None
            if outcome.verdict is Verdict.REJECTED:
                for entry in job.entries:
                    self._drop(entry, DropReason.REJECTED)
                return DropReason.REJECTED
            return self._again(job, outcome, now)

    def _again(self, job: Job, outcome: Outcome, now: float) -> DropReason | None:
        asked = outcome.retry_after_seconds
        if asked is not None:
            self._held_until = now + min(asked, _RETRY_AFTER_MAX_SECONDS)
        ceiling = min(_BACKOFF_MAX_SECONDS, _BACKOFF_FIRST_SECONDS * 2.0 ** min(self._failures, 10))
        if self._closing:
            ceiling = _CLOSING_BACKOFF_SECONDS
        # jitter, so that processes do not retry in step after an outage
        self._backoff_until = now + random.uniform(ceiling / 10, ceiling)  # noqa: S311
        self._failures += 1
        lost: DropReason | None = None
        for entry in reversed(job.entries):
            severity = entry.alert.severity
            entry.attempts += asked is None  # being told to wait is not a failure
            if severity is not AlertSeverity.CRITICAL and entry.attempts >= self._policy.max_attempts:
                lost = DropReason.EXHAUSTED
                self._drop(entry, lost)
            elif severity is not AlertSeverity.CRITICAL and not self._make_room(severity):
                lost = DropReason.OVERFLOW
                self._drop(entry, lost)
            else:
                if severity is AlertSeverity.CRITICAL:
                    self._make_room(severity)
                entry.state = _State.QUEUED
                self._queues[severity].appendleft(entry)
        return lost

    def _expire(self, now: float) -> None:
        for severity, queue in self._queues.items():
            critical = severity is AlertSeverity.CRITICAL
            limit = self._policy.critical_max_age_seconds if critical else self._policy.max_age_seconds
            while queue and now - queue[0].alert.created > limit:
                self._drop(queue.popleft(), DropReason.EXPIRED)

    def _refill(self, now: float) -> None:
        self._tokens = min(float(self._limit.burst), self._tokens + max(0.0, now - self._tokens_at) * self._limit.per_second)
        self._tokens_at = now

    def _token_time(self, now: float, *, critical: bool) -> float:
        """When the bucket has a token. CRITICAL may overdraw it by a burst, and may wait, but is never dropped for it."""
        self._refill(now)
        missing = (1.0 - self._limit.burst if critical else 1.0) - self._tokens
        return now + missing / self._limit.per_second if missing > 0 and not self._closing else now

    def _spend(self, now: float) -> None:
        self._refill(now)
        self._tokens = max(self._tokens - 1.0, -float(self._limit.burst))

    # -- ending and reporting -----------------------------------------------------------------------------------------

    def fail_in_flight(self) -> None:
        """Count what is in flight as dropped: nobody knows what became of it (`sender_error`)."""
        with self._changing():
            for entry in self._in_flight:
                self._drop(entry, DropReason.SENDER_ERROR)
            self._in_flight = []

    def limit(self, rate_limit: RateLimit) -> None:
        """Follow another rate limit from now on."""
        with self._changing():
            self._limit = rate_limit

    def release(self) -> None:
        """Send what waits now without waiting for the grouping window."""
        with self._changing():
            self._group_open_until = float("-inf")

    def seal(self) -> None:
        """From now on refuse new alerts, and send what is left without waiting for windows and tokens."""
        with self._changing():
            self._closing = True
            self._backoff_until = float("-inf")

    def abandon(self) -> int:
        """Count everything queued or in flight as dropped (`shutdown`), once; return how many that were."""
        with self._changing():
            if self._abandoned:
                return 0
            self._closing = self._abandoned = True
            left = [*self._in_flight, *(entry for queue in self._queues.values() for entry in queue)]
            for entry in left:
                self._drop(entry, DropReason.SHUTDOWN)
            for queue in self._queues.values():
                queue.clear()
            self._in_flight = []
            return len(left)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is queued or in flight."""
        with self._changing():
            return not self._in_flight and not self._parked and not any(self._queues.values())

    def stats(self) -> ChannelStats:
        """A consistent snapshot."""
        with self._changing():
            return ChannelStats(
                accepted=self._accepted + len(self._parked),
                delivered=self._delivered,
                grouped=self._grouped,
                deduplicated=self._deduplicated,
                dropped=MappingProxyType({reason.value: count for reason, count in self._dropped.items()}),
                queued=sum(map(len, self._queues.values())) + len(self._parked),
                in_flight=len(self._in_flight),
                attempts=self._attempts,
                failed_attempts=self._failed_attempts,
                last_error=self._last_error,
            )


def _single(entry: Entry, now: float) -> Notification:
    alert = entry.alert
    notes = []
    if entry.repeats:
        notes.append(f"and {entry.repeats} more like it")
    late_seconds = now - alert.created
    if late_seconds > _LATE_SECONDS:
        notes.append(f"{late_seconds / 60:.0f} min late")
    message = "\n".join(part for part in (alert.message, f"({', '.join(notes)})" if notes else "") if part)
    metadata = tuple((label(name), value) for name, value in alert.metadata)
    return Notification(alert.severity, alert.title, message, metadata, alerts=1 + entry.repeats)


def _digest(entries: Sequence[Entry], now: float, lost: int) -> Notification:
    """Several WARNING and INFO alerts as one message, the most urgent first."""
    ordered = sorted(entries, key=lambda entry: (-entry.alert.severity.rank, entry.seq))
    lines = []
    for entry in ordered[:_DIGEST_LINES]:
        alert = entry.alert
        message = " ".join(alert.message.split())
        if len(message) > 120:
            message = message[:119] + "…"
        times = f" (×{entry.repeats + 1})" if entry.repeats else ""  # noqa: RUF001 - a multiplication sign is meant
        lines.append(f"• {alert.severity.name}: {alert.title}{': ' if message else ''}{message}{times}")
    if len(ordered) > _DIGEST_LINES:
        lines.append(f"… and {len(ordered) - _DIGEST_LINES} more; the log has them all")
    if lost:
        lines.append(f"{lost} more were dropped; the log has them")
    total = len(entries) + sum(entry.repeats for entry in entries)
    oldest_seconds = now - min(entry.alert.created for entry in entries)
    title = f"{total} alerts in {max(1, round(oldest_seconds))} s"
    return Notification(ordered[0].alert.severity, title, "\n".join(lines), alerts=total)
