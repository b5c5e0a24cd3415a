"""What became of every alert, per channel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class DropReason(StrEnum):
    """Why a channel did not deliver an alert."""

    OVERFLOW = "overflow"
    """The queue was full; the oldest of the least urgent made room."""
    EXPIRED = "expired"
    """It got too old while the channel was away; late news would mislead."""
    EXHAUSTED = "exhausted"
    """Delivery failed too often. Never happens to CRITICAL."""
    REJECTED = "rejected"
    """The service refused it for good (4xx)."""
    NOT_CONFIGURED = "not_configured"
    """The channel was asked for, but has no webhook URL or bot token."""
    RECURSION = "recursion"
    """It was sent by a log handler while an alert was being logged."""
    SENDER_ERROR = "sender_error"
    """The channel failed in an unforeseen way."""
    SHUTDOWN = "shutdown"
    """Sent after `close()`, or not delivered when its deadline passed."""


@dataclass(frozen=True, slots=True)
class ChannelStats:
    """A consistent snapshot of one channel's ledger; all counts are alerts unless they say otherwise.

    `accepted == delivered + grouped + deduplicated + dropped_total + queued + in_flight`, always.
    """

    accepted: int
    delivered: int
    """Delivered alerts; of a digest, one."""
    grouped: int
    """Delivered in a digest, besides the one counted under `delivered`."""
    deduplicated: int
    """Left out as the repeat of an alert that is waiting or was delivered a short while ago."""
    dropped: Mapping[str, int]
    """By `DropReason` value; every reason is present."""
    queued: int
    in_flight: int
    attempts: int
    """Messages attempted, retries included."""
    failed_attempts: int
    last_error: str | None
    """What the last failed attempt met, without secrets; None while none has failed."""

    @property
    def dropped_total(self) -> int:
        """Alerts dropped for any reason."""
        return sum(self.dropped.values())

    @property
    def residual(self) -> int:
        """Alerts unaccounted for: 0, always."""
        settled = self.delivered + self.grouped + self.deduplicated + self.dropped_total
        return self.accepted - settled - self.queued - self.in_flight

    def as_dict(self) -> dict[str, object]:
        """The ledger as plain JSON types, without reasons that never occurred."""
        return {
            "accepted": self.accepted,
            "delivered": self.delivered,
            "grouped": self.grouped,
            "deduplicated": self.deduplicated,
            "dropped": {reason: count for reason, count in self.dropped.items() if count},
            "queued": self.queued,
            "in_flight": self.in_flight,
            "attempts": self.attempts,
            "failed_attempts": self.failed_attempts,
            "last_error": self.last_error,
        }
