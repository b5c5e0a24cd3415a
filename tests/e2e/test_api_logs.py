"""The log API against a real VictoriaLogs: each endpoint gives what is there, and says so when it cannot."""

from __future__ import annotations

import csv
import io
import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from crowsnest.api.logs import moments
from tests.e2e.api_support import Api, Session, Store, ago, running_api, running_store, said, wait_until
from tests.figures import figure

pytestmark = pytest.mark.docker

PAGES = 1234


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with running_store() as store:
        base = time.time_ns() - 3000 * moments.SECOND_NS
        records = [
            {**said("alpha", f"order filled {index}", 0, ("INFO", "WARNING", "ERROR")[index % 3]),
             "_time": moments.text(base + index * 1_000_000), "boot": "boot-a", "seq": index}
            for index in range(PAGES)
        ]  # fmt: skip
        # Seven records of one nanosecond, of as many streams: no page may end between them.
        tie = moments.text(base + 500 * 1_000_000)
        records += [{**said(f"tie{index}", "at the same time", 0), "_time": tie} for index in range(7)]
        records += [said("beta", f"quiet {index}", 600 + index, boot="boot-b") for index in range(30)]
        records += [said(None, "container line", 500, container_name="ntd-redis", source="container")]
        records += [gap("boot-a", 5, 100), gap("boot-b", 7, 50)]
        records += [said("huge", "x" * 100_000, 400, note="y" * 9_000), said("wide", "ü" * 8_000, 300)]
        records += [said("bulk", f"{index} " + "z" * 7_000, 200 + index / 100) for index in range(450)]
        records += [said("sheet", "=HYPERLINK(1)", 100, amount="-5"), said("sheet", 'a "quoted", line\nand more', 99)]
        store.insert(records)
        yield store


def gap(boot: str, count: int, seconds_ago: float) -> dict[str, Any]:
    fields = {"gap_reason": "overflow", "gap_records": count, "gap_first_seq": 1, "gap_last_seq": 9}
    return said(None, f"{count} log records lost", seconds_ago, "ERROR", boot=boot, logger="crowsnest.logs", **fields)


@pytest.fixture(scope="module")
def api(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_api(tmp_path_factory.mktemp("api"), store.url) as api:
        yield api


@pytest.fixture(scope="module")
def admin(api: Api) -> Session:
    return api.login()


def document(admin: Session, path: str, **parameters: Any) -> dict[str, Any]:
    answer = admin.get(path, **parameters)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_pages_give_each_record_once_newest_first(admin: Session):
    # 733 rows from the newest end is the middle of the tie, so that pages of that size would cut it.
    for limit in (100, 367, 499):
        seen, before, pages = [], {}, 0
        while True:
            page = document(admin, "/api/logs/query", q="strategy_id:alpha or strategy_id:tie*", limit=limit, **before)
            seen += page["rows"]
            pages += 1
            if page["next_before"] is None:
                break
            assert page["truncated"] is True
            before = {"before": page["next_before"]}
        times = [moments.parse(row["_time"], 0) for row in seen]
        assert times == sorted(times, reverse=True)
        assert len(seen) == PAGES + 7
        assert len({(row["_time"], row["strategy_id"]) for row in seen}) == len(seen)
        assert pages >= (PAGES + 7) / limit


def test_the_last_page_says_that_it_is(admin: Session):
    page = document(admin, "/api/logs/query", strategy_id="beta", limit=30)
    assert (len(page["rows"]), page["truncated"], page["next_before"]) == (30, False, None)


def test_an_end_is_exclusive_to_the_nanosecond(admin: Session):
    newest, second = (row["_time"] for row in document(admin, "/api/logs/query", strategy_id="beta", limit=2)["rows"])
    for end, expected in ((newest, second), (moments.text(moments.parse(newest, 0) + 1), newest)):
        assert document(admin, "/api/logs/query", strategy_id="beta", end=end, limit=1)["rows"][0]["_time"] == expected


def test_chips_narrow_and_are_exact(admin: Session):
    rows = document(admin, "/api/logs/query", strategy_id="alpha", level=["ERROR", "WARNING"], limit=500)["rows"]
    assert Counter(row["level"] for row in rows).keys() == {"ERROR", "WARNING"}
    assert document(admin, "/api/logs/query", level="ERR")["rows"] == []
    assert document(admin, "/api/logs/query", container_name="ntd-redis")["rows"][0]["_msg"] == "container line"


def test_words_that_name_pipes_can_be_searched_for(admin: Session):
    assert len(document(admin, "/api/logs/query", q="order filled", limit=5)["rows"]) == 5


def test_results_of_pipes_come_as_the_store_orders_them(admin: Session):
    rows = document(admin, "/api/logs/query", q="strategy_id:alpha | stats by (level) count() n | sort by (level)")["rows"]
    assert [(row["level"], int(row["n"])) for row in rows] == [("ERROR", 411), ("INFO", 412), ("WARNING", 411)]


def test_long_fields_and_large_answers_are_cut_and_it_is_said(admin: Session):
    page = document(admin, "/api/logs/query", strategy_id="huge")
    (row,) = page["rows"]
    assert row["_msg"] == "x" * 8192 + "…"
    assert row["note"] == "y" * 8192 + "…"
    assert page["clamped"] == [{"what": "field_bytes", "asked": 100_000, "given": 8192}]
    (row,) = document(admin, "/api/logs/query", strategy_id="wide")["rows"]
    assert row["_msg"] == "ü" * 4096 + "…", "cut between characters"
    page = document(admin, "/api/logs/query", strategy_id="bulk", limit=500)
    assert 250 < len(page["rows"]) < 300
    assert page["truncated"] is True
    assert [clamp["what"] for clamp in page["clamped"]] == ["response_bytes"]
    assert page["rows"][0]["_msg"].startswith("0 "), "the newest are kept"
    rest = document(admin, "/api/logs/query", strategy_id="bulk", limit=500, before=page["next_before"])
    assert len(page["rows"]) + len(rest["rows"]) == 450


def test_hits_add_up_and_no_step_is_missing(admin: Session):
    found = document(admin, "/api/logs/hits", strategy_id="alpha", step="5m")
    assert sum(bucket["total"] for bucket in found["buckets"]) == PAGES
    assert sum(bucket["levels"]["ERROR"] for bucket in found["buckets"]) == 411
    starts = [moments.parse(bucket["start"], 0) // moments.SECOND_NS for bucket in found["buckets"]]
    assert {later - earlier for earlier, later in itertools.pairwise(starts)} == {300}
    assert 60 <= len(document(admin, "/api/logs/hits", start="24h")["buckets"]) <= 102
    assert "at least 58s, or auto" in admin.get("/api/logs/hits", start="24h", step="1s").json()["hint"]


def test_facets_and_streams_count(admin: Session):
    facets = {facet["field"]: facet for facet in document(admin, "/api/logs/facets", limit=3)["facets"]}
    assert facets["strategy_id"]["values"][0] == {"value": "alpha", "hits": PAGES}
    assert facets["strategy_id"]["more"] is True
    assert facets["source"]["more"] is False
    streams = document(admin, "/api/logs/streams", strategy_id="beta")["streams"]
    assert streams == [{"stream": '{level="INFO",source="strategy",strategy_id="beta"}', "hits": 30}]


def test_context_is_what_stood_around(admin: Session):
    anchor = next(row for row in document(admin, "/api/logs/query", q='"order filled 600"')["rows"])
    around = {"time": anchor["_time"], "stream_id": anchor["_stream_id"]}
    found = document(admin, "/api/logs/context", **around, before=3, after=2)
    assert [row["_msg"].split()[-1] for row in found["rows"]] == ["597", "598", "599", "600", "601", "602"]
    assert found["rows"][found["anchor"]] == anchor
    same_level = document(admin, "/api/logs/context", **around, before=2, after=1, within="stream")
    assert [row["_msg"].split()[-1] for row in same_level["rows"]] == ["594", "597", "600", "603"]
    missing = admin.get("/api/logs/context", time="2026-01-01T00:00:00Z", stream_id=anchor["_stream_id"])
    assert missing.status_code == 404


def test_export_is_complete_and_a_table_is_safe_to_open(admin: Session):
    answer = admin.get("/api/logs/export", q="strategy_id:alpha or strategy_id:tie*")
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert len(rows) == PAGES + 7
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert "attachment" in answer.headers["content-disposition"]
    answer = admin.get("/api/logs/export", strategy_id="sheet", format="csv", columns="_time,_msg,amount")
    table = list(csv.reader(io.StringIO(answer.text)))
    assert table[0] == ["_time", "_msg", "amount"]
    assert [row[1:] for row in table[1:]] == [['a "quoted", line\nand more', ""], ["'=HYPERLINK(1)", "-5"]]
    assert len(admin.get("/api/logs/export", q="strategy_id:alpha", limit=10).text.splitlines()) == 10


def test_losses_are_told_for_all_and_for_a_strategy(api: Api, admin: Session):
    everything = document(admin, "/api/logs/loss")
    assert everything["lost_total"] == 12
    assert everything["gaps"][0] == {
        "time": everything["gaps"][0]["time"], "strategy_id": None, "boot": "boot-b",
        "first_seq": 1, "last_seq": 9, "count": 7, "reason": "overflow",
    }  # fmt: skip
    assert document(admin, "/api/logs/loss", strategy_id="alpha")["lost_total"] == 5
    assert document(admin, "/api/logs/loss", strategy_id="sheet") | {"checked": 0} == {
        "lost_total": 0, "gaps": [], "truncated": False, "checked": 0,
    }  # fmt: skip
    viewer = api.add_user("lossy", "--strategy", "beta")
    assert document(viewer, "/api/logs/loss")["lost_total"] == 7
    assert viewer.get("/api/logs/loss", strategy_id="alpha").status_code == 403


def test_health_tells_strangers_less(api: Api, admin: Session):
    known = document(admin, "/api/logs/health")
    assert known["status"] == "healthy"
    assert known["store"] == "ok"
    assert "v1.121.0" in known["version"]
    assert 0 <= known["newest_record_age_seconds"] < 600
    stranger = document(Session(api.url), "/api/logs/health")
    assert stranger == {"status": "healthy", "store": "ok", "newest_record_age_seconds": None, "version": None}


class Reader:
    """Reads a tail in a thread."""

    def __init__(self, session: Session, **parameters: Any) -> None:
        self.answer = session.http.get(
            f"{session.url}/api/logs/tail", params=parameters.pop("query", {}), stream=True, timeout=(5, 60), **parameters
        )
        assert self.answer.status_code == 200, self.answer.text
        self.events: list[tuple[str, str | None, Any]] = []
        self.ended = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        name, identity = "", None
        try:
            for line in self.answer.iter_lines(chunk_size=1):
                field, _, value = line.decode().partition(": ")
                if field == "event":
                    name, identity = value, None
                elif field == "id":
                    identity = value
                elif field == "data":
                    self.events.append((name, identity, json.loads(value)))
        except Exception:  # noqa: BLE001 - the connection was cut
            pass
        self.ended.set()

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [row for name, _, data in self.events if name == "records" for row in data]


def test_a_tail_shows_what_arrives_and_goes_on_where_it_was_left(admin: Session, store: Store):
    reader = Reader(admin, query={"strategy_id": "live"})
    wait_until(lambda: reader.events, 5)
    begun = time.monotonic()
    store.send([{**said("live", f"first {index}", 0), "_time": ago(0, index)} for index in range(3)])
    store.send([said("other", "not for this tail", 0)])
    wait_until(lambda: len(reader.rows) == 3, 20, 0.01)
    figure("tail: seconds from an insert to its reader; the store shows it after 1 s", f"{time.monotonic() - begun:.1f}")
    identity = next(identity for name, identity, _ in reversed(reader.events) if name == "records")
    assert identity == reader.rows[-1]["_time"] or moments.parse(identity, 0) == moments.parse(reader.rows[-1]["_time"], 0)
    reader.answer.close()
    store.insert([said("live", "while nobody looked", 0)])
    again = Reader(admin, query={"strategy_id": "live"}, headers={"Last-Event-ID": identity})
    wait_until(lambda: again.rows, 20)
    assert [row["_msg"] for row in again.rows] == ["while nobody looked"]
    again.answer.close()


def test_the_store_stops_and_comes_back(admin: Session, store: Store):
    """Last in this module: the container gets another life."""
    reader = Reader(admin, query={"strategy_id": "live"})
    wait_until(lambda: reader.events, 5)
    store.container.pause()
    begun = time.monotonic()
    answer = admin.get("/api/logs/query", start="5m")
    assert answer.status_code == 504
    assert answer.json()["type"] == "urn:crowsnest:problem:timeout"
    assert answer.json()["hint"].startswith("narrow the range")
    assert 9 < time.monotonic() - begun < 13
    time.sleep(2.1)
    assert admin.get("/api/logs/health").json()["store"] == "unavailable"
    store.container.unpause()
    wait_until(lambda: admin.get("/api/logs/health").json()["store"] == "ok", 10, 0.5)
    store.container.stop(timeout=10)
    wait_until(reader.ended.is_set, 10)
    assert reader.events[-1][0] == "problem"
    assert reader.events[-1][2]["type"] == "urn:crowsnest:problem:store-unavailable"
    answer = admin.get("/api/logs/query")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert "victoria" not in answer.text.lower(), "nothing of the inside is shown"
    store.container.start()
    wait_until(lambda: admin.get("/api/logs/query").status_code in (200, 503), 10)
