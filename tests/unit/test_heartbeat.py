"""The dead man's switch: silence is noticed, told once, told again, and its end is told."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from crowsnest.__main__ import main
from crowsnest.alerts import AlertSeverity
from crowsnest.heartbeat import (
    ALERTMANAGER_GOES_ON_SECONDS,
    DEFAULT_MAX_AGE_SECONDS,
    LOOKS,
    MAX_SOURCES,
    HeartbeatMonitor,
    sources_of,
)
from tests.alert_sink import AlertSink

SRC = Path(__file__).parents[2] / "src"
TOKEN = "a-token-of-the-heartbeat"


class Told:
    def __init__(self) -> None:
        self.messages: list[tuple[AlertSeverity, str]] = []

    def send(self, severity, title, message="", metadata=None) -> bool:
        self.messages.append((severity, title))
        return True


@pytest.fixture
def now():
    return [0.0]


@pytest.fixture
def told():
    return Told()


@pytest.fixture
def monitor(told, now):
    return HeartbeatMonitor(told, ["prod"], max_age_seconds=840, repeat_seconds=3600, clock=lambda: now[0])


def watchdog(stack: str = "prod", status: str = "firing", name: str = "Watchdog") -> bytes:
    return json.dumps({"alerts": [{"status": status, "labels": {"alertname": name, "stack": stack}}]}).encode()


def test_beats_in_time_are_silent(monitor, told, now):
    for _ in range(20):
        now[0] += 300
        monitor.beat("prod")
        assert monitor.look() == []
    assert told.messages == []


def test_silence_is_told_within_fifteen_minutes_of_the_end_of_prometheus(told, now):
    monitor = HeartbeatMonitor(told, clock=lambda: now[0])
    now[0] = ALERTMANAGER_GOES_ON_SECONDS  # its last beat comes as late as that
    monitor.beat("prod")
    while not monitor.look():
        now[0] += DEFAULT_MAX_AGE_SECONDS / LOOKS

    assert now[0] <= 15 * 60
    assert told.messages == [(AlertSeverity.CRITICAL, "Heartbeat of prod is missing")]


def test_at_the_bound_it_is_still_there(monitor, told, now):
    now[0] = 840
    assert monitor.look() == []
    now[0] = 840.1
    assert monitor.look() == ["prod"]


def test_silence_is_told_again_every_hour_and_not_more_often(monitor, told, now):
    for now[0] in range(841, 841 + 2 * 3600 + 1, 60):
        monitor.look()

    assert len(told.messages) == 3


def test_the_end_of_silence_is_told_once(monitor, told, now):
    now[0] = 2000
    monitor.look()
    monitor.beat("prod")
    monitor.beat("prod")

    assert told.messages[1:] == [(AlertSeverity.INFO, "Heartbeat of prod is back")]


def test_a_machine_that_was_expected_and_never_came_is_missing(monitor, told, now):
    now[0] = 900
    assert monitor.look() == ["prod"]


def test_every_machine_is_watched_by_itself(monitor, told, now):
    monitor.beat("other")
    now[0] = 800
    monitor.beat("prod")
    now[0] = 900
    assert monitor.look() == ["other"]


def test_the_number_of_machines_is_bounded(monitor):
    assert all(monitor.beat(str(number)) for number in range(MAX_SOURCES - 1))
    assert not monitor.beat("one too many")


@pytest.mark.parametrize("body", [
    b"", b"[]", b"{}", b"null", b'{"alerts": [1]}', b"\xff", watchdog(status="resolved"), watchdog(name="DrawdownWarning"),
])  # fmt: skip
def test_what_is_no_firing_watchdog_is_no_heartbeat(body):
    assert sources_of(body) == []


def test_a_watchdog_is_a_heartbeat_of_its_stack():
    assert sources_of(watchdog("demo")) == ["demo"]


@pytest.mark.parametrize("seconds", [{"max_age_seconds": 0}, {"repeat_seconds": -1}])
def test_a_time_must_be_above_zero(told, seconds):
    with pytest.raises(ValueError, match="must be above 0"):
        HeartbeatMonitor(told, **seconds)


def start(folder: Path, sink: AlertSink, *arguments: str) -> tuple[subprocess.Popen[str], str]:
    (folder / "token").write_text(TOKEN)
    environment = {
        **os.environ,
        "PYTHONPATH": str(SRC),
        "HEARTBEAT_TOKEN_FILE": str(folder / "token"),
        "SLACK_WEBHOOK_URL": sink.slack_url,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "crowsnest.heartbeat", "--port", "0", *arguments],
        env=environment, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr
    line = process.stderr.readline()
    found = re.search(r"http://\S+:\d+", line)
    assert found, line
    return process, found[0]


def post(url: str, body: bytes) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, method="POST"), timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_the_program_tells_people_and_takes_beats_only_from_who_knows_the_token(tmp_path):
    with AlertSink() as sink:
        process, url = start(tmp_path, sink, "--max-age-seconds", "1", "--expect", "prod")
        try:
            assert post(f"{url}/{TOKEN}", watchdog()) == 200
            assert post(f"{url}/wrong", watchdog()) == 404
            assert post(f"{url}/{TOKEN}", b"{}") == 400
            assert post(f"{url}/{TOKEN}", b"x" * 100_000) == 413
            begun = time.monotonic()
            sink.wait(1, 10)
            assert 0.5 < time.monotonic() - begun < 5
            assert "Heartbeat of prod is missing" in sink.texts[0]
            assert post(f"{url}/{TOKEN}", watchdog()) == 200
            sink.wait(2, 10)
            assert "is back" in sink.texts[1]
            with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
                assert json.load(answer)["ages_seconds"]["prod"] < 5
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(15) == 0
            assert process.stderr
            assert TOKEN not in process.stderr.read()
            process.stderr.close()


@pytest.mark.parametrize("content", [None, "short", "with spaces in the token"])
def test_without_a_usable_token_it_says_what_to_do(tmp_path, content):
    if content is not None:
        (tmp_path / "token").write_text(content)
    environment = {**os.environ, "PYTHONPATH": str(SRC), "HEARTBEAT_TOKEN_FILE": str(tmp_path / "token")}
    done = subprocess.run(
        [sys.executable, "-m", "crowsnest.heartbeat", "--port", "0"],
        env=environment, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip

    assert done.returncode == 2
    assert "HEARTBEAT_TOKEN_FILE" in done.stderr
    assert content is None or content not in done.stderr.replace(str(tmp_path), "")


@pytest.mark.parametrize("words", [[], ["heartbeet"]])
def test_an_unknown_command_gets_the_list(words, capsys):
    assert main(words) == 2
    assert "heartbeat" in capsys.readouterr().err
