"""PostgreSQL as the endpoints see it: connections, or a problem that says what is wrong.

The schema is brought up to date in the background when the API starts, and again and again until the database is there: signing
in and reading logs never wait for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from crowsnest.api.problems import Problem
from crowsnest.api.schema import migrate
from crowsnest.api.schema.address import Address

RETRY_SECONDS: Final = 2.0
_FAILURES: Final = (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)
# What asyncpg says when the server has given up a query, or we have.
_SLOW: Final = (asyncpg.QueryCanceledError, TimeoutError)

logger = logging.getLogger("crowsnest.api.postgres")


class Postgres:
    """One database, or none."""

    def __init__(self, address: Address | None) -> None:
        self._address = address
        self._engine: AsyncEngine | None = address.engine() if address else None
        self._state = "it has not been reached yet"
        self._migrating: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to bring the schema up to date."""
        if self._address:
            self._migrating = asyncio.create_task(self._migrate(self._address))

    async def close(self) -> None:
        """Let go of the connections."""
        if self._migrating:
            self._migrating.cancel()
            await asyncio.gather(self._migrating, return_exceptions=True)
        if self._engine:
            await self._engine.dispose()

    @property
    def is_ready(self) -> bool:
        """Whether the schema is up to date."""
        return not self._state

    async def _migrate(self, address: Address) -> None:
        while True:
            try:
                revision = await migrate.to(address)
            except (*_FAILURES, migrate.SchemaTooNew) as error:
                if str(error) != self._state:
                    logger.warning("the trading database cannot be used: %s", error)
                self._state = str(error) or type(error).__name__
                await asyncio.sleep(RETRY_SECONDS)
            else:
                logger.info("the schema of the trading database has revision %s", revision)
                self._state = ""
                return

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection to ask with.

        Raises:
            Problem: there is none, or it fails.
        """
        async with self._connection() as connection:
            yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A connection in a transaction, which is committed at the end, or undone by whatever is raised.

        Raises:
            Problem: there is none, or it fails.
        """
        async with self._connection() as connection, connection.begin():
            yield connection

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection]:
        if self._engine is None:
            raise Problem("not-in-this-stack", "this stack has no trading database")
        if self._state:
            raise Problem("database-unavailable", "the trading database is not ready; the log of the api container says why")
        try:
            connection = await self._engine.connect()
        except _FAILURES as error:
            logger.warning("the trading database: %r", error)
            raise Problem("database-unavailable", "the trading database does not answer") from error
        try:
            yield connection
        except _FAILURES as error:
            raise _problem(error) from error
        finally:
            await _let_go(connection)


async def _let_go(connection: AsyncConnection) -> None:
    """Give a connection back; one that is broken is made anew by whoever takes it next."""
    try:
        await connection.close()
    except _FAILURES as error:
        logger.warning("a connection to the trading database ended: %r", error)


def _problem(error: BaseException) -> Problem:
    cause = error.orig.__cause__ if isinstance(error, DBAPIError) and error.orig else error
    logger.warning("the trading database: %r", cause)
    if isinstance(cause, _SLOW):
        return Problem("timeout", "the trading database took too long", "narrow the range, or filter by strategy or run")
    return Problem("database-unavailable", "the trading database does not answer")
