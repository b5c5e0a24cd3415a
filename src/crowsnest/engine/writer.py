"""What the engine says to PostgreSQL, from a thread of its own: rows in batches, budgets to and fro.

The trading thread only appends to a queue. While the database is away, rows go to a file and from there to the database when it
is back, also after a restart; the statements may be repeated (see `rows`), so a row is there exactly once. A row that the
database refuses by itself, or for which there is no room, is counted as lost with a reason.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import asyncpg
import msgspec

from crowsnest.engine.budget import Cap, Caps, Usage
from crowsnest.engine.rows import KINDS, Kind, Row

FLUSH_SECONDS: Final = 0.1
# Budgets are asked for this often; a change in the database holds after at most this and one query.
WATCH_SECONDS: Final = 0.25
BATCH_ROWS: Final = 2000
QUEUE_ROWS: Final = 100_000
SPOOL_BYTES: Final = 1024 * 1024 * 1024
CONNECT_SECONDS: Final = 3.0
STATEMENT_SECONDS: Final = 5.0
RETRY_SECONDS: Final = (0.25, 0.5, 1.0, 2.0)
CLOSE_SECONDS: Final = 5.0

_log = logging.getLogger("crowsnest.engine.database")
_KINDS: Final = {kind.name: kind for kind in KINDS}
# The database itself says that this row cannot be; anything else may pass.
_REFUSED: Final = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.InternalClientError,
    ValueError,
    TypeError,
)
_AWAY: Final = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError)

Item = tuple[Kind, Row]


@dataclass(frozen=True, slots=True)
class Address:
    """Where the database is; the password is read anew for each connection."""

    url: str
    password_file: Path | None = None

    def password(self) -> str | None:
        """The password, if there is a file with it."""
        return self.password_file.read_text(encoding="utf-8").strip() if self.password_file else None


@dataclass(slots=True)
class Told:
    """What a batch has come to: new rows by table and strategy, and how long it took."""

    rows: Counter[tuple[str, str]] = field(default_factory=Counter)
    seconds: float = 0.0


class Writer:
    """The thread. `put` may be called from any other thread and never waits."""

    def __init__(
        self,
        address: Address,
        caps: Caps,
        usage: Usage,
        *,
        boot: str,
        strategies: Sequence[str] = (),
        spool: Path | None = None,
        told: Callable[[Told], None] = lambda _: None,
        lost: Callable[[str, int], None] = lambda _reason, _count: None,
    ) -> None:
        """Begin at once.

        Args:
            address: of the database.
            caps: is told what the database says.
            usage: is written to the database.
            boot: of the process, for the rows of usage.
            strategies: that get a budget where they have none.
            spool: file for rows that cannot be written now; without it they wait in memory.
            told: is called from this thread after each batch.
            lost: is called with reason and count when rows are given up.
        """
        self._address, self._caps, self._usage = address, caps, usage
        self._boot, self._strategies = boot, tuple(strategies)
        self._spool = spool
        self._told, self._on_lost = told, lost
        self._queue: deque[Item] = deque()
        self._overflow = 0
        self._lost: Counter[str] = Counter()
        self._written = 0
        self._failures = 0
        self._deadline: float | None = None
        self._watched = threading.Event()
        self._thread = threading.Thread(target=self._run, name="database", daemon=True)
        self._thread.start()

    def put(self, kind: Kind, row: Row) -> None:
        """Take a row."""
        if len(self._queue) < QUEUE_ROWS:
            self._queue.append((kind, row))
        else:
            self._overflow += 1

    @property
    def waiting(self) -> int:
        """Rows in memory."""
        return len(self._queue)

    @property
    def written(self) -> int:
        """New rows since the start."""
        return self._written

    @property
    def lost(self) -> dict[str, int]:
        """Rows that were given up, by reason."""
        return dict(self._lost)

    def wait_for_budgets(self, seconds: float) -> bool:
        """Wait until the database has been asked for the caps once; False when the time is over."""
        return self._watched.wait(seconds)

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Write what waits, at the latest until the deadline; what then remains is in the spool, or counted as lost."""
        self._deadline = time.monotonic() + seconds
        # One connection and one statement may still be under way when the deadline comes.
        self._thread.join(seconds + CONNECT_SECONDS + STATEMENT_SECONDS)

    # The thread

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except Exception:  # noqa: BLE001 - a thread's end is told, and what it held is kept or counted
            _log.critical("the database writer has ended", exc_info=True, extra={"component": "DatabaseActor"})
        finally:
            self._give_up_the_rest()

    async def _main(self) -> None:
        watching = asyncio.create_task(self._watch_always())
        try:
            await self._write_always()
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    def _give_up_the_rest(self) -> None:
        rest = [*self._queue]
        self._queue.clear()
        if rest and not self._keep(rest):
            self._give_up("shutdown", len(rest))

    def _give_up(self, reason: str, count: int) -> None:
        self._lost[reason] += count
        self._on_lost(reason, count)
        _log.error("%d rows lost: %s", count, reason, extra={"component": "DatabaseActor", "action": "rows_lost"})

    async def _connection(self) -> asyncpg.Connection:
        return await asyncpg.connect(
            self._address.url,
            password=await asyncio.to_thread(self._address.password),
            timeout=CONNECT_SECONDS,
            command_timeout=STATEMENT_SECONDS,
            server_settings={"application_name": "crowsnest-engine"},
        )

    # Rows

    async def _write_always(self) -> None:
        while not self._is_over():
            try:
                connection = await self._connection()
            except (*_AWAY, ValueError) as error:
                await self._away(error)
                continue
            try:
                await self._write_while_possible(connection)
            except _AWAY as error:
                await self._away(error)
            finally:
                connection.terminate()

    def _is_over(self) -> bool:
        """Whether to end: asked to, and either nothing waits or the time is over."""
        return self._deadline is not None and (not self._queue or time.monotonic() >= self._deadline)

    async def _away(self, error: Exception) -> None:
        """The database is away: keep what waits in the file, and try again a little later."""
        if not self._failures:
            _log.warning("the database does not answer: %s", error, extra={"component": "DatabaseActor", "action": "away"})
        waiting = self._take(len(self._queue))
        if waiting and not self._keep(waiting):
            self._queue.extendleft(reversed(waiting))
        if self._deadline is not None:
            # What is kept is written after the next start.
            self._deadline = min(self._deadline, time.monotonic())
        await asyncio.sleep(RETRY_SECONDS[min(self._failures, len(RETRY_SECONDS) - 1)])
        self._failures += 1

    async def _write_while_possible(self, connection: asyncpg.Connection) -> None:
        await self._write_spooled(connection)
        while not self._is_over():
            if self._overflow:
                count, self._overflow = self._overflow, 0
                self._give_up("overflow", count)
            if not self._queue:
                await asyncio.sleep(FLUSH_SECONDS)
                if connection.is_closed():
                    raise ConnectionResetError("the database has closed the connection")
                continue
            batch = self._take(BATCH_ROWS)
            try:
                await self._write(connection, batch)
            except BaseException:
                self._queue.extendleft(reversed(batch))
                raise
            if len(batch) < BATCH_ROWS:
                await asyncio.sleep(FLUSH_SECONDS)

    def _take(self, count: int) -> list[Item]:
        return [self._queue.popleft() for _ in range(min(count, len(self._queue)))]

    async def _write(self, connection: asyncpg.Connection, batch: list[Item]) -> None:
        """Write a batch; one with a row that the database refuses is halved until that row is alone."""
        begun = time.perf_counter()
        try:
            rows = await self._commit(connection, batch)
        except _REFUSED as error:
            if len(batch) > 1:
                middle = len(batch) // 2
                await self._write(connection, batch[:middle])
                await self._write(connection, batch[middle:])
                return
            _log.error(
                "the database refuses a row of %s: %s: %s",
                batch[0][0].name,
                error,
                batch[0][1],
                extra={"component": "DatabaseActor"},
            )
            self._give_up("refused", 1)
            return
        self._failures = 0
        self._written += rows.total()
        self._told(Told(rows, time.perf_counter() - begun))

    async def _commit(self, connection: asyncpg.Connection, batch: list[Item]) -> Counter[tuple[str, str]]:
        """One transaction; of several states of a row only the newest is written."""
        rows: Counter[tuple[str, str]] = Counter()
        async with connection.transaction():
            for kind, newest in _newest(batch):
                columns = [list(column) for column in zip(*newest, strict=True)]
                for record in await connection.fetch(kind.statement, *columns):
                    if record["is_new"]:
                        rows[kind.name, record["strategy_id"]] += 1
        return rows

    # The spool

    def _keep(self, items: list[Item]) -> bool:
        """Append rows to the file. Says whether they are kept or counted; without a file they stay where they are."""
        if self._spool is None:
            return False
        try:
            with self._spool.open("ab") as file:
                if file.tell() > SPOOL_BYTES:
                    self._give_up("spool_full", len(items))
                    return True
                # A line that a killed process left half ends here.
                file.write(b"\n" if file.tell() else b"")
                file.write(b"".join(msgspec.json.encode([kind.name, row]) + b"\n" for kind, row in items))
        except OSError as error:
            _log.error("rows cannot be kept in %s: %s", self._spool, error, extra={"component": "DatabaseActor"})
            return False
        return True

    async def _write_spooled(self, connection: asyncpg.Connection) -> None:
        if self._spool is None or not self._spool.exists():
            return
        count, damaged = 0, Damaged()
        # Only this thread appends, and not while it writes.
        for batch in _chunks(self._spool, damaged):
            await self._write(connection, batch)
            count += len(batch)
        self._spool.unlink()
        if damaged.lines:
            self._give_up("spool_damaged", damaged.lines)
        _log.info("wrote %d rows that had been kept", count, extra={"component": "DatabaseActor", "action": "caught_up"})

    # Budgets

    async def _watch_always(self) -> None:
        while True:
            try:
                connection = await self._connection()
                try:
                    await self._make_budgets(connection)
                    while True:
                        await self._watch(connection)
                        await asyncio.sleep(WATCH_SECONDS)
                finally:
                    connection.terminate()
            except (*_AWAY, ValueError):
                # Told by the other task. The caps that were known hold on.
                await asyncio.sleep(RETRY_SECONDS[2])

    async def _make_budgets(self, connection: asyncpg.Connection) -> None:
        await connection.execute(
            "INSERT INTO trading.budgets (strategy_id, cap_usd, version, changed, changed_by, reason)"
            " SELECT one, $2, 1, now(), 'engine', 'the engine''s default' FROM unnest($1::text[]) AS one"
            " ON CONFLICT (strategy_id) DO NOTHING",
            list(self._strategies),
            self._caps.default_dollars,
        )

    async def _watch(self, connection: asyncpg.Connection) -> None:
        records = await connection.fetch("SELECT strategy_id, cap_usd, version FROM trading.budgets")
        changed = self._caps.take({row["strategy_id"]: Cap(row["cap_usd"], row["version"]) for row in records})
        for strategy in changed:
            cap = self._caps.of(strategy)
            _log.info(
                "cap of %s is now %s dollars",
                strategy,
                cap.dollars,
                extra={
                    "component": "BudgetActor",
                    "action": "cap_changed",
                    "budget_version": cap.version,
                    "strategy": strategy,
                },
            )
        self._watched.set()
        if usage := self._usage.snapshot():
            await self._tell_usage(connection, usage)

    async def _tell_usage(self, connection: asyncpg.Connection, usage: Mapping[str, tuple[Decimal, int]]) -> None:
        await connection.execute(
            "INSERT INTO trading.budget_usage (strategy_id, used_usd, denied_total, applied_version, boot, updated)"
            " SELECT * FROM unnest($1::text[], $2::numeric[], $3::int8[], $4::int[], $5::text[], $6::timestamptz[])"
            " ON CONFLICT (strategy_id) DO UPDATE SET used_usd = excluded.used_usd, denied_total = excluded.denied_total,"
            " applied_version = excluded.applied_version, boot = excluded.boot, updated = excluded.updated",
            list(usage),
            [used for used, _ in usage.values()],
            [denied for _, denied in usage.values()],
            [self._caps.of(name).version for name in usage],
            [self._boot] * len(usage),
            [datetime.now(UTC)] * len(usage),
        )


def _newest(batch: Sequence[Item]) -> Iterator[tuple[Kind, list[Row]]]:
    """The rows of a batch by table; of rows with the same key the last, since one statement may touch a row only once."""
    for kind in KINDS:
        places = [kind.position(column) for column in kind.key]
        rows = {tuple(row[place] for place in places): row for one, row in batch if one is kind}
        if rows:
            yield kind, list(rows.values())


@dataclass(slots=True)
class Damaged:
    """Lines of a spool that cannot be read."""

    lines: int = 0


def _chunks(file: Path, damaged: Damaged) -> Iterator[list[Item]]:
    """What a spool holds, in batches."""
    batch: list[Item] = []
    with file.open("rb") as lines:
        for line in lines:
            if not line.strip():
                continue
            try:
                batch.append(_item(line))
            except (ValueError, KeyError, TypeError):
                damaged.lines += 1
            if len(batch) == BATCH_ROWS:
                yield batch
                batch = []
    if batch:
        yield batch


def _item(line: bytes) -> Item:
    name, values = msgspec.json.decode(line)
    kind = _KINDS[name]
    return kind, tuple(_typed(value, column) for value, (_, column) in zip(values, kind.columns, strict=True))


def _typed(value: Any, column: str) -> Any:
    """A value as it was before it went to the file."""
    if value is None:
        return None
    if column == "numeric":
        return Decimal(value)
    return datetime.fromisoformat(value) if column == "timestamptz" else value
