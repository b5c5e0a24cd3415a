"""Where PostgreSQL is, and engines that connect to it: the password is read anew for each connection, and kept nowhere."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

CONNECT_SECONDS: Final = 3.0
STATEMENT_SECONDS: Final = 5.0
POOL_SIZE: Final = 8
POOL_WAIT_SECONDS: Final = 2.0
# A connection is made anew after this long, so that what a forgotten one holds is given back.
RECYCLE_SECONDS: Final = 1800


@dataclass(frozen=True, slots=True)
class Address:
    """Address without a password, and the file that holds it."""

    url: str
    password_file: Path | None = None

    async def connect(self, statement_seconds: float = STATEMENT_SECONDS) -> asyncpg.Connection[Any]:
        """A new connection.

        Raises:
            OSError, asyncpg.PostgresError, TimeoutError: there is none to be had.
        """
        file = self.password_file
        password = (await asyncio.to_thread(file.read_text, encoding="utf-8")).strip() if file else None
        return await asyncpg.connect(
            self.url,
            password=password,
            timeout=CONNECT_SECONDS,
            command_timeout=statement_seconds,
            server_settings={
                "application_name": "crowsnest-api",
                # The server, too, gives up: a query whose reader has gone holds no place for long.
                "statement_timeout": str(int(statement_seconds * 1000)),
                "idle_in_transaction_session_timeout": "10000",
                "jit": "off",
            },
        )

    def engine(self) -> AsyncEngine:
        """An engine with a bounded pool. Connects when it is first used."""
        return create_async_engine(
            "postgresql+asyncpg://",
            async_creator=self.connect,
            pool_size=POOL_SIZE,
            max_overflow=0,
            pool_timeout=POOL_WAIT_SECONDS,
            pool_recycle=RECYCLE_SECONDS,
            pool_pre_ping=True,
        )
