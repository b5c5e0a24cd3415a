"""Moments in nanoseconds: VictoriaLogs keeps nanoseconds, `datetime` microseconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

SECOND_NS: Final = 1_000_000_000
_RFC3339: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9})\d*)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_AGE: Final = re.compile(r"(\d{1,6})(s|m|h|d)", re.ASCII)
_UNIT_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
# What a VictoriaLogs timestamp can hold, with room on both sides.
_EARLIEST_YEAR: Final = 1970
_LATEST_YEAR: Final = 2200


def parse(text: str, now_ns: int) -> int:
    """A moment: RFC 3339 with a time zone, `now`, or an age such as `15m`.

    Raises:
        ValueError: it is none of these; the text says what is possible.
    """
    if text == "now":
        return now_ns
    if age := _AGE.fullmatch(text):
        return now_ns - int(age[1]) * _UNIT_SECONDS[age[2]] * SECOND_NS
    # In a URL that was not encoded, the plus of a zone arrives as a blank.
    if found := _RFC3339.fullmatch(re.sub(r" (\d\d:\d\d)$", r"+\1", text)):
        return _parsed(found, text)
    raise ValueError(f"{text[:64]!r} is not a time: write RFC 3339 with a zone (2026-11-21T10:00:00Z), an age (15m, 1h) or now")


def _parsed(found: re.Match[str], text: str) -> int:
    *parts, fraction, zone = found.groups()
    year = int(parts[0])
    try:
        moment = datetime(*map(int, parts), tzinfo=UTC)  # type: ignore[arg-type,misc]
    except ValueError as error:
        raise ValueError(f"{text!r} is not a time: {error}") from None
    if not _EARLIEST_YEAR <= year < _LATEST_YEAR:
        raise ValueError(f"{text!r} is not a time of these years; write one from {_EARLIEST_YEAR} on")
    if zone not in "Zz":
        offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[4:]))
        moment += -offset if zone[0] == "+" else offset
    # A zone can move the first and the last hours out of the years; they are still moments.
    seconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)
    return max(0, seconds * SECOND_NS + int((fraction or "").ljust(9, "0")))


def text(moment_ns: int) -> str:
    """RFC 3339 in UTC with nine decimals, which is exact and sorts like the moments."""
    seconds, rest = divmod(moment_ns, SECOND_NS)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
