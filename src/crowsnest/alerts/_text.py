"""Alerts as text: what Slack and Telegram show, within their limits."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from crowsnest.alerts._alert import AlertSeverity, Notification

SLACK_SECTION_CHARS: Final = 3_000
"""Longest text of a Slack section block; longer ones are refused as a whole."""

TELEGRAM_UTF16_UNITS: Final = 4_096
"""Longest Telegram message. Telegram counts UTF-16 code units: most emoji are two."""

_SLACK_SYMBOLS: Final = {AlertSeverity.CRITICAL: "⚠️", AlertSeverity.WARNING: "🔶", AlertSeverity.INFO: "ℹ️"}  # noqa: RUF001
_TELEGRAM_SYMBOLS: Final = {AlertSeverity.CRITICAL: "🔴", AlertSeverity.WARNING: "🟡", AlertSeverity.INFO: "🔵"}
_COMPARISON: Final = re.compile(r"(?<=\S )&gt;(?= )")
_PARTIAL_ENTITY: Final = re.compile(r"&[a-z]{0,3}\Z")


def slack_escape(text: str) -> str:
    """`text` as plain text for Slack: no mention, link or quote can come of it.

    `&` and `<` always become entities. `>` does, too, except between blanks inside a line ("VIX > 35", as in the source's
    payload): with every `<` gone it closes nothing, and a quote needs it at the start of a line.
    """
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _COMPARISON.sub(">", escaped)


def slack_text(notification: Notification) -> str:
    """The payload's `text`: what phones show before anything is opened."""
    return f"{_SLACK_SYMBOLS[notification.severity]} {slack_escape(notification.heading)}"


def slack_section(notification: Notification) -> str:
    """The section's mrkdwn: title, message, metadata as bullets."""
    metadata = "\n".join(f"• {slack_escape(name)}: {slack_escape(value)}" for name, value in notification.metadata)
    head = f"*{slack_escape(notification.title)}*"
    tail = f"*Metadata:*\n{metadata}" if metadata else ""
    message = slack_escape(notification.message)
    return _fit("\n\n", head, message, tail, SLACK_SECTION_CHARS, len, _PARTIAL_ENTITY)


def telegram_text(notification: Notification) -> str:
    """The whole Telegram message, plain text: no parse mode, hence nothing to escape and nothing that can break."""
    metadata = "\n".join(f"• {name}: {value}" for name, value in notification.metadata)
    head = f"{_TELEGRAM_SYMBOLS[notification.severity]} {notification.heading}"
    tail = f"Metadata:\n{metadata}" if metadata else ""
    return _fit("\n", head, notification.message, tail, TELEGRAM_UTF16_UNITS, utf16_units, None)


def utf16_units(text: str) -> int:
    """Length of `text` as Telegram counts it."""
    return len(text) + sum(char > "\uffff" for char in text)


def _fit(
    joint: str,
    head: str,
    message: str,
    tail: str,
    limit: int,
    measure: Callable[[str], int],
    broken_end: re.Pattern[str] | None,
) -> str:
    """Join the parts that are not empty; too long, the message is cut first, and the text says so."""

    def joined(middle: str) -> str:
        return joint.join(part for part in (head, middle, tail) if part)

    whole = joined(message)
    if measure(whole) <= limit:
        return whole
    room = limit - measure(joined("")) - len(joint)
    if room >= limit // 4:
        return joined(clip(message, room, measure, broken_end))
    return clip(whole, limit, measure, broken_end)


def clip(text: str, limit: int, measure: Callable[[str], int] = len, broken_end: re.Pattern[str] | None = None) -> str:
    """The start of `text`, and how much was cut, within `limit` in the units of `measure`.

    What `broken_end` matches at the cut (half an entity) goes, too.
    """
    if measure(text) <= limit:
        return text
    room = limit - len(_cut_note(len(text)))
    low, high = 0, min(len(text), max(room, 0))
    while low < high:  # the longest start that fits
        middle = (low + high + 1) // 2
        low, high = (middle, high) if measure(text[:middle]) <= room else (low, middle - 1)
    start = text[:low]
    if broken_end is not None:
        start = broken_end.sub("", start)
    return start + _cut_note(len(text) - len(start))


def _cut_note(count: int) -> str:
    return f"\n… [truncated, {count} characters left out]"
