"""Log records as aligned text for a terminal."""

from __future__ import annotations

from collections.abc import Iterable

from crowsnest.logs.query import Record

_SHOWN_FIELDS = ("action", "instrument", "order_id", "bar_time")
_LEVEL_WIDTH = len("CRITICAL")
_STRATEGY_WIDTH = 14
_MESSAGE_WIDTH = 56
_TIME_CHARS = len("2026-01-21T22:16:38.123")


def header() -> str:
    """The line above the records."""
    return _columns("time (UTC)", "level", "strategy", "message") + "fields"


def row(record: Record) -> str:
    """One record on one line; control characters, which could drive a terminal, are shown as escapes."""
    time_text = str(record.get("_time", "")).replace("T", " ").rstrip("Z")[:_TIME_CHARS]
    fields = (f"{name}={record[name]}" for name in _SHOWN_FIELDS if record.get(name) not in (None, ""))
    owner = record.get("strategy_id") or record.get("component") or "-"
    line = _columns(time_text, str(record.get("level", "-")), str(owner), str(record.get("_msg", "")))
    return _plain(line + " ".join(fields)).rstrip()


def rows(records: Iterable[Record]) -> str:
    """A header and one line a record."""
    return "\n".join([header(), *map(row, records)])


def _columns(time_text: str, level: str, owner: str, message: str) -> str:
    if len(message) > _MESSAGE_WIDTH:
        message = message[: _MESSAGE_WIDTH - 1] + "…"
    return f"{time_text:<{_TIME_CHARS}}  {level:<{_LEVEL_WIDTH}}  {owner:<{_STRATEGY_WIDTH}}  {message:<{_MESSAGE_WIDTH}}  "


def _plain(text: str) -> str:
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
