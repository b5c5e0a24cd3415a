"""What became of every record: the reasons a record can be dropped for and the snapshot that callers read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class DropReason(StrEnum):
    """Why a record was not delivered."""

    OVERFLOW = "overflow"
    """The queue was full; the record made room for a newer or more severe one."""
    TOO_LARGE = "too_large"
    """The line is longer than VictoriaLogs or the whole queue takes."""
    ENCODE = "encode"
    """No JSON could be made of the record."""
    FILTER_ERROR = "filter_error"
    """A filter of the handler raised; sending an unfiltered record could leak what the filter hides."""
    RECURSION = "recursion"
    """The record was logged by the sender itself, or by a `__repr__` run while logging."""
    INTERRUPTED = "interrupted"
    """A signal handler raised (Ctrl-C, for example) in the middle of queueing the record."""
    REJECTED = "rejected"
    """The server refused it (4xx)."""
    SENDER_ERROR = "sender_error"
    """The sender failed in an unforeseen way (out of memory, for example) while it had the record."""
    SHUTDOWN = "shutdown"
    """Logged after `close()`, or not acknowledged when its deadline passed."""


@dataclass(frozen=True, slots=True)
class HandlerStats:
    """A consistent snapshot of a handler's ledger; `accepted == delivered + dropped_total + queued + in_flight`.

    Counts are records since the handler was made (in a forked child: since the fork). `delivered` means acknowledged
    with 2xx. A record whose acknowledgement was lost is sent again and may be stored twice; `boot` and `seq` tell.
    """

    boot: str
    accepted: int
    delivered: int
    dropped: Mapping[str, int]
    """Records by `DropReason` value; every reason is present."""
    queued: int
    in_flight: int
    queued_bytes: int
    """Estimated memory of the queue, see `ENTRY_OVERHEAD_BYTES`."""
    gap_records: int
    """Records the handler itself made to tell of lost ones; they are part of `accepted`."""
    requests: int
    """HTTP requests attempted, retries included."""
    failed_requests: int
    last_error: str | None
    """What the last failed request met; None while none has failed."""
    undelivered_seconds: float
    """How long the oldest record in flight has been tried; 0 when the last request succeeded."""

    @property
    def dropped_total(self) -> int:
        """Records dropped for any reason."""
        return sum(self.dropped.values())

    @property
    def residual(self) -> int:
        """Records unaccounted for: 0, always."""
        return self.accepted - self.delivered - self.dropped_total - self.queued - self.in_flight

    def as_dict(self) -> dict[str, object]:
        """The ledger as plain JSON types, without reasons that never occurred."""
        return {
            "boot": self.boot,
            "accepted": self.accepted,
            "delivered": self.delivered,
            "dropped": {reason: count for reason, count in self.dropped.items() if count},
            "queued": self.queued,
            "in_flight": self.in_flight,
            "queued_bytes": self.queued_bytes,
            "gap_records": self.gap_records,
            "requests": self.requests,
            "failed_requests": self.failed_requests,
            "last_error": self.last_error,
            "undelivered_seconds": round(self.undelivered_seconds, 3),
        }
