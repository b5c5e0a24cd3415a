"""What an alert is: taken from whatever the caller passed, as text, on the caller's thread, without ever failing."""

# ruff: noqa: BLE001 - an alert with a part that cannot be printed is still an alert
from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

MAX_TITLE_CHARS: Final = 256
MAX_MESSAGE_CHARS: Final = 8_000
MAX_VALUE_CHARS: Final = 500
MAX_METADATA: Final = 50

_UNPRINTABLE: Final = "(cannot be printed)"
_ACRONYMS: Final = frozenset({"API", "ETF", "IBKR", "ID", "IP", "ISIN", "ML", "NAV", "PDT", "PNL", "PSI", "URL", "USD", "VIX"})
_NAIVE_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?", re.ASCII)
# tab and newline are text; the other control characters can only do harm
_CONTROLS: Final = dict.fromkeys((*range(9), *range(11, 32), 127))


class AlertSeverity(StrEnum):
    """How urgent an alert is; compare with `rank`."""

    CRITICAL = "critical"
    """System failures, kill switch activation, account violations. Sent alone, first, and at once."""
    WARNING = "warning"
    """Risk thresholds reached: drawdown above 5 %, day trades running out."""
    INFO = "info"
    """Routine: a job completed, a model was retrained, a threshold recovered."""

    @property
    def rank(self) -> int:
        """2, 1 or 0; the higher, the more urgent."""
        return _RANKS[self]

    @classmethod
    def coerce(cls, value: object) -> AlertSeverity:
        """The severity that `value` names, in any case; what names none is CRITICAL, lest it be overlooked."""
        try:
            return cls(str(value).rpartition(".")[2].lower())
        except Exception:
            return cls.CRITICAL


_RANKS: Final = {AlertSeverity.INFO: 0, AlertSeverity.WARNING: 1, AlertSeverity.CRITICAL: 2}


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert as accepted. All of it is text, so later changes to the caller's objects do not show."""

    severity: AlertSeverity
    title: str
    message: str
    metadata: tuple[tuple[str, str], ...]
    """Keys and values, in the caller's order."""
    fingerprint: str
    """Alerts with the same one are the same alert."""
    created: float
    """When it was accepted, in seconds of the manager's clock."""


@dataclass(frozen=True, slots=True)
class Notification:
    """What a channel sends: one alert, or a digest of several."""

    severity: AlertSeverity
    title: str
    message: str
    metadata: tuple[tuple[str, str], ...] = ()
    """Labels (as shown to people) and values."""
    alerts: int = 1
    """How many alerts it stands for."""

    @property
    def heading(self) -> str:
        """`CRITICAL: Kill Switch Activated`."""
        return f"{self.severity.name}: {self.title}"


def make_alert(
    severity: object, title: object, message: object, metadata: object, fingerprint: object, created: float
) -> Alert:
    """Take an alert from what a caller passed, whatever that is.

    By default the fingerprint is made of severity, title, message and those metadata values that are text (a symbol, a
    strategy), not of numbers and times, which change from one report of a problem to the next.
    """
    level = AlertSeverity.coerce(severity)
    title_text = " ".join(_text(title, MAX_TITLE_CHARS).split()) or "(no title)"
    message_text = _text(message, MAX_MESSAGE_CHARS).strip()
    rows, names = _metadata(metadata)
    identity = _text(fingerprint, MAX_VALUE_CHARS) if fingerprint is not None else ""
    return Alert(
        severity=level,
        title=title_text,
        message=message_text,
        metadata=rows,
        fingerprint=identity or "\0".join((level.value, title_text, message_text, *names)),
        created=created,
    )


def label(key: str) -> str:
    """A metadata key as people read it: `vix` is `VIX`, `order_id` is `Order ID`, `timestamp` is `Timestamp`."""
    words = key.replace("_", " ").split()
    shown = [word.upper() if word.upper() in _ACRONYMS else word for word in words]
    if shown:
        shown[0] = shown[0][:1].upper() + shown[0][1:]
    return " ".join(shown)


def _metadata(metadata: object) -> tuple[tuple[tuple[str, str], ...], list[str]]:
    """Metadata as text, and of it what tells one problem from another."""
    if metadata is None:
        return (), []
    try:
        items = list(metadata.items()) if isinstance(metadata, Mapping) else [("metadata", metadata)]
    except Exception:
        items = [("metadata", _UNPRINTABLE)]
    rows: list[tuple[str, str]] = []
    names: list[str] = []
    for key, value in items[:MAX_METADATA]:
        name = " ".join(_text(key, 64).split())
        shown = _value(name, value)
        rows.append((name, shown))
        if isinstance(value, str) and not _NAIVE_TIME.match(shown):
            names.append(f"{name}={shown}")
    if len(items) > MAX_METADATA:
        rows.append(("left out", f"{len(items) - MAX_METADATA} more entries"))
    return tuple(rows), names


def _value(name: str, value: object) -> str:
    """A value as text. Times are UTC, which the source's `utcnow().isoformat()` means but does not say."""
    try:
        if isinstance(value, datetime):
            moment = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
            return moment.isoformat().replace("+00:00", "Z")
    except Exception:
        return _UNPRINTABLE
    shown = _text(value, MAX_VALUE_CHARS)
    return shown + "Z" if name.lower() == "timestamp" and _NAIVE_TIME.fullmatch(shown) else shown


def _text(value: object, limit: int) -> str:
    try:
        text = value if isinstance(value, str) else str(value)
        if len(text) > limit:
            text = text[: limit - 1] + "…"
        # lone surrogates cannot be encoded
        return text.replace("\r\n", "\n").translate(_CONTROLS).encode("utf-8", "replace").decode("utf-8")
    except Exception:
        return _UNPRINTABLE
