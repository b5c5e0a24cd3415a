"""The audit log: append-only, in order whatever comes at once, and no byte can be changed unnoticed."""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crowsnest.api.__main__ import main
from crowsnest.api.audit import chain
from crowsnest.api.audit.store import Entry, SqliteAuditStore
from crowsnest.api.database import Database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with closing(Database(tmp_path / "api.sqlite3")) as database:
        yield database


@pytest.fixture
def audit(database: Database) -> SqliteAuditStore:
    return SqliteAuditStore(database)


def fill(database: Database, audit: SqliteAuditStore, rows: int) -> None:
    entries = [Entry(f"user{index % 7}", "10.0.0.1", "logs.query", "allowed", {"q": f"order {index}"}) for index in range(rows)]
    database.write_now(lambda connection: audit.append_within(connection, entries))


def test_what_was_appended_is_intact(database, audit):
    assert audit.verify({}).problem is None
    fill(database, audit, 50)
    verdict = audit.verify({})
    assert (verdict.rows, verdict.problem) == (50, None)
    assert audit.head() == (50, verdict.head)


def test_entries_that_come_at_once_are_all_there_in_one_chain(database, audit):
    async def storm() -> None:
        await asyncio.gather(*(audit.append(Entry(f"u{index}", "a", "x", "allowed")) for index in range(500)))

    asyncio.run(storm())
    verdict = audit.verify({})
    assert (verdict.rows, verdict.problem) == (500, None)
    assert {row["actor"] for row in audit.page(None, 500)} == {f"u{index}" for index in range(500)}


def test_two_programs_at_once_make_one_chain(database, audit):
    """The command line writes while the service runs."""
    with closing(Database(database.path)) as other:
        for _ in range(20):
            fill(database, audit, 3)
            fill(other, SqliteAuditStore(other), 2)
    assert (audit.verify({}).rows, audit.verify({}).problem) == (100, None)


def test_who_asks_waits_until_it_is_written_and_is_told_when_it_cannot_be(database, audit):
    database.write_now(lambda connection: connection.execute("DROP TABLE audit"))
    with pytest.raises(sqlite3.Error):
        asyncio.run(audit.append(Entry("a", "b", "c", "allowed")))


@pytest.mark.parametrize("statement", ["UPDATE audit SET actor = 'x'", "DELETE FROM audit", "DELETE FROM audit WHERE seq = 1"])
def test_the_table_refuses_to_be_changed(database, audit, statement):
    fill(database, audit, 3)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        database.write_now(lambda connection: connection.execute(statement))


@pytest.mark.parametrize("column", [*chain.FIELDS, "previous_hash", "hash"])
def test_a_change_in_any_column_is_found(database, audit, column):
    fill(database, audit, 9)

    def tamper(connection: sqlite3.Connection) -> None:
        connection.execute("DROP TRIGGER audit_keeps")
        value = {"seq": 99, "previous_hash": bytes(32), "hash": bytes(32)}.get(column, "x")
        connection.execute(f"UPDATE audit SET {column} = ? WHERE seq = 5", (value,))

    database.write_now(tamper)
    verdict = audit.verify({})
    assert verdict.problem
    assert verdict.rows == 4


def test_a_deleted_row_and_a_cut_end_are_found(database, audit):
    fill(database, audit, 9)
    noted = dict([audit.head()])

    def tamper(connection: sqlite3.Connection) -> None:
        connection.execute("DROP TRIGGER audit_stays")
        connection.execute("DELETE FROM audit WHERE seq = 9")

    database.write_now(tamper)
    assert audit.verify({}).problem is None, "a chain alone cannot know its end"
    assert "row 9 was noted and is missing" in str(audit.verify(noted).problem)
    database.write_now(lambda connection: connection.execute("DELETE FROM audit WHERE seq = 4"))
    assert "row 4 is missing" in str(audit.verify({}).problem)


def test_a_log_that_was_made_anew_is_found_by_a_noted_hash(database, audit):
    fill(database, audit, 5)
    noted = dict([audit.head()])

    def forge(connection: sqlite3.Connection) -> None:
        connection.execute("DROP TRIGGER audit_stays")
        connection.execute("DELETE FROM audit")
        audit.append_within(connection, [Entry("someone", "else", "did", "it")] * 6)

    database.write_now(forge)
    assert audit.verify({}).problem is None
    assert "made anew" in str(audit.verify(noted).problem)


def test_any_changed_byte_of_a_row_in_the_file_is_found(tmp_path, monkeypatch, capsys):
    """Bytes of the file itself, as somebody with a hex editor would: each of 60 places, through the command."""
    path = tmp_path / "api.sqlite3"
    with closing(Database(path)) as database:
        fill(database, SqliteAuditStore(database), 40)
        database.write_now(lambda connection: None)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    original = path.read_bytes()
    monkeypatch.setenv("CROWSNEST_API_DATABASE", str(path))
    assert main(["audit", "verify"]) == 0
    # Where a row's text lies; the rest of its record is tried by columns above.
    places = [
        index + offset
        for index in _occurrences(original, b'{"q":"order ')
        for offset in range(-60, 14)
        if 0 <= index + offset < len(original)
    ]
    assert len(places) > 2000
    missed = []
    for place in random.Random(7).sample(places, 60):
        shutil.copy(path, tmp_path / "kept")
        changed = bytearray(original)
        changed[place] ^= 1 << (place % 8)
        path.write_bytes(changed)
        for leftover in tmp_path.glob("api.sqlite3-*"):
            leftover.unlink()
        if main(["audit", "verify"]) == 0:
            missed.append(place)
        path.write_bytes(original)
    assert not missed
    assert "NOT intact" in capsys.readouterr().out


def _occurrences(data: bytes, part: bytes) -> Iterator[int]:
    at = data.find(part)
    while at >= 0:
        yield at
        at = data.find(part, at + 1)


@given(st.lists(st.text(), min_size=2, max_size=5), st.data())
def test_no_two_lists_of_values_have_the_same_hash(values, data):
    index = data.draw(st.integers(0, len(values) - 2))
    moved = list(values)
    moved[index], moved[index + 1] = values[index] + values[index + 1][:1], values[index + 1][1:]
    assert (chain.row_hash(chain.GENESIS, values) == chain.row_hash(chain.GENESIS, moved)) == (values == moved)


def test_pages_are_newest_first_and_complete(database, audit):
    fill(database, audit, 25)
    seen, before = [], None
    while rows := audit.page(before, 10):
        seen += [row["seq"] for row in rows]
        before = rows[-1]["seq"]
    assert seen == list(range(25, 0, -1))


def test_an_oversized_detail_is_cut_and_stays_json(database, audit):
    database.write_now(
        lambda connection: audit.append_within(connection, [Entry("a", "b", "c", "allowed", {"q": "x" * 99_999})])
    )
    (row,) = audit.page(None, 1)
    assert len(row["detail"]["cut"]) == 3000
    assert audit.verify({}).problem is None


def test_verifying_takes_seconds_for_a_million_rows(database, audit):
    fill(database, audit, 20_000)
    begun = time.perf_counter()
    assert audit.verify({}).problem is None
    assert (time.perf_counter() - begun) * 50 < 30
