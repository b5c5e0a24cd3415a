"""Migrations up and down on the real PostgreSQL, and who may do what there."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from crowsnest.api.schema import migrate
from crowsnest.api.schema.tables import SCHEMA, metadata
from crowsnest.engine.budget import Caps, Usage
from crowsnest.engine.rows import KINDS, SIGNALS
from crowsnest.engine.writer import Address, Writer
from infra.catalogue import PROJECT_ROOT
from infra.settings import API_ROLE, TRADER_ROLE
from tests.postgres import PASSWORD, Postgres, running_postgres

pytestmark = pytest.mark.docker
sys.path.insert(0, str(PROJECT_ROOT / "roles/postgresql_roles/library"))


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with running_postgres(tmp_path_factory.mktemp("postgres")) as postgres:
        yield postgres


@pytest.fixture(autouse=True)
def nothing(postgres: Postgres) -> None:
    postgres.run(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")


def tables(postgres: Postgres) -> set[str]:
    return {name for (name,) in postgres.rows("SELECT tablename FROM pg_tables WHERE schemaname = %s", SCHEMA)}


def structure(postgres: Postgres) -> list[tuple[object, ...]]:
    """Columns, indexes and constraints."""
    return (
        postgres.rows(
            "SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns"
            " WHERE table_schema = %s ORDER BY 1, 2",
            SCHEMA,
        )
        + postgres.rows("SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = %s ORDER BY 1", SCHEMA)
        + postgres.rows(
            "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = %s::regnamespace ORDER BY 1, 2",
            SCHEMA,
        )
    )


def test_up_down_and_up_again_leaves_the_same(postgres: Postgres) -> None:
    postgres.migrate()
    made = structure(postgres)
    assert tables(postgres) == {table.name for table in metadata.tables.values()} | {"alembic_version"}
    postgres.migrate(migrate.BASE)
    assert tables(postgres) == {"alembic_version"}
    postgres.migrate()
    assert structure(postgres) == made


def test_the_tables_are_those_that_the_api_asks(postgres: Postgres) -> None:
    postgres.migrate()

    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_schemas": True,
                "version_table_schema": SCHEMA,
                "compare_type": True,
                "include_name": lambda name, kind, _: kind != "schema" or name == SCHEMA,
            },
        )
        return list(compare_metadata(context, metadata))

    async def compare() -> list[object]:
        engine = postgres.address().engine()
        async with engine.connect() as connection:
            found = await connection.run_sync(differences)
        await engine.dispose()
        return found

    assert asyncio.run(compare()) == []


def test_two_that_begin_at_once_do_it_once(postgres: Postgres) -> None:
    threads = [threading.Thread(target=postgres.migrate) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert postgres.rows(f"SELECT version_num FROM {SCHEMA}.alembic_version") == [(migrate.newest(),)]


def test_a_newer_schema_is_left_alone(postgres: Postgres) -> None:
    postgres.migrate()
    postgres.run(f"UPDATE {SCHEMA}.alembic_version SET version_num = '9999'")
    with pytest.raises(migrate.SchemaTooNew, match="start the newer program"):
        postgres.migrate()


@pytest.fixture
def roles(postgres: Postgres) -> Iterator[None]:
    """The roles as Ansible makes them, by its own statements."""
    import database_role

    for name, schema in ((TRADER_ROLE, ""), (API_ROLE, SCHEMA)):
        given = {"role": name, "owns_schema": schema, "member_of": [], "connections": 12}
        for statement in database_role.statements(given, PASSWORD).replace("\\gexec", ";;").split(";"):
            if statement.strip().startswith("SELECT 'CREATE ROLE"):
                for (made,) in postgres.rows(statement):
                    postgres.run(made)
            elif statement.strip():
                postgres.run(statement)
    yield
    postgres.run(f"DROP SCHEMA {SCHEMA} CASCADE")
    for name in (TRADER_ROLE, API_ROLE):
        postgres.run(f"DROP ROLE {name}")


def test_the_api_s_role_migrates_and_the_trader_s_writes_and_removes_nothing(
    postgres: Postgres, roles: None, tmp_path: Path
) -> None:
    from crowsnest.api.schema.address import Address as ApiAddress

    def url(role: str) -> str:
        return postgres.url.replace("crowsnest@", f"{role}@")

    asyncio.run(migrate.to(ApiAddress(url(API_ROLE), postgres.password_file)))
    caps = Caps(Decimal(7))
    writer = Writer(Address(url(TRADER_ROLE), postgres.password_file), caps, Usage(), boot="b", strategies=("one",))
    assert writer.wait_for_budgets(20)
    now = datetime.now(UTC)
    writer.put(SIGNALS, ("b-1", 1, "one", "IBM.SIM", "LONG", 0.5, Decimal(1), now, now))
    writer.close()
    assert writer.lost == {}
    assert postgres.rows("SELECT strategy_id FROM trading.signals") == [("one",)]
    assert postgres.rows("SELECT cap_usd, version FROM trading.budgets") == [(Decimal("7.00"), 1)]
    with psycopg.connect(url(TRADER_ROLE), password=PASSWORD, autocommit=True) as trader:
        for statement in (
            "UPDATE trading.budgets SET cap_usd = 10",
            "DELETE FROM trading.signals",
            "TRUNCATE trading.signals",
            "DROP TABLE trading.signals",
            "SELECT * FROM trading.budget_changes",
            "CREATE TABLE trading.mine (x int)",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                trader.execute(statement)


def test_a_row_that_the_database_refuses_is_counted_and_keeps_nothing_else_back(postgres: Postgres, tmp_path: Path) -> None:
    postgres.migrate()
    told: list[tuple[str, int]] = []
    writer = Writer(
        Address(postgres.url, postgres.password_file),
        Caps(Decimal(1)),
        Usage(),
        boot="b",
        lost=lambda reason, count: told.append((reason, count)),
    )
    now = datetime.now(UTC)
    for seq in range(100):
        strategy = None if seq == 50 else "one"
        writer.put(SIGNALS, ("b-1", seq, strategy, "IBM.SIM", "LONG", 0.5, Decimal(1), now, now))
    writer.put(SIGNALS, ("b-1", "not a number", "one", "IBM.SIM", "LONG", 0.5, Decimal(1), now, now))
    writer.close()
    assert postgres.rows("SELECT count(*) FROM trading.signals") == [(99,)]
    assert writer.lost == {"refused": 2}
    assert told == [("refused", 1)] * 2


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_statement_is_one_the_database_understands(postgres: Postgres, kind) -> None:
    postgres.migrate()

    async def prepare() -> None:
        connection = await postgres.address().connect()
        await connection.prepare(kind.statement)
        await connection.close()

    asyncio.run(prepare())
