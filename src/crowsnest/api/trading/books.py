"""The four books and how each is asked: filters, and keyset pages along an index. No input or output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Select, Table, select, tuple_

from crowsnest.api.schema import tables

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last row that was seen: pages go on below it, whatever was added above."""

    time: datetime
    row: int

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """A cursor from its text, which `EndpointParameters` has checked.

        Raises:
            ValueError: it is of no time.
        """
        microseconds, _, row = text.partition("-")
        try:
            return cls(EPOCH + timedelta(microseconds=int(microseconds)), int(row))
        except OverflowError:
            raise ValueError("it is of no time") from None

    def __str__(self) -> str:
        return f"{(self.time - EPOCH) // timedelta(microseconds=1)}-{self.row}"


@dataclass(frozen=True, slots=True)
class Book:
    """One table as it is shown."""

    table: Table
    equal: tuple[str, ...]
    """Columns that a question may name a value of."""

    def page(
        self,
        *,
        limit: int,
        strategies: Sequence[str] | None,
        equal: Mapping[str, object],
        start: datetime | None = None,
        end: datetime | None = None,
        before: Cursor | None = None,
    ) -> Select[Any]:
        """A page, newest first, with one row more than `limit` if there is a next.

        Args:
            limit: rows.
            strategies: that may be seen; None is all.
            equal: values by column; None is any.
            start: not before.
            end: before.
            before: where the page before ended.
        """
        columns = self.table.c
        question = select(self.table).order_by(columns.time.desc(), columns.id.desc()).limit(limit + 1)
        for name in self.equal:
            if (value := equal.get(name)) is not None:
                question = question.where(columns[name] == value)
        if strategies is not None:
            question = question.where(columns.strategy_id.in_(strategies))
        if start is not None:
            question = question.where(columns.time >= start)
        if end is not None:
            question = question.where(columns.time < end)
        if before is not None:
            question = question.where(tuple_(columns.time, columns.id) < tuple_(before.time, before.row))
        return question


_EVERY: Final = ("strategy_id", "instrument", "run_id")
ORDERS: Final = Book(tables.ORDERS, (*_EVERY, "status", "side", "client_order_id"))
FILLS: Final = Book(tables.FILLS, (*_EVERY, "side", "client_order_id"))
POSITIONS: Final = Book(tables.POSITIONS, (*_EVERY, "is_open"))
SIGNALS: Final = Book(tables.SIGNALS, (*_EVERY, "direction"))
