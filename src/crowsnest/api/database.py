"""The API's own SQLite file: users, sessions, tokens, saved views and the audit log.

One thread writes, so that the event loop never waits for the disk. Reads are by primary key from a file of a few megabytes in
WAL mode, where a reader waits for nobody: they run where they are needed. Nothing is cached, so what the command line changes
(a disabled user, for example) counts from the next request on.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, TypeVar

from crowsnest.api.migrations import MIGRATIONS

Result = TypeVar("Result")
_BUSY_SECONDS: Final = 5.0


class DatabaseError(Exception):
    """The file cannot be used; the text says why and what to do."""


class Database:
    """One SQLite file, opened and brought up to date.

    Raises:
        DatabaseError: it is not a database of ours, is of a newer version, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with closing(_connect(path)) as connection:
                _migrate(connection, path)
            path.chmod(0o600)
            self.reader = _connect(path)
            self.reader.execute("PRAGMA query_only=ON")
        except (sqlite3.Error, OSError) as error:
            raise DatabaseError(f"{path} cannot be used: {error}; check the folder's owner, or restore a backup") from error
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="database")
        self._writer: sqlite3.Connection | None = None

    def close(self) -> None:
        """Finish what is being written and close the file."""
        self._executor.submit(self._close_writer).result()
        self._executor.shutdown()
        self.reader.close()

    async def write(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run `work` in a transaction of the writing thread; committed when this returns.

        What has begun is finished even when the caller is cancelled.
        """
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._transact, work)

    def write_now(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """The same for callers without an event loop, such as the command line."""
        return self._executor.submit(self._transact, work).result()

    def _transact(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        if self._writer is None:
            self._writer = _connect(self.path)
        with _transaction(self._writer):
            return work(self._writer)

    def _close_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA journal_mode=WAL")
    # The audit log is a promise: what was answered is on the disk, also after a power failure.
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA trusted_schema=OFF")
    return connection


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Apply the migrations that the file has not seen, each in a transaction with its number."""
    while True:
        with _transaction(connection):
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
            if version > len(MIGRATIONS):
                raise DatabaseError(
                    f"{path} is of version {version}, this program knows {len(MIGRATIONS)}; start the newer program"
                )
            if version == len(MIGRATIONS):
                return
            for statement in MIGRATIONS[version]:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version={version + 1}")
