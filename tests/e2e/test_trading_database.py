"""The engine and a real PostgreSQL: rows are the engine's own report, exactly once, whatever happens to the database."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from tests.postgres import Postgres, running_postgres

pytestmark = [pytest.mark.engine, pytest.mark.docker]
pytest.importorskip("nautilus_trader", reason="nautilus_trader is not installed")

from crowsnest.engine.fleet import STARTING_BALANCE_USD  # noqa: E402
from crowsnest.engine.settings import DEFAULT_STRATEGY_IDS  # noqa: E402
from tests.e2e.trading_support import Report, trading  # noqa: E402

CENT = Decimal("0.01")


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with running_postgres(tmp_path_factory.mktemp("postgres")) as postgres:
        postgres.migrate()
        yield postgres


def agrees(postgres: Postgres, run: str, report: Report) -> None:
    """Rows of a run are NautilusTrader's report, to the cent."""
    orders = {
        name: (status, quantity, filled)
        for name, status, quantity, filled in postgres.rows(
            "SELECT client_order_id, status, quantity, filled_quantity FROM trading.orders WHERE run_id = %s", run
        )
    }
    reported = report.orders.reset_index()
    assert orders == {
        row.client_order_id: (row.status, Decimal(row.quantity), Decimal(row.filled_qty)) for row in reported.itertuples()
    }
    fills = postgres.rows("SELECT trade_id, client_order_id, quantity, price FROM trading.fills WHERE run_id = %s", run)
    assert sorted(fills) == sorted(
        (row.trade_id, row.client_order_id, Decimal(row.last_qty), Decimal(row.last_px))
        for row in report.fills.reset_index().itertuples()
    )
    positions = postgres.rows(
        "SELECT position_id, opening_order_id, realized_pnl::text FROM trading.positions WHERE run_id = %s", run
    )
    # A position of a netting account that is opened anew keeps its name; the report adds a number to the earlier ones.
    assert Counter((order, Decimal(pnl)) for _, order, pnl in positions) == Counter(
        (row.opening_order_id, Decimal(str(row.realized_pnl).split()[0])) for row in report.positions.itertuples()
    )
    (total,) = postgres.rows("SELECT sum(realized_pnl) FROM trading.positions WHERE run_id = %s", run)[0]
    assert total.quantize(CENT) == (report.balance - STARTING_BALANCE_USD).quantize(CENT)


def test_rows_are_the_engine_s_own_report_to_the_cent(postgres: Postgres) -> None:
    with trading(postgres, "report") as running:
        running.run(loops=2)
        running.writer.close()
        for number, report in enumerate(running.replay.reports, 1):
            agrees(postgres, f"report-{number}", report)
        assert running.writer.lost == {}
    counted = postgres.rows("SELECT strategy_id, count(*) FROM trading.fills WHERE run_id LIKE 'report-%%' GROUP BY 1")
    assert {name for name, _ in counted} == set(DEFAULT_STRATEGY_IDS)
    assert sum(count for _, count in counted) == running.replay.counters.fills > 300
    (signals,) = postgres.rows("SELECT count(*) FROM trading.signals WHERE run_id LIKE 'report-%%'")[0]
    assert signals >= running.replay.counters.fills - len(DEFAULT_STRATEGY_IDS) * 5 * 2, "all but the closing orders"
    runs = postgres.rows("SELECT run_id, mode, ended IS NOT NULL FROM trading.runs WHERE boot = 'report' ORDER BY loop")
    assert runs == [("report-1", "replay", True), ("report-2", "replay", True)]


def test_a_database_that_goes_away_loses_and_doubles_nothing(postgres: Postgres, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    with trading(postgres, "away", spool=spool, strategies=("hourly_buy",)) as running:
        # Half a line of a process that was killed, before any of ours.
        spool.write_bytes(b'["fills",["half')
        running.begin(bars_per_second=150)
        time.sleep(1)
        postgres.container.kill()
        before = running.replay.bars_total
        time.sleep(3)
        assert running.replay.bars_total > before + 100, "the engine does not wait for the database"
        assert spool.stat().st_size > 1000
        postgres.container.start()
        postgres.wait()
        time.sleep(3)
        running.end()
        running.writer.close()
        assert running.writer.lost == {"spool_damaged": 1}
    assert not spool.exists()
    rows = postgres.rows("SELECT count(*), count(DISTINCT (run_id, trade_id)) FROM trading.fills WHERE run_id LIKE 'away-%%'")
    assert rows == [(running.replay.counters.fills,) * 2]
    assert postgres.rows("SELECT count(*) FROM trading.orders WHERE run_id LIKE 'away-%%'") == [
        (running.replay.counters.orders,)
    ]
    (written,) = postgres.rows("SELECT count(*) FROM trading.orders WHERE run_id LIKE 'away-%%' AND status <> 'FILLED'")[0]
    assert written == 0, "a late, older state of an order does not replace a newer one"
