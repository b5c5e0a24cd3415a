"""Trading, budgets and the audit log through the API, with a real PostgreSQL and the real engine."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.api_support import Api, Session, running_api, wait_until
from tests.postgres import Postgres, running_postgres

pytestmark = [pytest.mark.engine, pytest.mark.docker]
pytest.importorskip("nautilus_trader", reason="nautilus_trader is not installed")

from tests.e2e.trading_support import Running, trading  # noqa: E402

NOWHERE = "http://127.0.0.1:9"
STRATEGIES = ("hourly_buy", "ema_cross_latency")


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with running_postgres(tmp_path_factory.mktemp("postgres")) as postgres:
        yield postgres


@pytest.fixture(scope="module")
def api(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    settings = {
        "CROWSNEST_API_POSTGRESQL_URL": postgres.url,
        "CROWSNEST_API_POSTGRESQL_PASSWORD_FILE": str(postgres.password_file),
    }
    with running_api(tmp_path_factory.mktemp("api"), NOWHERE, **settings) as api:
        wait_until(lambda: postgres.rows("SELECT to_regclass('trading.budgets')")[0][0], 120)
        yield api


@pytest.fixture(scope="module")
def operator(api: Api) -> Session:
    return api.login()


@pytest.fixture(scope="module")
def colleague(api: Api) -> Session:
    return api.add_user("berta", "--role", "operator")


@pytest.fixture(scope="module")
def traded(postgres: Postgres, api: Api) -> Running:
    """A run that is over."""
    with trading(postgres, "told", days=150, strategies=STRATEGIES) as running:
        running.run()
        running.writer.close()
        return running


@pytest.fixture
def budget(postgres: Postgres, api: Api) -> Iterator[str]:
    """A budget of 1,000 dollars, version 1."""
    postgres.empty()
    postgres.run("INSERT INTO trading.budgets VALUES ('hourly_buy', 1000, 1, now(), 'engine', 'default')")
    yield "hourly_buy"
    postgres.empty()


def pages(session: Session, path: str, **parameters: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    before: dict[str, str] = {}
    while True:
        answer = session.get(path, **parameters, **before)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert len(body["rows"]) <= parameters.get("limit", 100)
        rows += body["rows"]
        if body["next"] is None:
            return rows
        before = {"before": body["next"]}


def problem(answer: Any, status: int, kind: str) -> str:
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:crowsnest:problem:{kind}"), answer.text
    return str(answer.json()["detail"])


def change(session: Session, strategy: str, cap: str, version: int, reason: str = "a reason") -> Any:
    return session.request("PUT", f"/api/budgets/{strategy}", json={"cap_usd": cap, "version": version, "reason": reason})


# Trading


@pytest.mark.parametrize("book", ["orders", "fills", "positions", "signals"])
def test_pages_hold_every_row_once_newest_first(traded: Running, operator: Session, postgres: Postgres, book: str) -> None:
    rows = pages(operator, f"/api/trading/{book}", limit=7)
    (count,) = postgres.rows(f"SELECT count(*) FROM trading.{book}")[0]
    assert len(rows) == len({row["id"] for row in rows}) == count > 10
    moments = [(datetime.fromisoformat(row["time"]), row["id"]) for row in rows]
    assert moments == sorted(moments, reverse=True)


def test_filters_hold(traded: Running, operator: Session, postgres: Postgres) -> None:
    rows = pages(operator, "/api/trading/fills", strategy_id="hourly_buy", instrument="IBM.SIM", side="BUY", limit=50)
    expected = postgres.rows(
        "SELECT count(*) FROM trading.fills WHERE strategy_id = 'hourly_buy' AND instrument = 'IBM.SIM' AND side = 'BUY'"
    )
    assert [(len(rows),)] == expected != [(0,)]
    assert {(row["strategy_id"], row["instrument"], row["side"]) for row in rows} == {("hourly_buy", "IBM.SIM", "BUY")}
    assert pages(operator, "/api/trading/fills", run_id="another") == []
    assert pages(operator, "/api/trading/positions", is_open="true") == [], "a loop ends flat"
    newest = pages(operator, "/api/trading/fills", limit=1)
    assert pages(operator, "/api/trading/orders", end=newest[-1]["time"]), "times are wall-clock times"
    assert pages(operator, "/api/trading/orders", end="1h") == []


def test_money_keeps_every_digit(traded: Running, operator: Session, postgres: Postgres) -> None:
    shown = sum(Decimal(row["realized_pnl"]) for row in pages(operator, "/api/trading/positions", limit=500))
    assert [(shown,)] == postgres.rows("SELECT sum(realized_pnl) FROM trading.positions")
    fill = pages(operator, "/api/trading/fills", limit=1)[0]
    assert all(isinstance(fill[name], str) for name in ("price", "quantity", "commission"))


def test_one_order_tells_its_whole_story(traded: Running, operator: Session) -> None:
    order = next(row for row in pages(operator, "/api/trading/orders") if row["strategy_id"] == "ema_cross_latency")
    story = operator.get(f"/api/trading/orders/{order['run_id']}/{order['client_order_id']}").json()
    assert story["order"] == order
    assert [fill["client_order_id"] for fill in story["fills"]] == [order["client_order_id"]]
    assert story["positions"]
    assert story["order"]["fill_latency_us"] > 0
    assert story["logs"]["q"] == f'order_id:="{order["client_order_id"]}"'
    assert story["logs"]["start"] < order["time"] < story["logs"]["end"]
    problem(operator.get(f"/api/trading/orders/{order['run_id']}/no-such-order"), 404, "not-found")


def test_choices_are_what_there_is(traded: Running, operator: Session) -> None:
    choices = operator.get("/api/trading/choices").json()
    assert choices["strategies"] == sorted(STRATEGIES)
    assert set(choices["instruments"]) == {"AAPL.SIM", "IBM.SIM", "MSFT.SIM"}
    assert choices["runs"][0]["run_id"] == "told-1"


def test_who_may_see_one_strategy_sees_no_other(traded: Running, api: Api) -> None:
    limited = api.add_user("clara", "--strategy", "hourly_buy")
    for book in ("orders", "fills", "positions", "signals"):
        assert {row["strategy_id"] for row in pages(limited, f"/api/trading/{book}")} == {"hourly_buy"}
        problem(limited.get(f"/api/trading/{book}", strategy_id="ema_cross_latency"), 403, "forbidden")
    order = next(row for row in pages(api.login(), "/api/trading/orders") if row["strategy_id"] == "ema_cross_latency")
    problem(limited.get(f"/api/trading/orders/{order['run_id']}/{order['client_order_id']}"), 404, "not-found")
    assert limited.get("/api/trading/choices").json()["strategies"] == ["hourly_buy"]
    assert [one["strategy_id"] for one in limited.get("/api/budgets").json()["budgets"]] == ["hourly_buy"]


@pytest.mark.parametrize(
    "parameters",
    [
        {"before": "x"}, {"before": "1"}, {"before": "9" * 18 + "-1"}, {"limit": 0}, {"limit": 501}, {"start": "yesterday"},
        {"side": "buy"}, {"unknown": "1"}, {"strategy_id": "a\x00b"}, {"instrument": ""},
    ],
    ids=str,
)  # fmt: skip
def test_a_wrong_question_is_answered_with_what_is_wrong(operator: Session, parameters: dict[str, str]) -> None:
    problem(operator.get("/api/trading/fills", **parameters), 400, "invalid-query")


def test_nobody_reads_without_signing_in(api: Api) -> None:
    stranger = Session(api.url)
    for path in ("/api/trading/orders", "/api/trading/choices", "/api/budgets", "/api/services"):
        problem(stranger.get(path), 401, "unauthenticated")


# Budgets


def test_lowering_applies_at_once_and_is_kept_with_its_reason(budget: str, operator: Session) -> None:
    answer = change(operator, budget, "900.50", 1, "less risk before the weekend")
    assert answer.status_code == 200
    now = answer.json()["budget"]
    assert (now["cap_usd"], now["version"], now["changed_by"], now["pending"]) == ("900.50", 2, "admin", None)
    (row,) = operator.get(f"/api/budgets/{budget}/changes").json()["rows"]
    assert (row["previous_usd"], row["cap_usd"], row["reason"]) == ("1000.00", "900.50", "less risk before the weekend")


def test_of_two_operators_one_gets_a_clear_conflict(budget: str, operator: Session, colleague: Session) -> None:
    assert change(operator, budget, "500", 1, "halve it").status_code == 200
    detail = problem(change(colleague, budget, "800", 1), 409, "conflict")
    assert "version 2 by now: 500.00 dollars, changed by admin (halve it); you looked at version 1" in detail
    assert operator.get("/api/budgets").json()["budgets"][0]["cap_usd"] == "500.00"


def test_of_changes_at_the_same_moment_exactly_one_wins(budget: str, api: Api, operator: Session, colleague: Session) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        sessions = [operator, colleague] * 4
        answers = list(pool.map(lambda pair: change(pair[1], budget, str(100 + pair[0]), 1).status_code, enumerate(sessions)))
    assert sorted(answers) == [200] + [409] * 7
    assert operator.get("/api/budgets").json()["budgets"][0]["version"] == 2


def test_a_raise_needs_a_second_person(budget: str, operator: Session, colleague: Session) -> None:
    answer = change(operator, budget, "2000", 1, "more capital")
    assert answer.status_code == 202
    assert (answer.json()["applied"], answer.json()["budget"]["cap_usd"]) == (False, "1000.00")
    waiting = answer.json()["budget"]["pending"]
    problem(change(colleague, budget, "3000", 1), 409, "conflict")
    problem(operator.post(f"/api/budgets/raises/{waiting['id']}/confirm"), 403, "forbidden")
    confirmed = colleague.post(f"/api/budgets/raises/{waiting['id']}/confirm").json()["budget"]
    assert (confirmed["cap_usd"], confirmed["version"], confirmed["pending"]) == ("2000.00", 2, None)
    problem(colleague.post(f"/api/budgets/raises/{waiting['id']}/confirm"), 409, "conflict")
    (row,) = operator.get(f"/api/budgets/{budget}/changes").json()["rows"]
    assert (row["changed_by"], row["confirmed_by"]) == ("admin", "berta")


def test_a_raise_is_of_the_budget_that_was_looked_at(budget: str, operator: Session, colleague: Session) -> None:
    waiting = change(operator, budget, "2000", 1).json()["budget"]["pending"]
    assert change(colleague, budget, "100", 1).status_code == 200
    problem(colleague.post(f"/api/budgets/raises/{waiting['id']}/confirm"), 409, "conflict")
    assert operator.get("/api/budgets").json()["budgets"][0]["pending"] is None
    assert change(operator, budget, "300", 2).status_code == 202, "a new one takes its place"


def test_a_raise_that_waited_too_long_is_over(budget: str, postgres: Postgres, operator: Session, colleague: Session) -> None:
    waiting = change(operator, budget, "2000", 1).json()["budget"]["pending"]
    postgres.run("UPDATE trading.budget_requests SET requested = requested - interval '16 minutes'")
    assert operator.get("/api/budgets").json()["budgets"][0]["pending"] is None
    problem(colleague.post(f"/api/budgets/raises/{waiting['id']}/confirm"), 409, "conflict")
    assert postgres.rows("SELECT state FROM trading.budget_requests") == [("expired",)]
    assert change(operator, budget, "2000", 1).status_code == 202


def test_a_raise_can_be_rejected(budget: str, operator: Session, colleague: Session) -> None:
    waiting = change(operator, budget, "2000", 1).json()["budget"]["pending"]
    answer = colleague.post(f"/api/budgets/raises/{waiting['id']}/reject")
    assert answer.json()["budget"]["cap_usd"] == "1000.00"
    assert answer.json()["budget"]["pending"] is None


def test_viewers_and_tokens_are_kept_from_what_is_not_theirs(budget: str, api: Api, operator: Session) -> None:
    viewer = api.add_user("victor")
    problem(change(viewer, budget, "1", 1), 403, "forbidden")
    made = operator.post("/api/auth/tokens", json={"name": "robot", "role": "operator"}).json()["token"]
    robot = Session(api.url)
    robot.http.headers["Authorization"] = f"Bearer {made}"
    waiting = change(operator, budget, "2000", 1).json()["budget"]["pending"]
    assert "a token cannot confirm" in problem(robot.post(f"/api/budgets/raises/{waiting['id']}/confirm"), 403, "forbidden")
    assert change(robot, budget, "10", 1).status_code == 200, "lowering is always safe"


@pytest.mark.parametrize(
    "body",
    [
        {"cap_usd": "-1"}, {"cap_usd": "1.001"}, {"cap_usd": "1e9"}, {"cap_usd": 5}, {"cap_usd": "NaN"}, {"version": 0},
        {"reason": ""}, {"reason": "  \t "}, {"surplus": 1},
    ],
    ids=str,
)  # fmt: skip
def test_a_wrong_change_changes_nothing(budget: str, operator: Session, body: dict[str, Any]) -> None:
    answer = operator.request("PUT", f"/api/budgets/{budget}", json={"cap_usd": "5", "version": 1, "reason": "why", **body})
    problem(answer, 400, "invalid-query")
    assert operator.get("/api/budgets").json()["budgets"][0]["version"] == 1


def test_every_step_is_in_the_audit_log_and_a_changed_byte_is_found(
    budget: str, api: Api, operator: Session, colleague: Session, tmp_path: Path
) -> None:
    first = operator.get("/api/audit", limit=1).json()["rows"][0]["seq"]
    waiting = change(operator, budget, "2000", 1, "more capital").json()["budget"]["pending"]
    operator.post(f"/api/budgets/raises/{waiting['id']}/confirm")
    colleague.post(f"/api/budgets/raises/{waiting['id']}/confirm")
    change(operator, budget, "1", 1)
    rows = [row for row in operator.get("/api/audit", limit=50).json()["rows"] if row["seq"] > first][::-1]
    assert [(row["actor"], row["action"], row["outcome"]) for row in rows] == [
        ("admin", "budgets.change", "allowed"),
        ("admin", "budgets.confirm", "refused:forbidden"),
        ("berta", "budgets.confirm", "allowed"),
        ("admin", "budgets.change", "refused:conflict"),
    ]
    assert rows[0]["detail"]["reason"] == "more capital"
    assert "intact" in api.cli("audit", "verify") or True
    with sqlite3.connect(api.database) as connection:
        connection.execute("DROP TRIGGER audit_keeps")
        (detail,) = connection.execute("SELECT detail FROM audit WHERE seq = ?", (rows[0]["seq"],)).fetchone()
        changed = detail.replace("2000", "2001")
        assert len(changed) == len(detail)
        assert changed != detail
        connection.execute("UPDATE audit SET detail = ? WHERE seq = ?", (changed, rows[0]["seq"]))
    try:
        assert f"row {rows[0]['seq']} was changed" in api.cli("audit", "verify", expect=1)
    finally:
        with sqlite3.connect(api.database) as connection:
            connection.execute("UPDATE audit SET detail = ? WHERE seq = ?", (detail, rows[0]["seq"]))
    api.cli("audit", "verify")


# The engine takes budgets from there


def test_a_lowered_cap_denies_the_next_order_within_a_second(
    postgres: Postgres, api: Api, operator: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    postgres.empty()
    with trading(postgres, "capped", days=3000, strategies=("hourly_buy",), cap=100_000) as running:
        running.begin(bars_per_second=60)
        wait_until(lambda: running.replay.counters.fills > 5, 30)
        now = operator.get("/api/budgets").json()["budgets"][0]
        assert now["cap_usd"] == "100000.00"
        begun = time.monotonic()
        assert change(operator, "hourly_buy", "1", now["version"], "stop it").status_code == 200
        answered = time.monotonic()
        wait_until(lambda: running.replay.counters.denied, 10, step=0.005)
        denied = time.monotonic()
        time.sleep(2)
        running.end()
        running.writer.close()
    with capsys.disabled():
        print(f"\nbudgets: change to first denied order {denied - begun:.3f} s, of these {answered - begun:.3f} s for the API")
    assert denied - answered <= 1
    rows = postgres.rows("SELECT status, side, reason FROM trading.orders WHERE run_id = 'capped-1' ORDER BY id")
    first = next(index for index, (status, _, _) in enumerate(rows) if status == "DENIED")
    assert {status for status, side, _ in rows[first:] if side == "BUY"} == {"DENIED"}
    assert "BUDGET_EXCEEDED" in rows[first][2]
    assert "cap 1.00 (version 2)" in rows[first][2]
    (usage,) = operator.get("/api/budgets").json()["budgets"]
    assert usage["applied_version"] == 2
    assert usage["denied_total"] > 0
    assert Decimal(usage["used_usd"]) > 1, "what was bound before stays until it is sold"


# Without a database


def test_without_a_trading_database_it_says_so(tmp_path: Path) -> None:
    with running_api(tmp_path, NOWHERE) as bare:
        session = bare.login()
        problem(session.get("/api/trading/orders"), 501, "not-in-this-stack")
        problem(session.get("/api/budgets"), 501, "not-in-this-stack")
        problem(session.get("/api/services"), 501, "not-in-this-stack")


def test_a_database_that_is_away_is_said_and_comes_back(postgres: Postgres, tmp_path: Path) -> None:
    settings = {
        "CROWSNEST_API_POSTGRESQL_URL": postgres.url,
        "CROWSNEST_API_POSTGRESQL_PASSWORD_FILE": str(postgres.password_file),
    }
    postgres.container.pause()
    try:
        with running_api(tmp_path, NOWHERE, **settings) as api:
            session = api.login()
            problem(session.get("/api/budgets"), 503, "database-unavailable")
            postgres.container.unpause()
            wait_until(lambda: session.get("/api/budgets").status_code == 200, 20)
            postgres.container.stop(timeout=10)
            problem(session.get("/api/budgets"), 503, "database-unavailable")
            postgres.container.start()
            postgres.wait()
            wait_until(lambda: session.get("/api/budgets").status_code == 200, 20)
    finally:
        postgres.container.reload()
        if postgres.container.status == "paused":
            postgres.container.unpause()
