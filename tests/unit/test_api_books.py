"""Keyset pages and the schema's edges; nothing here needs a database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql

from crowsnest.api.budgets.service import _is_over
from crowsnest.api.schema import migrate
from crowsnest.api.services.docker import COMPONENT_LABEL, PREFIX_LABEL, _shown
from crowsnest.api.trading.books import FILLS, ORDERS, POSITIONS, SIGNALS, Cursor
from infra import host
from infra.settings import API_SCHEMA, TRADER_ROLE


def sql(**asked):
    question = FILLS.page(**{"limit": 10, "strategies": None, "equal": {}, **asked})
    return str(question.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True}))


@given(st.datetimes(datetime(1970, 1, 1), datetime(2900, 1, 1)), st.integers(0, 2**59))  # noqa: DTZ001 - made aware below
def test_a_cursor_comes_back_as_it_was(moment, row):
    cursor = Cursor(moment.replace(tzinfo=UTC), row)
    assert Cursor.parse(str(cursor)) == cursor


def test_a_cursor_of_no_time_is_refused():
    with pytest.raises(ValueError, match="of no time"):
        Cursor.parse(f"{'9' * 18}-1")


def test_a_page_is_asked_for_with_one_row_more():
    assert sql().rstrip().endswith("LIMIT 11")
    assert "ORDER BY trading.fills.time DESC, trading.fills.id DESC" in sql()


def test_the_next_page_begins_below_the_last_row():
    text = sql(before=Cursor(datetime(2026, 11, 21, tzinfo=UTC), 7))
    assert "(trading.fills.time, trading.fills.id) < ('2026-11-21 00:00:00+00:00', 7)" in text


def test_only_named_columns_are_asked_for():
    assert "WHERE" not in sql(equal={"strategy_id": None, "password": "x", "limit": 3})
    assert "trading.fills.side = 'BUY'" in sql(equal={"side": "BUY"})
    assert all(column in book.table.c for book in (ORDERS, FILLS, POSITIONS, SIGNALS) for column in book.equal)


def test_a_quote_in_a_value_stays_a_value():
    assert "''" in sql(equal={"instrument": "a' OR 'a' = 'a"})


def test_who_sees_nothing_is_asked_for_nothing():
    assert "strategy_id IN" in sql(strategies=("one", "other"))


def test_a_raise_is_over_after_its_time():
    now = datetime.now(UTC)
    assert not _is_over(now - timedelta(minutes=14))
    assert _is_over(now - timedelta(minutes=16))


def test_names_that_two_sides_know_are_the_same():
    from importlib import import_module

    first = import_module("crowsnest.api.schema.versions.0001_trading")
    assert first.TRADER == TRADER_ROLE
    assert (COMPONENT_LABEL, PREFIX_LABEL) == (host.COMPONENT_LABEL, host.PREFIX_LABEL)
    assert API_SCHEMA == migrate.SCHEMA


@pytest.mark.parametrize(
    ("status", "health"),
    [
        ("Up 3 hours (healthy)", "healthy"),
        ("Up 3 seconds (health: starting)", "starting"),
        ("Up 1 hour (unhealthy)", "unhealthy"),
        ("Up 2 minutes", "none"),
        ("Exited (137) 2 hours ago", "none"),
    ],
)
def test_docker_s_words_for_health(status, health):
    one = {"Labels": {COMPONENT_LABEL: "alloy"}, "Names": ["/c-alloy"], "Image": "i", "State": "running", "Status": status}
    assert _shown(one)["health"] == health
