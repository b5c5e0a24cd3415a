"""The audit log's storage: the interface, and the one in SQLite."""

from __future__ import annotations

import asyncio
import functools
import json
import sqlite3
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from crowsnest.api.audit import chain
from crowsnest.api.database import Database

MAX_DETAIL_CHARACTERS: Final = 6000
_COLUMNS: Final = ", ".join((*chain.FIELDS, "previous_hash", "hash"))


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that somebody did or tried.

    Attributes:
        actor: user, `token:<name>`, `cli:<user>`.
        address: from where.
        action: `<domain>.<verb>`.
        outcome: `allowed`, or `refused:<problem>`.
        detail: plain JSON types.
    """

    actor: str
    address: str
    action: str
    outcome: str
    detail: Mapping[str, object] = field(default_factory=dict)


class AuditStore(Protocol):
    """Where entries go. What was appended is durable when the call returns."""

    async def append(self, entry: Entry) -> None:
        """Append an entry by itself."""

    def append_soon(self, entry: Entry) -> Awaitable[None]:
        """Begin to append an entry; what is returned tells when it is durable."""

    def append_within(self, connection: Any, entries: Sequence[Entry]) -> None:
        """Append entries within the transaction of the change that they tell of."""

    def page(self, before: int | None, limit: int) -> list[dict[str, object]]:
        """Rows below seq `before`, newest first."""

    def verify(self, expected: Mapping[int, bytes]) -> chain.Verdict:
        """Check the whole chain."""

    def head(self) -> tuple[int, bytes]:
        """Newest seq and hash."""


class SqliteAuditStore:
    """The audit log in the API's own database. Entries that come while another is being written share one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[tuple[Entry, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def append(self, entry: Entry) -> None:
        """Append an entry; it is on the disk when this returns."""
        await self.append_soon(entry)

    def append_soon(self, entry: Entry) -> Awaitable[None]:
        """Begin to append an entry; await what is returned to know that it is on the disk."""
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, done))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        return done

    async def _write(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                entries = [entry for entry, _ in batch]
                error: Exception | None = None
                try:
                    await self._database.write(functools.partial(self._append_all, entries))
                except Exception as failure:  # noqa: BLE001 - whoever waits is told
                    error = failure
                for _, done in batch:
                    if not done.done():
                        done.set_result(None) if error is None else done.set_exception(error)
        finally:
            self._writing = None

    def _append_all(self, entries: Sequence[Entry], connection: sqlite3.Connection) -> None:
        self.append_within(connection, entries)

    def append_within(self, connection: sqlite3.Connection, entries: Sequence[Entry]) -> None:
        """Append within a transaction of that connection."""
        row = connection.execute("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
        seq, previous = (row["seq"], row["hash"]) if row else (0, chain.GENESIS)
        rows = []
        for entry in entries:
            seq += 1
            now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
            values = (seq, now, entry.actor, entry.address, entry.action, entry.outcome, _detail(entry.detail))
            made = chain.row_hash(previous, values)
            rows.append((*values, previous, made))
            previous = made
        connection.executemany(f"INSERT INTO audit ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)  # noqa: S608

    def page(self, before: int | None, limit: int) -> list[dict[str, object]]:
        """Rows below seq `before`, newest first."""
        rows = self._database.reader.execute(
            f"SELECT {_COLUMNS} FROM audit WHERE seq < ? ORDER BY seq DESC LIMIT ?",  # noqa: S608
            (before if before is not None else 2**62, limit),
        )
        return [
            {**{name: row[name] for name in chain.FIELDS}, "detail": json.loads(row["detail"]), "hash": row["hash"].hex()}
            for row in rows
        ]

    def verify(self, expected: Mapping[int, bytes]) -> chain.Verdict:
        """Check the whole chain; takes a few seconds for a million rows."""
        rows = self._database.reader.execute(f"SELECT {_COLUMNS} FROM audit NOT INDEXED ORDER BY seq")  # noqa: S608
        return chain.verify(rows, expected)

    def head(self) -> tuple[int, bytes]:
        """Newest seq and hash."""
        row = self._database.reader.execute("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
        return (row["seq"], row["hash"]) if row else (0, chain.GENESIS)


def _detail(detail: Mapping[str, object]) -> str:
    text = json.dumps(detail, ensure_ascii=False, separators=(",", ":"))
    # Of an oversized one the beginning is kept, as JSON.
    return text if len(text) <= MAX_DETAIL_CHARACTERS else json.dumps({"cut": text[: MAX_DETAIL_CHARACTERS // 2]})
