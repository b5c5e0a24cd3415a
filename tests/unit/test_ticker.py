"""The price process: the source's lines, a file that readers cannot mistake, and what happens when it cannot be written."""

from __future__ import annotations

import errno
import itertools
import json
import logging
import os
import re
import statistics
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from crowsnest.ticker import prices
from crowsnest.ticker.segments import SegmentedFileHandler, segments_of
from crowsnest.ticker.settings import HELP, SettingsError, TickerSettings
from infra.catalogue import PROJECT_ROOT


def run(tmp_path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "LOG_FILE_NAME": str(tmp_path / "trader.logs"),
        "CROWSNEST_TICKER_PRICES": "walk",
        "CROWSNEST_TICKER_INTERVAL_SECONDS": "0",
        "CROWSNEST_TICKER_PRICES_LOGGED": "20",
        "CROWSNEST_TICKER_HEARTBEAT_FILE": str(tmp_path / "heartbeat"),
    }
    return subprocess.run(
        [sys.executable, "-m", "crowsnest.ticker"], env={**os.environ, **environment, **variables, "PYTHONPATH": "src"},
        cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def records(tmp_path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for path in segments_of(tmp_path / "trader.logs") for line in path.read_text().splitlines()]


def test_a_line_is_the_sources_with_what_proves_loss(tmp_path):
    done = run(tmp_path)

    assert done.returncode == 0, done.stderr
    found = [record for record in records(tmp_path) if record["event"] == "price_log"]
    assert len(found) == 20
    assert {"price", "event", "level", "timestamp"} <= set(found[0])
    assert found[0]["level"] == "info"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", str(found[0]["timestamp"]))


def test_numbers_of_a_run_have_no_gap_and_events_have_names_of_their_own(tmp_path):
    run(tmp_path)

    found = records(tmp_path)
    assert [record["seq"] for record in found] == list(range(1, 23))
    assert len({record["run_id"] for record in found}) == 1
    assert [record["event"] for record in found] == ["ticker_started", *["price_log"] * 20, "ticker_ended"]


def test_the_console_has_the_same_lines(tmp_path):
    done = run(tmp_path)

    assert [json.loads(line) for line in done.stderr.splitlines()] == records(tmp_path)


def test_plain_lines_are_the_sources_first_step(tmp_path):
    run(tmp_path, CROWSNEST_TICKER_FORMAT="plain")

    (segment,) = segments_of(tmp_path / "trader.logs")
    lines = segment.read_text().splitlines()
    assert len(lines) == 20
    assert all(re.fullmatch(r"price \d+\.\d+", line) for line in lines)


def test_it_ends_when_asked_and_says_so(tmp_path):
    environment = {
        "LOG_FILE_NAME": str(tmp_path / "trader.logs"),
        "CROWSNEST_TICKER_PRICES": "walk",
        "CROWSNEST_TICKER_INTERVAL_SECONDS": "5",
        "CROWSNEST_TICKER_HEARTBEAT_FILE": str(tmp_path / "heartbeat"),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "crowsnest.ticker"], cwd=PROJECT_ROOT, stderr=subprocess.PIPE, text=True,
        env={**os.environ, **environment, "PYTHONPATH": "src"},
    )  # fmt: skip
    assert process.stderr is not None
    process.stderr.readline()
    process.stderr.readline()
    process.terminate()

    assert process.wait(timeout=4) == 0
    process.stderr.close()
    assert records(tmp_path)[-1]["event"] == "ticker_ended"


def test_heartbeat_tells_whether_prices_come(tmp_path):
    command = [sys.executable, "-m", "crowsnest.ticker", "--check-heartbeat", "30"]
    environment = {**os.environ, "PYTHONPATH": "src", "CROWSNEST_TICKER_HEARTBEAT_FILE": str(tmp_path / "heartbeat")}

    def check() -> int:
        return subprocess.run(
            command, env=environment, cwd=PROJECT_ROOT, capture_output=True, check=False, timeout=30
        ).returncode

    assert check() == 1
    run(tmp_path)
    assert check() == 0
    os.utime(tmp_path / "heartbeat", (1, 1))
    assert check() == 1


def test_the_walk_is_the_sources():
    steps = [one.price for one in itertools.islice(prices.random_walk(7), 20_000)]

    changes = [after / before - 1 for before, after in itertools.pairwise([prices.WALK_START, *steps])]
    assert statistics.mean(changes) == pytest.approx(0, abs=3e-4)
    assert statistics.stdev(changes) == pytest.approx(prices.WALK_DEVIATION, rel=0.03)
    assert steps[:5] == [one.price for one in itertools.islice(prices.random_walk(7), 5)]


def test_real_bars_come_day_by_day_and_over_again():
    pytest.importorskip("bokeh_sampledata")
    days = list(itertools.islice(prices.real_bars(), 12_154 + 1))

    assert len({one.symbol for one in days}) == 5
    assert [one.bar for one in days[:-1]] == sorted(str(one.bar) for one in days[:-1])
    assert days[-1] == days[0]
    assert all(one.price > 0 for one in days)


@pytest.fixture
def handler(tmp_path):
    made = SegmentedFileHandler(tmp_path / "trader.logs", segment_bytes=100, segments=3)
    yield made
    made.close()


def emit(handler: SegmentedFileHandler, text: str) -> None:
    handler.handle(logging.LogRecord("x", logging.INFO, "x", 1, text, None, None))


def test_no_name_comes_twice_and_the_link_leads_to_the_newest(handler, tmp_path):
    names: list[str] = []
    for number in range(60):
        emit(handler, f"{number:03} {'x' * 40}")
        names.append((tmp_path / "trader.logs").readlink().name)

    assert list(dict.fromkeys(names)) == sorted(set(names))
    assert len(set(names)) == 20
    assert (tmp_path / "trader.logs").read_text().endswith(f"059 {'x' * 40}\n")


def test_the_oldest_segments_go(handler, tmp_path):
    for number in range(60):
        emit(handler, f"{number:03} {'x' * 40}")

    kept = segments_of(tmp_path / "trader.logs")
    assert len(kept) == 3
    assert "".join(path.read_text() for path in kept).splitlines()[0].startswith("051")


def test_segments_are_readable_for_the_group_and_for_nobody_else(handler, tmp_path):
    (segment,) = segments_of(tmp_path / "trader.logs")
    assert segment.stat().st_mode & 0o007 == 0


def test_an_ordinary_file_of_that_name_becomes_a_segment(tmp_path):
    (tmp_path / "trader.logs").write_text("of another program\n")

    SegmentedFileHandler(tmp_path / "trader.logs", segment_bytes=100, segments=3).close()

    assert segments_of(tmp_path / "trader.logs")[0].read_text() == "of another program\n"


def test_a_full_disk_raises_nothing_and_is_counted(handler, monkeypatch):
    def full(_descriptor: int, _line: bytes) -> int:
        raise OSError(errno.ENOSPC, "full")

    emit(handler, "before")
    with monkeypatch.context() as patched:
        patched.setattr("crowsnest.ticker.segments.os.write", full)
        emit(handler, "lost")
        emit(handler, "lost")
    emit(handler, "after")

    assert handler.lost == 2


def test_half_a_line_ends_its_segment(handler, tmp_path, monkeypatch):
    real = os.write
    emit(handler, "whole")
    with monkeypatch.context() as patched:
        patched.setattr("crowsnest.ticker.segments.os.write", lambda descriptor, line: real(descriptor, line[:3]))
        emit(handler, "half of it")
    emit(handler, "next")

    first, second = segments_of(tmp_path / "trader.logs")
    assert first.read_text() == "whole\nhal"
    assert second.read_text() == "next\n"
    assert handler.lost == 1


def test_threads_do_not_mix_their_lines(tmp_path):
    handler = SegmentedFileHandler(tmp_path / "trader.logs", segment_bytes=5_000, segments=1000)
    threads = [
        threading.Thread(target=lambda letter=letter: [emit(handler, letter * 50) for _ in range(500)]) for letter in "abcd"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    handler.close()

    lines = [line for path in segments_of(tmp_path / "trader.logs") for line in path.read_text().splitlines()]
    assert len(lines) == 2000
    assert all(len(set(line)) == 1 and len(line) == 50 for line in lines)


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({}, "LOG_FILE_NAME is needed"),
        ({"LOG_FILE_NAME": "relative"}, "absolute"),
        ({"CROWSNEST_TICKER_PRICES": "none"}, "one of bars, walk"),
        ({"CROWSNEST_TICKER_INTERVAL_SECONDS": "-1"}, "not negative"),
        ({"CROWSNEST_TICKER_INTERVAL_SECONDS": "nan"}, "finite"),
        ({"CROWSNEST_TICKER_INTERVAL_SECONDS": "60"}, "at most 10"),
        ({"CROWSNEST_TICKER_SEGMENTS": "1"}, "at least 2"),
        ({"CROWSNEST_TICKER_SEGMENT_MB": "0"}, "at least 0.01"),
        ({"CROWSNEST_TICKER_SEED": "x"}, "whole number"),
        ({"CROWSNEST_TICKER_COLOUR": "red"}, "unknown variable CROWSNEST_TICKER_COLOUR"),
    ],
)
def test_bad_settings_are_refused_by_name(variables, named):
    given = {"LOG_FILE_NAME": "/var/log/trader/trader.logs"} if variables and "LOG_FILE_NAME" not in variables else {}
    with pytest.raises(SettingsError, match=named):
        TickerSettings.from_environment({**given, **variables})


def test_help_names_every_variable():
    with pytest.raises(SettingsError) as told:
        TickerSettings.from_environment({"CROWSNEST_TICKER_X": "1"})
    for name in re.findall(r"CROWSNEST_TICKER_[A-Z_]{3,}|LOG_FILE_NAME", str(told.value)):
        assert name in HELP


def test_a_folder_that_is_not_there_is_told(tmp_path):
    done = run(tmp_path, LOG_FILE_NAME="/nowhere/trader.logs")

    assert done.returncode == 1
    assert "/nowhere/trader.logs cannot be made" in done.stderr
