"""Tables and views of QuestDB, from the SQL files beside this module; and what is set right on tables that are there."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

from crowsnest.ticks.lines import DEAD_LETTERS, unusable
from crowsnest.ticks.questdb import QuestDB, SqlError
from crowsnest.ticks.settings import Ttl

_log = logging.getLogger(__name__)
_SQL = resources.files("crowsnest.ticks") / "sql"
# QuestDB's own.
_INTERNAL = ("sys.", "telemetry", "_")
_TABLE, _MATERIALISED = "T", "M"
KEYS = "timestamp, run_id, seq"
# Names that QuestDB gives back in the plural or the singular, as it likes.
_DURATIONS = ("HOUR", "DAY", "WEEK", "MONTH", "YEAR")


@dataclass(frozen=True, slots=True)
class Table:
    """A table as QuestDB describes it."""

    name: str
    kind: str
    ttl: Ttl
    deduplicates: bool

    @property
    def is_event(self) -> bool:
        """Whether rows of an event go into it."""
        return self.kind == _TABLE


def text(name: str, **values: str) -> str:
    """A SQL file without its comments, with ``{name}`` filled in."""
    return _filled(_SQL / name, values)


def _filled(file: Traversable, values: dict[str, str]) -> str:
    lines = file.read_text(encoding="utf-8").splitlines()
    statement = "\n".join(line for line in lines if not line.startswith("--")).strip()
    for key, value in values.items():
        statement = statement.replace("{" + key + "}", value)
    return statement


def folder(name: str, **values: str) -> list[str]:
    """The statements of a folder, by file name."""
    files = sorted((_SQL / name).iterdir(), key=lambda file: file.name)
    return [_filled(file, values) for file in files if file.name.endswith(".sql")]


async def converge(store: QuestDB, ttl: Ttl) -> None:
    """Make the tables and views that are always there, and set right what is there and not as declared.

    Raises:
        SqlError, StoreError: QuestDB refuses a statement or does not answer.
    """
    for statement in folder("tables", ttl=str(ttl)):
        await store.sql(statement)
    for statement in folder("views", ttl=str(ttl)):
        await store.sql(statement)


async def create_event(store: QuestDB, event: str, ttl: Ttl) -> None:
    """Make the table of an event.

    Raises:
        SqlError, StoreError: as `converge` does.
    """
    await store.sql(text("event.sql", event=event, ttl=str(ttl)))


async def tables(store: QuestDB) -> list[Table]:
    """What is there, QuestDB's own tables left out.

    Raises:
        SqlError, StoreError: as `converge` does.
    """
    rows = await store.sql("SELECT table_name, table_type, ttlValue, ttlUnit, dedup FROM tables()")
    found = [
        Table(row["table_name"], str(row["table_type"]), Ttl(int(row["ttlValue"]), _unit(row["ttlUnit"])), bool(row["dedup"]))
        for row in rows
    ]
    # One with another name was made by hand; nothing here would make it.
    return [table for table in found if unusable(table.name) is None and not table.name.startswith(_INTERNAL)]


def _unit(word: Any) -> str:
    return next((unit for unit in _DURATIONS if str(word).upper().startswith(unit)), str(word))


async def set_right(store: QuestDB, found: Iterable[Table], ttl: Ttl) -> None:
    """Give tables the declared retention, and deduplication to those that were made by another.

    Raises:
        SqlError, StoreError: as `converge` does.
    """
    for table in found:
        if table.kind in (_TABLE, _MATERIALISED) and table.ttl != ttl:
            _log.info("%s: keeps rows for %s, was %s", table.name, ttl, table.ttl)
            kind = "TABLE" if table.kind == _TABLE else "MATERIALIZED VIEW"
            await store.sql(f'ALTER {kind} "{table.name}" SET TTL {ttl}')
        if table.is_event and not table.deduplicates:
            try:
                await store.sql(f'ALTER TABLE "{table.name}" DEDUP ENABLE UPSERT KEYS({KEYS})')
            except SqlError as error:
                # Made by hand, without these columns.
                _log.warning("%s: repeated rows will be stored repeatedly: %s", table.name, error)


async def declare_log_events(store: QuestDB, found: Iterable[Table]) -> None:
    """Make the views over all events anew.

    Raises:
        SqlError, StoreError: as `converge` does.
    """
    selects = []
    for table in sorted(found, key=lambda one: one.name):
        columns = {row["column"] for row in await store.sql(f"SHOW COLUMNS FROM '{table.name}'")}
        if table.is_event and {"timestamp", "run_id", "seq"} <= columns:
            level = "level::varchar" if "level" in columns else "null::varchar"
            event = "event::varchar" if table.name == DEAD_LETTERS else f"'{table.name}'::varchar"
            dead = "true" if table.name == DEAD_LETTERS else "false"
            # A name that `tables` has seen.
            selects.append(
                f"SELECT timestamp, {event} AS event, run_id::varchar AS run_id, seq, {level} AS level, {dead} AS dead "  # noqa: S608
                f'FROM "{table.name}"'
            )
    await store.sql(text("log_events.sql", selects=" UNION ALL ".join(selects)))
    for name in ("log_gaps.sql", "log_runs.sql"):
        await store.sql(text(name))
