"""Brings the schema to a revision, up or down. Of several processes that begin at once one works and the others wait."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from crowsnest.api.schema.address import Address
from crowsnest.api.schema.tables import SCHEMA

# An index over millions of rows takes minutes.
STATEMENT_SECONDS: Final = 3600.0
BASE: Final = "base"
HEAD: Final = "head"
_LOCK: Final = 0x63726F77


class SchemaTooNew(Exception):
    """The schema has a revision that this program does not know."""


async def to(address: Address, revision: str = HEAD) -> str:
    """Bring the schema to a revision, in one transaction: all of it, or nothing.

    Returns:
        The revision that it has then; `base` without tables.

    Raises:
        SchemaTooNew: a newer program has been here.
    """
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: address.connect(STATEMENT_SECONDS), poolclass=NullPool
    )
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(_to, revision)
    finally:
        await engine.dispose()


def newest() -> str:
    """The newest revision that this program knows."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None  # noqa: S101 - there is one
    return head


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    return config


def _to(connection: Connection, revision: str) -> str:
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    # Whoever runs the stack makes the schema and gives it to the API's role, which may make no other.
    if connection.execute(text("SELECT to_regnamespace(:name)"), {"name": SCHEMA}).scalar() is None:
        connection.execute(text(f"CREATE SCHEMA {SCHEMA}"))
    config = _config()
    config.attributes["connection"] = connection
    before = _current(connection)
    known = {one.revision for one in ScriptDirectory.from_config(config).walk_revisions()}
    if before is not None and before not in known:
        raise SchemaTooNew(f"the schema has revision {before}; start the newer program")
    order = [one.revision for one in ScriptDirectory.from_config(config).walk_revisions()][::-1]
    target = len(order) if revision == HEAD else 0 if revision == BASE else order.index(revision) + 1
    if target >= (order.index(before) + 1 if before else 0):
        command.upgrade(config, revision)
    else:
        command.downgrade(config, revision)
    return _current(connection) or BASE


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection, opts={"version_table_schema": SCHEMA}).get_current_revision()
