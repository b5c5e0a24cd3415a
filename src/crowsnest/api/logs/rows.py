"""Rows on their way through: lines of JSON are passed on as they are, and taken apart only where a field has to be cut."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec

from crowsnest.api.logs import moments
from crowsnest.api.problems import Problem

TIME: Final = "_time"
_ELLIPSIS: Final = "…"


class _Moment(msgspec.Struct):
    time: str | None = msgspec.field(name="_time", default=None)


_decode_moment: Final = msgspec.json.Decoder(_Moment).decode


def moment_of(line: bytes) -> int | None:
    """When a row's record was made; None when the row has no time."""
    try:
        text = _decode_moment(line).time
        return None if text is None else moments.parse(text, 0)
    except (msgspec.DecodeError, ValueError):
        return None


def cut(line: bytes, field_bytes: int) -> tuple[bytes, int]:
    """A row whose fields have at most `field_bytes` bytes each, and the bytes of its longest field before that."""
    if len(line) <= field_bytes:
        return line, 0
    try:
        row: dict[str, Any] = msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise Problem("store-unavailable", "the log store gave a row that is no JSON") from error
    longest = 0
    for name, value in row.items():
        if isinstance(value, str) and len(value) * 4 > field_bytes:
            encoded = value.encode("utf-8", "surrogatepass")
            longest = max(longest, len(encoded))
            if len(encoded) > field_bytes:
                row[name] = encoded[:field_bytes].decode("utf-8", "ignore") + _ELLIPSIS
    return (msgspec.json.encode(row), longest) if longest > field_bytes else (line, 0)


class Page:
    """The rows of one answer, bounded in number and bytes while they arrive.

    Args:
        limit: most rows; one more is taken to know whether there are more.
        field_bytes: most bytes of a field.
        response_bytes: most bytes of all rows.
        store_bytes: most bytes read for it.
        keep_last: the store sends the oldest first, so that the newest are last and are the ones to keep.
    """

    def __init__(self, limit: int, field_bytes: int, response_bytes: int, store_bytes: int, *, keep_last: bool) -> None:
        self.rows: deque[bytes] = deque()
        self.longest_field = 0
        self.cut_bytes = 0
        """Bytes of rows that were left out for `response_bytes`."""
        self.has_more = False
        self._last_left: bytes | None = None
        self._limit = limit
        self._field_bytes = field_bytes
        self._response_bytes = response_bytes
        self._store_bytes = store_bytes
        self._keep_last = keep_last

    async def fill(self, batches: AsyncIterator[list[bytes]]) -> None:
        """Read them all.

        Raises:
            Problem: more has to be read than is sensible.
        """
        read = size = 0
        async for lines in batches:
            received = sum(map(len, lines))
            read += received
            if read > self._store_bytes:
                raise Problem(
                    "too-large",
                    f"the records have more than {self._store_bytes // 2**20} MiB",
                    "lower the limit, or choose fields: `| fields _time, level, _msg`",
                )
            # A line shorter than the limit holds no longer field; nearly all are.
            if max(map(len, lines)) > self._field_bytes:
                lines = [self._cut(line) for line in lines]  # noqa: PLW2901 - the same, shorter
                received = sum(map(len, lines))
            self.rows.extend(lines)
            size += received + len(lines)
            while size > self._response_bytes:
                dropped = self._leave_one()
                size -= len(dropped) + 1
                self.cut_bytes += len(dropped)
        while len(self.rows) > self._limit:
            self._leave_one()

    def _cut(self, line: bytes) -> bytes:
        row, longest = cut(line, self._field_bytes)
        self.longest_field = max(self.longest_field, longest)
        return row

    def _leave_one(self) -> bytes:
        self.has_more = True
        self._last_left = self.rows.popleft() if self._keep_last else self.rows.pop()
        return self._last_left

    def newest_first(self) -> tuple[list[bytes], str | None]:
        """Records, newest first, and the moment before which the next page begins; None when there is none.

        A page does not end between records of the same nanosecond: those are left to the next one, as `before` could not tell
        them apart. Where a whole page has the same time, the rest of that nanosecond is out of reach.
        """
        rows = list(self.rows)
        rows.reverse()
        if not self.has_more or not rows:
            return rows, None
        oldest = moment_of(rows[-1])
        if oldest is None:
            return rows, None
        if self._last_left is not None and moment_of(self._last_left) == oldest:
            whole = len(rows)
            while whole and moment_of(rows[whole - 1]) == oldest:
                whole -= 1
            if whole:
                rows = rows[:whole]
                # Everything after the tie was given; the next page begins with it.
                return rows, moments.text(oldest + 1)
        return rows, moments.text(oldest)
