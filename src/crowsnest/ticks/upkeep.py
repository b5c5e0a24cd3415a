"""What is looked at every few seconds: tables as declared, none suspended, none too large, none with gaps."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from crowsnest.ticks import schema
from crowsnest.ticks.metrics import Metrics
from crowsnest.ticks.questdb import QuestDB, SqlError, StoreError
from crowsnest.ticks.relay import Relay
from crowsnest.ticks.schema import Table
from crowsnest.ticks.settings import Ttl

_log = logging.getLogger(__name__)
INTERVAL_SECONDS = 5.0
# Rows of one record after another are applied table by table: what is missing for less than this is on its way.
_GAPS = (
    "SELECT sum(missing) AS missing FROM (SELECT run_id, max(seq) - min(seq) + 1 - count() AS missing FROM log_events "
    "WHERE timestamp > dateadd('h', -1, now()) AND timestamp < dateadd('s', -10, now()) AND run_id IS NOT NULL "
    "AND run_id != '') WHERE missing > 0"
)


@dataclass(frozen=True, slots=True)
class Partition:
    """A day of a table."""

    table: str
    name: str
    bytes: int
    active: bool


class Upkeep:
    """Keeps QuestDB's tables as declared, for as long as the relay runs."""

    def __init__(self, store: QuestDB, relay: Relay, metrics: Metrics, *, ttl: Ttl, most_bytes: int) -> None:
        self._store = store
        self._relay = relay
        self._metrics = metrics
        self._ttl = ttl
        self._most_bytes = most_bytes
        self._events: list[str] = []

    async def run(self) -> None:
        """Look after the tables until cancelled. What fails is tried again."""
        while True:
            try:
                await self.once()
            except (SqlError, StoreError) as error:
                self.note_away(error)
            await asyncio.sleep(INTERVAL_SECONDS)

    def note_away(self, error: Exception, where: str = "apply") -> None:
        """QuestDB did not do what it was asked to."""
        if isinstance(error, StoreError):
            self._metrics.store_up.set(0)
            self._metrics.note_full(where, full=error.full)
        # Its tables may be others when it is back.
        self._events = []
        self._relay.forget()
        _log.warning("%s", error)

    async def once(self) -> None:
        """Look after the tables once.

        Raises:
            SqlError, StoreError: QuestDB refuses a statement or does not answer.
        """
        if not self._events:
            await schema.converge(self._store, self._ttl)
        found = await schema.tables(self._store)
        await schema.set_right(self._store, found, self._ttl)
        await self._resume()
        await self._bound_size([table for table in found if table.is_event])
        events = sorted(table.name for table in found if table.is_event)
        if events != self._events:
            await schema.declare_log_events(self._store, found)
            self._relay.forget()
            self._events = events
        rows = await self._store.sql(_GAPS)
        self._metrics.missing.set(max(0, int(rows[0]["missing"] or 0)) if rows else 0)
        self._metrics.store_up.set(1)

    async def _resume(self) -> None:
        """A table to which QuestDB could not apply a transaction waits until it is told to go on, as after a full disk."""
        rows = await self._store.sql("SELECT name, suspended, writerTxn, sequencerTxn, errorMessage FROM wal_tables()")
        self._metrics.behind.set(sum(max(0, int(row["sequencerTxn"]) - int(row["writerTxn"])) for row in rows))
        suspended = [row for row in rows if row["suspended"]]
        self._metrics.suspended.set(len(suspended))
        full = False
        for row in suspended:
            message = str(row["errorMessage"])
            full = full or StoreError(message).full
            _log.error("%s is suspended: %s; telling it to go on", row["name"], message)
            await self._store.sql(f'ALTER TABLE "{row["name"]}" RESUME WAL')
            self._metrics.resumed.inc()
        self._metrics.note_full("apply", full=full)

    async def _bound_size(self, found: list[Table]) -> None:
        """Drop the oldest days while all tables together are too large. The day that is written stays."""
        partitions = [partition for table in found for partition in await self._partitions(table.name)]
        size = sum(partition.bytes for partition in partitions)
        oldest = sorted((one for one in partitions if not one.active), key=lambda one: one.name)
        for partition in oldest:
            if size <= self._most_bytes:
                break
            _log.warning("%s: dropping %s, the tables have %d bytes", partition.table, partition.name, size)
            await self._store.sql(f"ALTER TABLE \"{partition.table}\" DROP PARTITION LIST '{partition.name}'")
            self._metrics.dropped.inc()
            size -= partition.bytes
        self._metrics.disk_bytes.set(size)

    async def _partitions(self, table: str) -> list[Partition]:
        # A name that `schema.tables` has seen.
        rows = await self._store.sql(f"SELECT name, diskSize, active FROM table_partitions('{table}')")  # noqa: S608
        return [Partition(table, str(row["name"]), int(row["diskSize"]), bool(row["active"])) for row in rows]
