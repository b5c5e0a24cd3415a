"""Rows, their spool and the metric lines; nothing here needs NautilusTrader or a database."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from sqlalchemy.dialects import postgresql

from crowsnest.api.schema.tables import metadata
from crowsnest.engine import metric_lines
from crowsnest.engine.rows import FILLS, KINDS, ORDERS, RUNS
from crowsnest.engine.settings import STRATEGY_IDS
from crowsnest.engine.writer import Damaged, Writer, _chunks, _newest
from infra.catalogue import PROJECT_ROOT

DOCS = (PROJECT_ROOT / "docs/engine-logs.md").read_text(encoding="utf-8")
KEYS = ["component_name", "metric_type", "metric_name", "metric_value", "strategy_id"]
NOW = datetime(2026, 11, 21, 10, 0, 0, 123456, tzinfo=UTC)


def order(version: int, status: str, name: str = "O-1") -> tuple:
    deal = ("hourly_buy", "IBM.SIM", "BUY", "MARKET", status, Decimal(1), Decimal(0), None, None)
    return ("run", name, *deal, None, 20.5, version, NOW, NOW, NOW)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_column_is_one_of_the_table_s(kind):
    """The engine does not know the API's tables; here both are looked at."""
    table = metadata.tables[f"trading.{kind.name}"]
    written = {name for name, _ in kind.columns}
    assert written == {column.name for column in table.columns} - {"id"}
    unique = {tuple(c.name for c in one.columns) for one in table.constraints if hasattr(one, "columns")}
    assert kind.key in unique, "what a conflict is looked for by is unique"
    dialect = postgresql.dialect()
    sql_types = {"text": "TEXT", "numeric": "NUMERIC", "int": "INTEGER", "int8": "BIGINT", "float8": "DOUBLE PRECISION"}
    sql_types |= {"timestamptz": "TIMESTAMP WITH TIME ZONE", "bool": "BOOLEAN"}
    made = {column.name: column.type.compile(dialect) for column in table.columns}
    assert {name: made[name] for name, _ in kind.columns} == {name: sql_types[declared] for name, declared in kind.columns}


def test_a_statement_can_be_repeated():
    assert "ON CONFLICT (run_id, trade_id) DO NOTHING" in FILLS.statement
    assert "WHERE present.version < excluded.version" in ORDERS.statement
    assert "time = excluded.time" not in ORDERS.statement, "when it was decided stays"
    assert RUNS.statement.count("$") == len(RUNS.columns)


def test_of_several_states_of_a_row_only_the_newest_is_written():
    batch = [(ORDERS, order(1, "SUBMITTED")), (ORDERS, order(2, "FILLED")), (ORDERS, order(1, "SUBMITTED", "O-2"))]
    ((kind, rows),) = _newest(batch)
    assert kind is ORDERS
    assert [(row[1], row[6]) for row in rows] == [("O-1", "FILLED"), ("O-2", "SUBMITTED")]


class Spooled(Writer):
    """The writer without its thread."""

    def __init__(self, spool):
        self._spool, self.given_up = spool, []

    def _give_up(self, reason, count):
        self.given_up.append((reason, count))


def test_what_goes_to_the_spool_comes_back_as_it_was(tmp_path):
    spool = tmp_path / "spool"
    spool.write_bytes(b'["orders",["hal')
    items = [(ORDERS, order(number, "FILLED")) for number in range(3)]
    items.append((RUNS, ("run", "boot", 1, "replay", "a,b", NOW, None)))
    assert Spooled(spool)._keep(items)
    damaged = Damaged()
    assert [item for batch in _chunks(spool, damaged) for item in batch] == items
    assert damaged.lines == 1, "what a killed process left half is counted"


def test_a_full_spool_counts_what_it_cannot_keep(tmp_path, monkeypatch):
    monkeypatch.setattr("crowsnest.engine.writer.SPOOL_BYTES", 10)
    writer = Spooled(tmp_path / "spool")
    assert writer._keep([(ORDERS, order(1, "FILLED"))])
    assert writer._keep([(ORDERS, order(2, "FILLED"))])
    assert writer.given_up == [("spool_full", 1)]


def test_a_metric_line_has_the_keys_of_the_source_in_their_order():
    line = json.loads(metric_lines.gauge("EMACross", "strategy_latency_us", 42.5, "mean_reversion"))
    assert list(line) == KEYS
    assert line == {
        "component_name": "EMACross",
        "metric_type": "gauge",
        "metric_name": "strategy_latency_us",
        "metric_value": 42.5,
        "strategy_id": "mean_reversion",
    }
    assert json.loads(metric_lines.counter("A", "fills", 1, "b"))["metric_type"] == "counter"


def test_the_lines_in_the_documentation_are_ones_the_engine_writes():
    shown = [json.loads(line) for line in re.findall(r'^\{"timestamp".*$', DOCS, re.MULTILINE)]
    metrics = [json.loads(line["message"]) for line in shown if line["message"].startswith("{")]
    assert [list(metric) for metric in metrics] == [KEYS] * len(metrics)
    names = {metric["metric_name"] for metric in metrics}
    listed = set(re.findall(r"^\| ((?:`[a-z_]+`(?:, )?)+) \| (?:gauge|counter)", DOCS, re.MULTILINE))
    assert names <= {name for group in listed for name in re.findall(r"`([a-z_]+)`", group)}
    for metric in metrics:
        assert metric["metric_type"] == "counter" or metric["metric_name"].endswith("_us")
        assert metric["strategy_id"] in {*STRATEGY_IDS, metric_lines.ENGINE}
    assert all(f"`{strategy}`" in DOCS for strategy in STRATEGY_IDS)
