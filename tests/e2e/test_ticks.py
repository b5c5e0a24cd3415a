"""Ticks: each line of the log file is one row of QuestDB, whatever breaks between them; docs/ticks.md has the table.

Short by default. CROWSNEST_TICKS=full: outages of the length that the table names, and the source's way (`make ticks`).
"""

from __future__ import annotations

import datetime as dt
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import psycopg
import pytest

from infra.catalogue import catalogue
from infra.settings import PROJECT, TICKS_LOG_FILE, TICKS_READER
from tests.figures import figure

from .conftest import StackUnderTest
from .delivery import file_system, usage
from .ticks import Counted, Ticks

pytestmark = [pytest.mark.docker, pytest.mark.stack, pytest.mark.timeout(1800)]

FULL = os.environ.get("CROWSNEST_TICKS") == "full"
OUTAGE_SECONDS = 600 if FULL else 20
RATE = 100
# QuestDB takes 16 MiB a column at first, and an event gets its table while the disk is this small.
DISK_MB = 1024
MIB = 2**20


def deployed(make: Callable[..., StackUnderTest], client: docker.DockerClient, profile: str, offset: int) -> Ticks:
    name = "ticks" if profile == "durable" else "ticks-source"
    tree = {
        "name_prefix": f"crowsnest-{name}",
        "port_offset": offset,
        "supply": os.environ.get("CROWSNEST_TEST_SUPPLY", "packages"),
        "pipelines": {"ticks": {"profile": profile, "ticker": {"segments": 1000, "segment_mb": 1}}},
        "publish": ["questdb.http", "questdb.sql"],
    }
    stack = make(name, tree)
    stack.configure()
    ticks = Ticks(stack, client, profile)
    figure(f"ticks, {profile}: up, images present, s", f"{stack.up().seconds:.1f}")
    return ticks


@pytest.fixture(scope="module")
def ticks(make_stack: Callable[..., StackUnderTest], client: docker.DockerClient) -> Iterator[Ticks]:
    ticks = deployed(make_stack, client, "durable", 34000)
    yield ticks
    ticks.stack.run("down")


def broken(ticks: Ticks, name: str, event: Callable[[], object], *, seconds: float = 15, rate: float = RATE) -> Counted:
    """Log prices for some seconds, do something to the way a third in, and count what is stored."""
    since = now()
    with ticks.prices(seconds=seconds, rate=rate) as container:
        time.sleep(seconds / 3 if rate else 1)
        event()
        container.wait(timeout=seconds * 3 + 120)
    runs = {record["run_id"]: 0 for record in ticks.written(since)}
    for record in ticks.written(since):
        runs[record["run_id"]] += 1
    # The stack's own process is far slower, and stopped in the source's profile.
    found = ticks.settled(since, max(runs, key=lambda run: runs[run]) if ticks.profile == "durable" else None)
    figure(f"ticks, {ticks.profile}, {name}", found)
    return found


def now() -> str:
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def recreate(ticks: Ticks) -> None:
    for component in ("telegraf", "questdb"):
        ticks.container(component).remove(force=True)
    ticks.stack.up()


def questdb_away(ticks: Ticks) -> None:
    with ticks.away("questdb"):
        time.sleep(OUTAGE_SECONDS)
    ticks.healthy("questdb")


def telegraf_restarted_while_questdb_is_away(ticks: Ticks) -> None:
    with ticks.away("questdb"):
        time.sleep(5)
        ticks.container("telegraf").restart()
        time.sleep(2)
    ticks.healthy("questdb")


EVENTS: dict[str, Callable[[Ticks], object]] = {
    "nothing": lambda ticks: None,
    "telegraf killed": lambda ticks: ticks.kill("telegraf"),
    "telegraf restarted": lambda ticks: ticks.container("telegraf").restart(),
    "questdb killed": lambda ticks: ticks.kill("questdb"),
    f"questdb away {OUTAGE_SECONDS} s": questdb_away,
    "telegraf restarted, questdb away": telegraf_restarted_while_questdb_is_away,
    "both re-created": recreate,
}


def lasts(name: str) -> float:
    return OUTAGE_SECONDS * 1.5 if "away" in name and "restarted" not in name else 15


@pytest.mark.parametrize("name", EVENTS)
def test_rows_are_lines(ticks: Ticks, name: str):
    found = broken(ticks, name, lambda: EVENTS[name](ticks), seconds=lasts(name))

    assert found.lines >= RATE * 10
    assert (found.lost, found.repeated) == (0, 0)


def test_rows_are_lines_when_the_relay_is_killed(ticks: Ticks):
    found = broken(ticks, "relay killed", lambda: ticks.kill("ticks-relay"))

    assert (found.lost, found.repeated) == (0, 0)


def test_rows_are_lines_through_rotation_in_a_burst(ticks: Ticks):
    """As fast as the process can, a new file every few thousand lines, and Telegraf killed in the middle of it."""
    before = len(segments(ticks))
    begun = time.monotonic()

    found = broken(ticks, "rotation in a burst", lambda: ticks.kill("telegraf"), seconds=100_000, rate=0)

    figure("ticks, durable, burst: lines/s through all of it", f"{found.lines / (time.monotonic() - begun):.0f}")
    assert len(segments(ticks)) - before >= 10
    assert found.lines == 100_000
    assert (found.lost, found.repeated) == (0, 0)


def segments(ticks: Ticks) -> list[Path]:
    return list(ticks.logs.glob(f"{TICKS_LOG_FILE}.*Z"))


def test_no_table_is_suspended_after_all_this(ticks: Ticks):
    assert [row["name"] for row in ticks.sql("SELECT name FROM wal_tables() WHERE suspended")] == []


def test_views_find_no_gap_and_the_chart_of_the_source_answers(ticks: Ticks):
    runs = eventually(lambda: ticks.sql("SELECT run_id, records, missing FROM log_runs"), bool)
    assert {row["run_id"]: row["missing"] for row in runs if row["missing"]} == {}
    assert ticks.sql("SELECT * FROM log_gaps") == []
    last_hour = "timestamp BETWEEN dateadd('h', -1, now()) AND now()"
    # As Grafana fills in $__timeFilter and $__interval_ms.
    chart = ticks.sql(f"SELECT timestamp, last(price) FROM price_log WHERE {last_hour} SAMPLE BY 1000T")
    assert len(chart) > 30
    assert all(row["last(price)"] > 0 for row in chart)


@pytest.mark.parametrize("view", ["price_chart", "price_latest", "price_ohlc"])
def test_every_view_of_prices_has_rows(ticks: Ticks, view: str):
    rows = eventually(lambda: ticks.sql(f"SELECT * FROM {view}"), bool)

    assert {"timestamp", "symbol"} <= set(rows[0])


def test_ohlc_is_what_the_prices_say(ticks: Ticks):
    by_hand = (
        "SELECT timestamp, symbol, first(price) AS open, max(price) AS high, min(price) AS low, last(price) AS close "
        "FROM price_log WHERE timestamp < '{until}' SAMPLE BY 1m"
    )
    kept = "SELECT timestamp, symbol, open, high, low, close FROM price_ohlc WHERE timestamp < '{until}'"
    # A whole minute, for a price in the midst of one ends the one and not the other.
    until = f"{now()[:16]}:00.000000Z"

    def both() -> list[Any]:
        return [sorted(map(str, ticks.sql(query.format(until=until)))) for query in (by_hand, kept)]

    one, other = eventually(both, lambda pair: pair[0] == pair[1] and bool(pair[0]))
    assert one == other


def eventually(look: Callable[[], Any], good: Callable[[Any], bool], seconds: float = 30) -> Any:
    deadline = time.monotonic() + seconds
    while True:
        try:
            found = look()
            if good(found) or time.monotonic() > deadline:
                return found
        except OSError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.5)


def log(ticks: Ticks, *records: dict[str, Any]) -> str:
    """Append records to a segment of their own, as another program would. The run's name."""
    run = f"test-{time.time_ns()}"
    stamp = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    lines = [
        json.dumps({"event": "x", "level": "info", "timestamp": now(), "run_id": run, "seq": number, **record})
        for number, record in enumerate(records, 1)
    ]
    path = ticks.logs / f"{TICKS_LOG_FILE}.{stamp}"
    path.write_text("".join(f"{line}\n" for line in lines))
    os.chown(path, catalogue()["ticker"].uid, -1)
    return run


def events_of(ticks: Ticks, run: str, count: int) -> list[tuple[str, int, bool]]:
    query = f"SELECT event, seq, dead FROM log_events WHERE run_id = '{run}' ORDER BY seq"
    rows = eventually(lambda: ticks.sql(query), lambda found: len(found) >= count)
    return [(row["event"], row["seq"], row["dead"]) for row in rows]


def test_a_new_event_gets_its_own_table(ticks: Ticks):
    odd = 'two\nlines, "quoted" \\ and = signs'
    run = log(ticks, {"event": "order_sent", "qty": 3, "side": "buy", "live": True, "nested": {"a": 1}, "note": odd})

    assert events_of(ticks, run, 1) == [("order_sent", 1, False)]
    (row,) = ticks.sql(f"SELECT * FROM order_sent WHERE run_id = '{run}'")
    assert (row["qty"], row["side"], row["live"], row["nested_a"], row["note"]) == (3.0, "buy", True, 1.0, odd)
    (table,) = ticks.sql("SELECT dedup, ttlValue, ttlUnit FROM tables() WHERE table_name = 'order_sent'")
    assert (table["dedup"], table["ttlValue"], table["ttlUnit"]) == (True, 30, "DAY")


def test_a_field_that_changes_its_type_is_set_aside_and_nothing_else_is(ticks: Ticks):
    before = ticks.metric("ticks-relay", "ticks_dead_letters_total", event="price_log")
    good = {"event": "price_log", "symbol": "T", "price": 1.5}
    records = [good, {**good, "price": "1.5"}, good, {"event": "no such/table", "x": 1}, {**good, "price": True}, good]

    run = log(ticks, *records)

    assert events_of(ticks, run, len(records)) == [
        ("price_log", 1, False),
        ("price_log", 2, True),
        ("price_log", 3, False),
        ("no such/table", 4, True),
        ("price_log", 5, False),  # QuestDB takes a truth value for a number
        ("price_log", 6, False),
    ]
    letters = ticks.sql(f"SELECT reason, line FROM dead_letters WHERE run_id = '{run}' AND seq = 2")
    assert "STRING to column type: DOUBLE" in letters[0]["reason"]
    assert 'price="1.5"' in letters[0]["line"]
    assert ticks.metric("ticks-relay", "ticks_dead_letters_total", event="price_log") == before + 1


def test_a_line_that_is_no_json_is_counted(ticks: Ticks):
    before = ticks.metric("telegraf", "internal_gather_errors", input="tail")
    path = ticks.logs / f"{TICKS_LOG_FILE}.{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S.%fZ}"
    path.write_text('{"half": \n{"event": "no_time", "x": 1}\n')

    found = eventually(
        lambda: ticks.metric("telegraf", "internal_gather_errors", input="tail"), lambda errors: errors >= before + 2
    )
    path.unlink()
    assert found == before + 2


def test_the_same_lines_again_change_nothing(ticks: Ticks):
    run = log(ticks, *({"event": "again", "x": number} for number in range(50)))
    assert len(events_of(ticks, run, 50)) == 50

    for path in segments(ticks):
        if f'"{run}"' in path.read_text():
            path.with_name(f"{path.name[:-1]}0Z").write_text(path.read_text())
    ticks.container("telegraf").restart()
    time.sleep(8)

    assert ticks.sql("SELECT count() AS rows FROM again")[0]["rows"] == 50


def test_lines_of_a_program_that_numbers_nothing_are_stored_once_as_well(ticks: Ticks):
    """The source's own program: a price, an event, a level and a time."""
    log(ticks, *({"event": "bare", "price": float(number), "run_id": None, "seq": None} for number in range(20)))
    eventually(lambda: ticks.sql("SELECT count() AS rows FROM bare"), lambda rows: rows[0]["rows"] == 20)

    ticks.container("telegraf").restart()
    time.sleep(8)

    assert ticks.sql("SELECT count() AS rows FROM bare")[0]["rows"] == 20


def test_retention_by_time_drops_old_days(ticks: Ticks):
    today = dt.datetime.now(dt.UTC)

    def stamped(days: int) -> dict[str, Any]:
        stamp = (today - dt.timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return {"event": "old", "timestamp": stamp, "days": days}

    run = log(ticks, *(stamped(days) for days in (0, 20, 29, 35, 60)))

    events_of(ticks, run, 3)
    days = eventually(
        lambda: sorted(row["days"] for row in ticks.sql("SELECT days FROM old")), lambda found: found == [0.0, 20.0, 29.0]
    )
    assert days == [0.0, 20.0, 29.0]
    names = {row["name"] for row in ticks.sql("SELECT name FROM table_partitions('old')")}
    assert names == {(today - dt.timedelta(days=kept)).strftime("%Y-%m-%d") for kept in (0, 20, 29)}


def test_a_full_disk_is_told_and_nothing_is_lost(ticks: Ticks):
    """QuestDB on a small file system of its own, full while prices come."""
    folder = ticks.folder("questdb")
    told: list[float] = []

    def event() -> None:
        filler = folder / "filler"
        with filler.open("wb") as file:
            usage = os.statvfs(folder)
            os.posix_fallocate(file.fileno(), 0, usage.f_bavail * usage.f_frsize - MIB)
        try:
            full = eventually(lambda: ticks.metric("ticks-relay", "ticks_store_full"), lambda value: value == 1, seconds=60)
            told.append(full)
        finally:
            filler.unlink()

    with ticks.away("questdb"):
        pass
    container = ticks.container("questdb")
    container.stop()
    with file_system(folder, DISK_MB):
        container.start()
        ticks.healthy("questdb")
        found = broken(ticks, "disk of questdb full", event, seconds=30)
        container.stop()
    container.start()
    ticks.healthy("questdb")

    assert told == [1.0]
    assert (found.lost, found.repeated) == (0, 0)


def connect(ticks: Ticks, user: str, password: str) -> psycopg.Connection[Any]:
    host, _, port = ticks.stack.url("questdb.sql").removeprefix("tcp://").rpartition(":")
    return psycopg.connect(
        host=host, port=int(port), user=user, password=password, dbname="qdb", connect_timeout=10, autocommit=True
    )


def test_dashboards_may_read_and_nothing_else(ticks: Ticks):
    password = ticks.stack.secret("questdb_readonly_password").read_text()
    with connect(ticks, TICKS_READER, password) as reader:
        assert reader.execute("SELECT count() FROM price_log").fetchone()[0] > 0  # type: ignore[index]
        for statement in (
            "DROP TABLE dead_letters",
            "TRUNCATE TABLE dead_letters",
            "ALTER TABLE price_log SET TTL 1 DAY",
            "INSERT INTO price_log (timestamp, price) VALUES (now(), 1)",
            "CREATE TABLE mine (x INT)",
        ):
            with pytest.raises(psycopg.Error, match=r"(?i)permission|denied|not authorized|read.?only"):
                reader.execute(statement)


@pytest.mark.parametrize(("user", "password"), [("admin", "quest"), (PROJECT, "quest"), ("user", "quest"), (TICKS_READER, "")])
def test_default_passwords_open_nothing(ticks: Ticks, user: str, password: str):
    with pytest.raises(psycopg.OperationalError):
        connect(ticks, user, password)


def test_latency_from_the_log_call_to_a_query(ticks: Ticks):
    """Polled as often as QuestDB answers; what the poll adds is in it."""
    seconds, rate = (60, 10) if FULL else (15, 10)
    since = now()
    seen: dict[int, float] = {}
    with ticks.prices(seconds=seconds, rate=rate):
        begun = time.monotonic()
        run = eventually(
            lambda: [record["run_id"] for record in ticks.written(since) if record["symbol"] == "RANDOM"], bool, seconds=10
        )[0]
        newest, lines = 0, int(seconds * rate)
        while len(seen) < lines and time.monotonic() - begun < seconds + 30:
            query = f"SELECT seq, timestamp FROM price_log WHERE run_id = '{run}' AND seq > {newest}"
            rows = ticks.sql(query)
            at = dt.datetime.now(dt.UTC)
            for row in rows:
                seen[row["seq"]] = (at - dt.datetime.fromisoformat(row["timestamp"])).total_seconds()
            newest = max([newest, *seen])
            time.sleep(0.02)
    assert len(seen) == lines
    ordered = sorted(seen.values())
    p50, p99 = ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100]
    figure("ticks, log call to queryable at 10 lines/s, p50 / p99, s", f"{p50:.2f} / {p99:.2f}")
    for component in ("questdb", "telegraf", "ticks-relay", "ticker"):
        _, resident = usage(ticks.container(component))
        figure(f"ticks, {component} resident, MB", round(resident / 1e6))
    assert p50 < 5


def test_down_keeps_the_rows_and_up_goes_on(ticks: Ticks):
    before = ticks.sql("SELECT count() AS rows FROM price_log")[0]["rows"]
    ticks.stack.run("down")
    ticks.stack.up()

    assert (
        eventually(lambda: ticks.sql("SELECT count() AS rows FROM price_log")[0]["rows"], lambda rows: rows >= before) >= before
    )


def test_a_second_up_changes_nothing(ticks: Ticks):
    again = ticks.stack.up()

    assert again.document["changes"] == []


@pytest.mark.skipif(not FULL, reason="the source's own way; left to `make ticks`")
def test_the_sources_way_for_comparison(make_stack: Callable[..., StackUnderTest], client: docker.DockerClient):
    """Counts for the table; that it loses or repeats is what they are there to show."""
    ticks = deployed(make_stack, client, "source", 34500)
    ticks.container("ticker").stop()
    found = {}
    for name, event in EVENTS.items():

        def undisturbed(event: Callable[[Ticks], object] = event) -> None:
            event(ticks)
            # Some begin it again; rows do not tell the run here, so nobody else may write.
            ticks.container("ticker").stop()

        found[name] = broken(ticks, name, undisturbed, seconds=min(lasts(name), 60))
    found["burst"] = broken(ticks, "rotation in a burst", lambda: None, seconds=100_000, rate=0)
    ticks.stack.run("down")

    assert found["telegraf killed"].repeated > 0
    assert found[f"questdb away {OUTAGE_SECONDS} s"].lost > 0
