"""A PostgreSQL of the catalogue's own image, for tests: empty, or with the schema."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import psycopg

from infra.catalogue import catalogue
from supply import images

PASSWORD = "a-password-for-tests"
NAME = "crowsnest"


@dataclass
class Postgres:
    """One running server."""

    url: str
    password_file: Path
    container: Any

    def connect(self, **options: Any) -> psycopg.Connection[Any]:
        return psycopg.connect(self.url, password=PASSWORD, connect_timeout=3, autocommit=True, **options)

    def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with self.connect() as connection:
            return connection.execute(statement, values).fetchall()  # type: ignore[arg-type]

    def run(self, statement: str, *values: object) -> None:
        with self.connect() as connection:
            connection.execute(statement, values)  # type: ignore[arg-type]

    def migrate(self, revision: str = "head") -> None:
        from crowsnest.api.schema import migrate

        asyncio.run(migrate.to(self.address(), revision))

    def address(self) -> Any:
        from crowsnest.api.schema.address import Address

        return Address(self.url, self.password_file)

    def empty(self) -> None:
        """Leave the tables and remove their rows."""
        self.run(
            "TRUNCATE trading.runs, trading.orders, trading.fills, trading.positions, trading.signals, trading.budgets,"
            " trading.budget_usage, trading.budget_changes, trading.budget_requests"
        )

    def wait(self, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.rows("SELECT 1")
                return
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, self.container.logs().decode()
                time.sleep(0.2)


@contextmanager
def running_postgres(folder: Path, *options: str) -> Iterator[Postgres]:
    """A server in a container of its own, whose data lies below `folder`."""
    component, client = catalogue()["postgresql"], docker.from_env()
    secret = folder / "postgresql_password"
    secret.write_text(PASSWORD, encoding="utf-8")
    secret.chmod(0o444)
    folder.chmod(0o755)
    data = folder / "data"
    data.mkdir()
    os.chown(data, component.owner, component.uid)
    port = component.ports["sql"].container
    container = client.containers.run(
        images.packages_reference(component),
        ["postgres", "-c", f"port={port}", *(word for option in options for word in ("-c", option))],
        name=f"cnpg-{os.getpid()}-{time.monotonic_ns() % 10**6}",
        user=component.user,
        detach=True,
        shm_size="256m",
        tmpfs=dict.fromkeys(component.tmpfs, f"uid={component.owner}"),
        mounts=[
            docker.types.Mount("/run/secrets/password", str(secret), type="bind", read_only=True),
            docker.types.Mount(str(component.data), str(data), type="bind"),
        ],
        environment={
            "POSTGRES_USER": NAME,
            "POSTGRES_DB": NAME,
            "POSTGRES_PASSWORD_FILE": "/run/secrets/password",
        },
    )
    try:
        container.reload()
        address = container.attrs["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
        postgres = Postgres(f"postgresql://{NAME}@{address}:{port}/{NAME}", secret, container)
        postgres.wait()
        yield postgres
    finally:
        container.remove(force=True, v=True)
        client.close()
