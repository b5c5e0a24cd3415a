"""Reconcile against a server that stores, hides and loses as VictoriaLogs does: exactly what is missing is sent."""

from __future__ import annotations

import fcntl
import gzip
import json
import logging
import os
import random
import re
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crowsnest.logs import reconcile as module
from crowsnest.logs.__main__ import main
from crowsnest.logs._seqset import SeqSet
from crowsnest.logs.reconcile import ReconcileError, ReconcileOptions, ReconcileReport, files_of, reconcile, rfc3339, since_ns
from crowsnest.logs.setup import LoggingSettings, LoggingSetup

SECOND = 1_000_000_000


class FakeStore:
    """Stores lines of /insert/jsonline and answers this module's queries; drops under 200 what is too old."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.inserts = 0
        self.queries: list[str] = []
        self.retention = "7d"
        self.statuses: list[int] = []
        self.loses = 0
        self.streams: set[str] = set()
        store = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer(200, f'-httpListenAddr=":9428"\n-retentionPeriod="{store.retention}"\n'.encode())

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                parts = urlsplit(self.path)
                if parts.path == "/insert/jsonline":
                    store.inserts += 1
                    store.streams |= set(parse_qs(parts.query)["_stream_fields"])
                    status = store.statuses.pop(0) if store.statuses else 200
                    if status == 200:
                        store.take(gzip.decompress(body))
                    self.answer(status, b"")
                else:
                    self.answer(200, store.found(parse_qs(body.decode())["query"][0]))

            def answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def take(self, body: bytes) -> None:
        oldest = rfc3339(time.time_ns() - int(module.duration_seconds(self.retention) * SECOND))
        for line in body.splitlines():
            record = json.loads(line)
            if self.loses:
                self.loses -= 1
            elif record["_time"] >= oldest:
                self.records.append(record)

    def found(self, query: str) -> bytes:
        self.queries.append(query)
        match = re.fullmatch(r'_time:\[(\S+), (\S+)\) boot:="([^"]+)" \| fields seq', query)
        assert match, query
        start, end, boot = match.groups()
        hits = [each for each in self.records if each["boot"] == boot and start <= each["_time"] < end]
        random.shuffle(hits)
        return "".join(json.dumps({"seq": str(each["seq"])}) + "\n" for each in hits).encode()

    @property
    def identities(self) -> Counter[tuple[str, int]]:
        return Counter((record["boot"], record["seq"]) for record in self.records)


@pytest.fixture
def store() -> Iterator[FakeStore]:
    store = FakeStore()
    threading.Thread(target=store.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield store
    store.server.shutdown()
    store.server.server_close()


def line(boot: str, seq: int, *, age_seconds: float = 3600, **fields: object) -> dict[str, Any]:
    when = rfc3339(time.time_ns() // SECOND * SECOND - int(age_seconds * SECOND) + seq * 1_000_000)
    base = {"event": f"record {seq}", "source": "system", "timestamp": when[:26] + "Z", "level": "info"}
    return {**base, **fields, "_time": when, "boot": boot, "seq": seq}


def write(path: Path, lines: list[dict[str, Any]], tail: str = "") -> None:
    text = "".join(json.dumps(each) + "\n" for each in lines) + tail
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)


def run(path: Path, store: FakeStore, **options: Any) -> ReconcileReport:
    return reconcile(ReconcileOptions(path, store.url, **{"settle_seconds": 0, "visible_seconds": 2, **options}))


def stored(store: FakeStore, lines: list[dict[str, Any]]) -> None:
    store.records += [module.store_record(each) for each in lines]


def test_exactly_the_missing_records_are_sent_with_their_time_and_a_second_run_finds_none(
    store: FakeStore, tmp_path: Path
) -> None:
    path = tmp_path / "backend.log"
    lines = [line("b1", seq, symbol="AAPL", price=1.5) for seq in range(1, 1001)]
    write(tmp_path / "backend.log-20260101T000000.000000Z.gz", lines[:300])
    write(tmp_path / "backend.log-20260102T000000.000000Z", lines[300:600])
    write(path, lines[600:])
    lost = {*range(10, 20), 300, 301, *range(590, 610), 1000}
    stored(store, [each for each in lines if each["seq"] not in lost])
    before = len(store.records)

    report = run(path, store)

    assert (report.files, report.records, report.missing, report.backfilled, report.still_missing) == (3, 1000, 33, 33, 0)
    assert report.exit_code == 0
    assert report.boots[0].missing_ranges == [(10, 19), (300, 301), (590, 609), (1000, 1000)]
    assert {record["seq"] for record in store.records[before:]} == lost
    assert store.identities == Counter({("b1", seq): 1 for seq in range(1, 1001)})
    filled = next(record for record in store.records if record["seq"] == 10)
    assert filled == {
        "_time": lines[9]["_time"], "_msg": "record 10", "level": "INFO", "source": "system", "symbol": "AAPL", "price": 1.5,
        "boot": "b1", "seq": 10,
    }  # fmt: skip
    assert store.streams == {"strategy_id,source,level"}

    again = run(path, store)
    assert (again.missing, again.backfilled) == (0, 0)
    assert len(store.records) == 1000


def test_a_dry_run_sends_nothing_and_exits_1(store: FakeStore, tmp_path: Path) -> None:
    path = tmp_path / "backend.log"
    write(path, [line("b1", 1), line("b1", 2)])
    report = run(path, store, dry_run=True)
    assert (report.missing, report.still_missing, report.exit_code, store.inserts) == (2, 2, 1, 0)


def test_boots_are_compared_apart_and_one_can_be_chosen(store: FakeStore, tmp_path: Path) -> None:
    path = tmp_path / "backend.log"
    lines = [line(boot, seq) for seq in range(1, 51) for boot in ("b1", "b2", "b3")]
    write(path, lines)
    stored(store, [each for each in lines if each["boot"] == "b1"])
    report = run(path, store, boot="b2")
    assert [(boot.boot, boot.missing) for boot in report.boots] == [("b2", 50)]
    report = run(path, store)
    assert {boot.boot: boot.missing for boot in report.boots} == {"b1": 0, "b2": 0, "b3": 50}
    assert store.identities == Counter({(boot, seq): 1 for boot in ("b1", "b2", "b3") for seq in range(1, 51)})


def test_what_is_wrong_with_a_file_is_counted(store: FakeStore, tmp_path: Path) -> None:
    path = tmp_path / "backend.log"
    good = [line("b1", seq) for seq in range(1, 6)]
    text = [
        *(json.dumps(each) for each in good),
        json.dumps(good[0]),  # twice
        "{not json",
        json.dumps({**good[0], "seq": "seven"}),
        json.dumps({**good[0], "boot": 'x" or *'}),
        json.dumps({**good[0], "seq": 7, "_time": "yesterday"}),
        json.dumps({"event": "no identity", "timestamp": good[0]["timestamp"], "level": "info"}),
        "x" * (5 * 1024 * 1024),
        "",
    ]
    path.write_text("\n".join(text) + "\n" + json.dumps(line("b1", 6))[:-9])
    report = run(path, store)
    assert (report.records, report.backfilled, report.exit_code) == (5, 5, 0)
    assert store.identities == Counter({("b1", seq): 1 for seq in range(1, 6)})
    assert (report.duplicates_in_file, report.without_identity, report.unreadable, report.truncated) == (1, 1, 5, 1)


def test_a_damaged_gzip_is_named_and_its_readable_part_used(store: FakeStore, tmp_path: Path) -> None:
    path = tmp_path / "backend.log"
    write(path, [line("b1", 5001)])
    whole = gzip.compress("".join(json.dumps(line("b1", seq, noise=random.random())) + "\n" for seq in range(1, 5001)).encode())
    (tmp_path / "backend.log-20260101T000000.000000Z.gz").write_bytes(whole[: len(whole) // 2])
    report = run(path, store)
    assert len(report.damaged_files) == 1
    assert report.damaged_files[0].startswith("backend.log-20260101T000000.000000Z.gz")
    assert 1000 < report.backfilled < 5000
    assert report.exit_code == 1


def test_records_older_than_the_retention_are_reported_and_not_sent(store: FakeStore, tmp_path: Path) -> None:
    path = tmp_path / "backend.log"
    write(path, [line("b1", 1, age_seconds=8 * 86_400), line("b1", 2, age_seconds=6 * 86_400)])
    report = run(path, store)
    assert (report.older_than_retention, report.missing, report.backfilled, report.exit_code) == (1, 1, 1, 0)
    assert store.identities == Counter({("b1", 2): 1})


def test_a_2xx_is_not_taken_for_storage(store: FakeStore, tmp_path: Path) -> None:
    path = tmp_path / "backend.log"
    write(path, [line("b1", seq) for seq in range(1, 11)])
    store.loses = 3
    report = run(path, store, visible_seconds=0.5)
    assert (report.missing, report.backfilled, report.still_missing, report.exit_code) == (10, 7, 3, 1)
    assert run(path, store).exit_code == 0


def test_copies_in_the_store_are_reported_and_left(store: FakeStore, tmp_path: Path) -> None:
    path = tmp_path / "backend.log"
    lines = [line("b1", seq) for seq in range(1, 11)]
    write(path, lines)
    stored(store, lines + lines[:4] + lines[:1])
    report = run(path, store)
    assert (report.duplicates_in_store, report.missing, report.exit_code, store.inserts) == (5, 0, 0, 0)


def test_a_record_that_arrives_meanwhile_is_not_sent(store: FakeStore, tmp_path: Path) -> None:
    """As from the queue of a process that still runs: the second look finds it."""
    path = tmp_path / "backend.log"
    lines = [line("b1", seq) for seq in range(1, 11)]
    write(path, [*lines, line("b1", 11, age_seconds=-5)])
    threading.Timer(0.15, stored, (store, lines[:6])).start()
    report = run(path, store, settle_seconds=0.4)
    assert report.too_recent == 1
    assert report.backfilled == 4
    assert store.identities == Counter({("b1", seq): 1 for seq in range(1, 11)})


def test_a_busy_server_is_asked_again_and_one_that_refuses_is_not(
    store: FakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FIRST_PAUSE_SECONDS", 0.01)
    path = tmp_path / "backend.log"
    write(path, [line("b1", 1)])
    store.statuses = [503, 429]
    assert run(path, store).exit_code == 0
    assert store.inserts == 3
    write(path, [line("b2", 1)])
    store.statuses = [400]
    with pytest.raises(ReconcileError, match="answered 400"):
        run(path, store)
    assert store.inserts == 4


def test_sending_keeps_to_the_rate(store: FakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BATCH_RECORDS", 50)
    path = tmp_path / "backend.log"
    write(path, [line("b1", seq) for seq in range(1, 501)])
    begun = time.monotonic()
    run(path, store, max_records_per_second=1000)
    assert 0.4 < time.monotonic() - begun < 2
    assert store.inserts == 10


def test_a_line_too_long_for_the_store_is_reported(store: FakeStore, tmp_path: Path) -> None:
    path = tmp_path / "backend.log"
    write(path, [line("b1", 1), line("b1", 2, blob="x" * 300_000)])
    report = run(path, store)
    assert (report.too_large, report.backfilled, report.still_missing, report.exit_code) == (1, 1, 1, 1)


def test_only_one_run_at_a_time(store: FakeStore, tmp_path: Path) -> None:
    path = tmp_path / "backend.log"
    write(path, [line("b1", 1)])
    fd = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    with pytest.raises(ReconcileError, match="another run"):
        run(path, store)
    os.close(fd)
    assert run(path, store).exit_code == 0


def test_memory_stays_small_and_queries_are_cut_into_slices(
    store: FakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SLICE_RECORDS", 2_000)
    path = tmp_path / "backend.log"
    template = json.dumps(line("b1", 1, noise="x" * 400))
    start = time.time_ns() - 3600 * SECOND
    with path.open("w") as stream:
        for seq in range(1, 10_001):
            stream.write(
                re.sub(r'"_time": "[^"]+"', f'"_time": "{rfc3339(start + seq * 1_000_000)}"', template).replace(
                    '"seq": 1}', f'"seq": {seq}}}'
                )
                + "\n"
            )
    assert path.stat().st_size > 5_000_000
    tracemalloc.start()
    report = run(path, store, max_records_per_second=1e9)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (report.records, report.backfilled) == (10_000, 10_000)
    assert len(store.queries) >= 10
    assert peak < 25_000_000  # most of it is this test's own store


def test_reading_is_done_with_a_bit_a_record() -> None:
    seqs = SeqSet()
    tracemalloc.start()
    for seq in range(200_000):
        seqs.add(seq)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(seqs) == 200_000
    assert peak < 100_000


@settings(max_examples=100)
@given(st.sets(st.integers(0, 20_000)), st.sets(st.integers(0, 20_000)))
def test_a_seq_set_is_a_set(first: set[int], second: set[int]) -> None:
    mine, theirs = SeqSet(), SeqSet()
    assert all(mine.add(seq) for seq in first)
    assert not any(mine.add(seq) for seq in first)
    assert all(theirs.add(seq) for seq in second)
    left = mine.without(theirs)
    assert list(left) == sorted(first - second)
    assert len(left) == len(first - second)
    assert {seq for start, end in left.ranges(10**6) for seq in range(start, end + 1)} == first - second
    assert all((seq in mine) == (seq in first) for seq in range(0, 20_000, 37))
    assert all(mine.discard(seq) for seq in first)
    assert len(mine) == 0


def test_names_of_other_rotators_are_read_oldest_first(tmp_path: Path) -> None:
    for name in (
        "app.log",
        "app.log.1",
        "app.log.2.gz",
        "app.log.10.gz",
        "app.log-20260101",
        "app.log.1.part",
        "app.log.lock",
        "app.logs",
    ):
        (tmp_path / name).write_text("")
    assert [file.name for file in files_of(tmp_path / "app.log")] == [
        "app.log-20260101",
        "app.log.10.gz",
        "app.log.2.gz",
        "app.log.1",
        "app.log",
    ]


def test_a_rotation_while_it_reads_hides_nothing(store: FakeStore, tmp_path: Path) -> None:
    path = tmp_path / "backend.log"
    write(path, [line("b1", seq) for seq in range(1, 4)])
    stream = module._lines(path, ReconcileReport())
    first = next(stream)
    path.rename(tmp_path / "backend.log-20260101T000000.000000Z")
    write(path, [line("b1", 4)])
    assert [json.loads(each)["seq"] for each in [first, *stream]] == [1, 2, 3, 4]


def test_a_backfilled_record_is_what_the_handler_would_have_sent(store: FakeStore, tmp_path: Path) -> None:
    path = tmp_path / "backend.log"
    setup = LoggingSetup(LoggingSettings(file=path, console=False, victorialogs_url=store.url, extra_fields={"app": "trader"}))
    logger = logging.Logger("strategy.ema", logging.DEBUG)  # noqa: LOG001
    logger.addHandler(setup)
    logger.info("filled %s", "AAPL", extra={"order_id": "O-1", "price": 1.5, "nested": {"a": [1, None, True]}, "seq": 7})
    try:
        raise ValueError("no position")
    except ValueError:
        logger.exception("failed", extra={"strategy_id": "own"})
    logger.critical("custom")
    assert setup.victorialogs
    assert setup.victorialogs.drain(5)
    setup.close()
    sent, store.records = sorted(store.records, key=lambda record: record["seq"]), []

    report = run(path, store)
    assert report.backfilled == 3
    for record, filled in zip(sent, sorted(store.records, key=lambda record: record["seq"]), strict=True):
        assert record.pop("_time")[:19] == filled.pop("_time")[:19]
        assert filled == record


def test_the_command_line(store: FakeStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "backend.log"
    write(path, [line("b1", 1), line("b1", 2), line("b1", 3, age_seconds=7200)])
    base = ["reconcile", "--file", str(path), "--url", store.url, "--settle-seconds", "0"]
    assert main([*base, "--dry-run"]) == 1
    assert "boot b1: 3 of 3 missing, seq 1-3" in capsys.readouterr().out
    assert main([*base, "--since", "90m", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["backfilled"], report["still_missing"], report["boots"][0]["missing_ranges"]) == (2, 0, [[1, 2]])
    assert main([*base, "--boot", "b1"]) == 0
    assert "backfilled: 1, still missing: 0" in capsys.readouterr().out
    assert main(["reconcile", "--file", str(tmp_path / "none.log"), "--url", store.url]) == 2
    assert main(["reconcile", "--file", str(path), "--url", "ftp://x"]) == 2
    assert main([*base[:-4], "--url", "http://127.0.0.1:1", "--settle-seconds", "0"]) == 1
    for wrong in (["--since", "soon"], ["--rate", "0"], ["--retention", "x"], ["--settle-seconds", "-1"]):
        with pytest.raises(SystemExit) as caught:
            main([*base, *wrong])
        assert caught.value.code == 2


def test_since_is_a_time_or_a_duration() -> None:
    assert since_ns("2026-01-21T22:16:38.5Z") == 1769033798_500_000_000
    assert abs(since_ns("2h") - (time.time_ns() - 7200 * SECOND)) < SECOND
