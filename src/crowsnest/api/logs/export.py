"""Export as a stream: page after page, newest first, so that neither this process nor the store holds all of it."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import msgspec

from crowsnest.api.logs import moments
from crowsnest.api.logs.policy import Decision
from crowsnest.api.logs.service import LogService

_PAGE_ROWS: Final = 2_000
_PAGE_BYTES: Final = 8 * 1024 * 1024
# A spreadsheet takes a cell that begins with one of these for a formula.
_FORMULA_SIGNS: Final = ("=", "+", "-", "@", "\t", "\r")


async def pages(service: LogService, decision: Decision) -> AsyncIterator[list[bytes]]:
    """Rows of the whole range, up to the limit.

    Raises:
        Problem: the store fails.
    """
    left, before_ns = decision.limit, decision.end_ns
    while left > 0 and before_ns > decision.start_ns:
        _, rows, next_before = await service.page(decision, min(left, _PAGE_ROWS), _PAGE_BYTES, before_ns)
        left -= len(rows)
        yield rows
        if next_before is None:
            return
        before_ns = moments.parse(next_before, 0)


def ndjson(rows: list[bytes]) -> bytes:
    """Lines of JSON."""
    return b"".join(row + b"\n" for row in rows)


def csv_writer(columns: list[str]) -> tuple[bytes, Callable[[list[bytes]], bytes]]:
    """The line of names, and what turns rows into lines."""
    decode = msgspec.json.Decoder(dict[str, Any]).decode

    def lines(rows: list[bytes]) -> bytes:
        return _csv([[_cell(row.get(column, "")) for column in columns] for row in map(decode, rows)])

    return _csv([columns]), lines


def _csv(cells: list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(cells)
    return text.getvalue().encode("utf-8", "replace")


def _cell(value: object) -> str:
    text = str(value)
    if text.startswith(_FORMULA_SIGNS) and not _is_number(text):
        return f"'{text}"
    return text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
