"""The manager against real HTTP servers: what arrives, what is counted, and what a strategy never notices."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from crowsnest.alerts import (
    AlertManager,
    AlertSettings,
    AlertSeverity,
    Notification,
    Outcome,
    RateLimit,
    SlackChannel,
    Verdict,
    _outbox,
)
from tests.alert_sink import AlertSink, Reply, unused_url
from tests.log_sink import BlackHole

SRC = Path(__file__).parents[2] / "src"
TOKEN = "123456789:ABCdefGHIjklMNOpqrsTUVwxyz"
CRITICAL, WARNING, INFO = AlertSeverity.CRITICAL, AlertSeverity.WARNING, AlertSeverity.INFO


@pytest.fixture
def sink() -> Iterator[AlertSink]:
    with AlertSink() as sink:
        yield sink


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logger = logging.getLogger("crowsnest.alerts")
    propagate, handlers = logger.propagate, list(logger.handlers)
    logger.propagate, logger.handlers = False, [logging.NullHandler()]
    logger.setLevel(logging.INFO)
    yield
    logger.propagate, logger.handlers = propagate, handlers
    logger.setLevel(logging.NOTSET)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back-off as in life, ten times as fast; its figures are tested with a clock in test_alerts_outbox."""
    monkeypatch.setattr(_outbox, "_BACKOFF_FIRST_SECONDS", 0.05)
    monkeypatch.setattr(_outbox, "_CRITICAL_RETRY_SECONDS", 0.1)


def make(url: str = "", **options: object) -> AlertManager:
    manager = AlertManager(["log", "slack"], settings=AlertSettings(), **options)  # type: ignore[arg-type]
    manager.configure_slack(webhook_url=url)
    return manager


def balanced(manager: AlertManager) -> None:
    for name, stats in manager.stats().items():
        assert stats.residual == 0, (name, stats)


class Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


def test_the_source_s_example(sink: AlertSink) -> None:
    async def main() -> None:
        alert_manager = AlertManager(channels=["log", "slack"], settings=AlertSettings())
        alert_manager.configure_slack(webhook_url=sink.slack_url)
        assert await alert_manager.send_alert(
            severity=AlertSeverity.CRITICAL,
            title="Kill Switch Activated",
            message="Trading halted due to circuit breaker: VIX > 35",
            metadata={"vix": 38.5, "timestamp": datetime(2024, 3, 15, 14, 32, tzinfo=UTC)},
        )
        assert await asyncio.to_thread(alert_manager.close)

    asyncio.run(main())
    [request] = sink.accepted
    assert request.json == {
        "text": "⚠️ CRITICAL: Kill Switch Activated",
        "blocks": [
            {
                "type": "section",
                "text": {
                    "type": "mrkdwn",
                    "text": "*Kill Switch Activated*\n\nTrading halted due to circuit breaker: VIX > 35\n\n"
                    "*Metadata:*\n• VIX: 38.5\n• Timestamp: 2024-03-15T14:32:00Z",
                },
            }
        ],
    }


def test_the_log_is_always_there_and_has_every_alert() -> None:
    records = Records()
    logging.getLogger("crowsnest.alerts").addHandler(records)
    with AlertManager([], settings=AlertSettings()) as manager:
        for _ in range(2):
            manager.send("warning", "Drawdown Warning", "5.1 %", {"strategy_id": "ema"})
        assert manager.stats()["log"].delivered == 2
        balanced(manager)
    first = records.records[0]
    assert (first.levelno, first.getMessage()) == (logging.WARNING, "Drawdown Warning: 5.1 %")
    assert first.__dict__["alert_metadata"] == {"strategy_id": "ema"}
    assert first.__dict__["severity"] == "warning"
    assert len(records.records) == 2


def test_the_log_works_with_the_victorialogs_handler() -> None:
    from crowsnest.logs import VictoriaLogsHandler
    from tests.log_sink import LogSink

    with LogSink() as store:
        handler = VictoriaLogsHandler(store.url, flush_interval_seconds=0.02)
        logging.getLogger("crowsnest.alerts").addHandler(handler)
        with AlertManager([], settings=AlertSettings()) as manager:
            manager.send(CRITICAL, "Kill Switch Activated", "VIX > 35", {"vix": 38.5})
        assert handler.drain(5)
        handler.close()
    [record] = store.records
    assert (record["level"], record["alert"], record["component"]) == ("CRITICAL", "Kill Switch Activated", "alerts")


def test_a_log_handler_that_sends_alerts_does_not_feed_on_itself(sink: AlertSink) -> None:
    manager = make(sink.slack_url)

    class Alerting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            manager.send(CRITICAL, "error logged", record.getMessage())

    logging.getLogger("crowsnest.alerts").addHandler(Alerting())
    assert manager.send(CRITICAL, "one")
    assert manager.close()
    assert len(sink.accepted) == 1
    assert manager.stats()["slack"].dropped["recursion"] == 1
    balanced(manager)


def test_a_log_handler_that_raises_is_counted_and_the_alert_still_sent(sink: AlertSink) -> None:
    class Broken(logging.Handler):
        def handle(self, record: logging.LogRecord) -> bool:
            raise RuntimeError("disk full")

    logging.getLogger("crowsnest.alerts").addHandler(Broken())
    manager = make(sink.slack_url)
    assert manager.send(CRITICAL, "one")
    assert manager.close()
    assert len(sink.accepted) == 1
    assert manager.stats()["log"].dropped["sender_error"] == 1


def test_a_storm_becomes_few_messages_with_every_critical_in_them(sink: AlertSink) -> None:
    manager = make(sink.slack_url)
    manager.configure_telegram(TOKEN, "-1001234567890", api_url=sink.url)

    def storm(worker: int) -> None:
        for number in range(2500):
            if number % 500 == 250:
                manager.send(CRITICAL, f"critical {worker}-{number}", "broker connection lost")
            else:
                manager.send((WARNING, INFO)[number % 2], f"alert {number % 700}", f"worker {worker}")

    threads = [threading.Thread(target=storm, args=(worker,)) for worker in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _ in range(5000):
        manager.send(WARNING, "slow feed")
    assert manager.close(timeout=10)
    for path in ("/services", "/bot"):
        texts = [request.json["text"] for request in sink.accepted if request.path.startswith(path)]
        assert len(texts) <= 20
        expected = {f"critical {worker}-{number}" for worker in range(2) for number in range(250, 2500, 500)}
        assert {text.splitlines()[0].partition("CRITICAL: ")[2] for text in texts if "CRITICAL" in text} >= expected
    for name in ("slack", "telegram"):
        assert manager.stats()[name].accepted == 10_000
    assert manager.stats()["log"].delivered == 10_000
    balanced(manager)


def test_429_is_honoured(sink: AlertSink) -> None:
    sink.replies.append(Reply(429, b"rate_limited", {"Retry-After": "1"}))
    manager = make(sink.slack_url)
    manager.send(CRITICAL, "one")
    manager.send(CRITICAL, "two")
    sink.wait(2)
    times = [request.at for request in sink.requests]
    assert len(times) == 3
    assert 1.0 <= times[1] - times[0] < 2.0
    assert [text.partition(": ")[2] for text in sink.texts] == ["one", "two"]
    assert manager.close()
    balanced(manager)


def test_5xx_is_retried_and_4xx_is_not(sink: AlertSink) -> None:
    sink.replies.extend([Reply(503, b""), Reply(500, b""), Reply(200), Reply(404, b"no_service")])
    manager = make(sink.slack_url)
    manager.send(CRITICAL, "one")
    sink.wait(1)
    manager.send(CRITICAL, "two")
    assert manager.drain(5)
    stats = manager.stats()["slack"]
    assert (stats.attempts, stats.failed_attempts, stats.delivered, stats.dropped["rejected"]) == (4, 3, 1, 1)
    assert stats.last_error == "HTTP 404 no_service"
    assert manager.close()


def test_a_redirect_is_refused_and_leaks_nothing(sink: AlertSink) -> None:
    with AlertSink() as other:
        sink.default = Reply(302, b"", {"Location": other.url})
        manager = make(sink.slack_url)
        manager.send(CRITICAL, "one")
        assert manager.drain(5)
        assert manager.stats()["slack"].dropped["rejected"] == 1
        assert other.requests == []
        manager.close()


@pytest.mark.parametrize("kind", ["dead", "blackholed"])
def test_nothing_blocks_or_raises_while_the_server_is_away(kind: str) -> None:
    with BlackHole() as hole:
        manager = make(unused_url() if kind == "dead" else f"{hole.url}/s3cr3tHook", request_timeout_seconds=0.3)
        longest = 0.0
        for number in range(2000):
            begun = time.perf_counter()
            assert manager.send(CRITICAL if number < 100 else WARNING, f"alert {number}") is True or number >= 500
            longest = max(longest, time.perf_counter() - begun)
        assert longest < 0.25  # far below any timeout; a pause of this machine fits in
        begun = time.monotonic()
        assert manager.close(timeout=0.5) is False
        assert time.monotonic() - begun < 1.0
    stats = manager.stats()["slack"]
    assert stats.delivered == 0
    assert stats.dropped["shutdown"] >= 100
    balanced(manager)


def test_another_channel_is_served_while_one_is_blackholed(sink: AlertSink) -> None:
    with BlackHole() as hole:
        manager = make(f"{hole.url}/s3cr3tHook", request_timeout_seconds=0.3)
        manager.configure_telegram(TOKEN, 42, api_url=sink.url)
        begun = time.monotonic()
        for number in range(3):
            manager.send(CRITICAL, f"alert {number}")
        sink.wait(3)
        assert time.monotonic() - begun < 3
        manager.close(timeout=0.2)
    balanced(manager)


def test_what_came_during_an_outage_arrives_after_it(sink: AlertSink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SlackChannel, "rate_limit", RateLimit(per_second=50, burst=3))
    sink.default = Reply(503, b"")
    manager = make(sink.slack_url)
    manager.send(CRITICAL, "kill switch")
    manager.send(WARNING, "w1")
    manager.send(WARNING, "w2")
    while len(sink.requests) < 2:
        time.sleep(0.005)
    sink.default = Reply()
    manager.send(CRITICAL, "again")
    assert manager.drain(10)
    assert sink.texts[0].endswith("kill switch")
    assert sink.texts[1].endswith("again")
    assert "2 alerts in" in sink.texts[2]
    assert manager.close()


def test_an_unconfigured_channel_is_counted(capfd: pytest.CaptureFixture[str]) -> None:
    with AlertManager(["log", "telegram"], settings=AlertSettings()) as manager:
        assert manager.send(CRITICAL, "one") is False
        assert manager.stats()["telegram"].dropped["not_configured"] == 1
        balanced(manager)
    assert "telegram is not configured" in capfd.readouterr().err


class Strange:
    """A channel that does everything wrong."""

    name = "strange"
    rate_limit = RateLimit(1000, 1000)

    def __init__(self, answers: list[object]) -> None:
        self.answers = answers
        self.sent: list[Notification] = []

    def deliver(self, notification: Notification, *, timeout_seconds: float) -> Outcome:
        answer = self.answers.pop(0) if self.answers else Outcome(Verdict.DELIVERED)
        if isinstance(answer, BaseException):
            raise answer
        if isinstance(answer, Outcome) and answer.verdict is Verdict.DELIVERED:
            self.sent.append(notification)
        return answer  # type: ignore[return-value]


def test_a_channel_of_one_s_own_may_fail_in_any_way() -> None:
    channel = Strange([RuntimeError("token=s3cr3tHook"), None, SystemExit("s3cr3tHook")])
    manager = AlertManager([channel], settings=AlertSettings())
    manager.send(CRITICAL, "one")
    assert manager.drain(10)
    stats = manager.stats()["strange"]
    assert (stats.attempts, stats.failed_attempts, stats.delivered) == (4, 3, 1)
    assert stats.last_error == "Strange.deliver raised SystemExit"
    assert manager.close()


class Hostile(Mapping[str, object]):
    def __getitem__(self, key: str) -> object:
        raise RuntimeError

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError

    def __len__(self) -> int:
        raise RuntimeError


def test_anything_may_be_sent(sink: AlertSink) -> None:
    manager = make(sink.slack_url)
    manager.send(None, None, None, Hostile())  # type: ignore[arg-type]
    manager.send("crit", b"\xff", "\ud800\0", {"x": float("nan")})  # type: ignore[arg-type]
    assert manager.close()
    assert len(sink.accepted) == 2
    balanced(manager)


def test_after_close_alerts_are_logged_and_counted(sink: AlertSink) -> None:
    manager = make(sink.slack_url)
    assert manager.close()
    assert manager.send(CRITICAL, "late") is False
    assert manager.close()
    stats = manager.stats()
    assert (stats["slack"].dropped["shutdown"], stats["log"].delivered) == (1, 1)
    balanced(manager)


def test_secrets_are_shown_nowhere(capfd: pytest.CaptureFixture[str], sink: AlertSink) -> None:
    records = Records()
    logging.getLogger("crowsnest.alerts").addHandler(records)
    manager = make(unused_url(), request_timeout_seconds=0.2)
    sink.default = Reply(400, f"bad {TOKEN}".encode())
    manager.configure_telegram(TOKEN, 42, api_url=sink.url)
    manager.send(CRITICAL, "one")
    manager.close(timeout=0.3)
    shown = f"{manager!r} {manager.stats()!r} {vars(manager)!r} {[vars(r) for r in manager._routes.values()]!r}"
    shown += "".join(f"{record.getMessage()} {record.__dict__!r}" for record in records.records) + "".join(capfd.readouterr())
    assert TOKEN not in shown
    assert "s3cr3tHook" not in shown
    balanced(manager)


def test_many_threads_and_a_flaky_server_leave_nothing_uncounted(sink: AlertSink) -> None:
    sink.replies.extend(Reply((200, 503, 400, 429)[number % 4], b"", {"Retry-After": "0"}) for number in range(40))
    manager = make(sink.slack_url, max_queued=50, group_window_seconds=0.02)
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            balanced(manager)

    def work(worker: int) -> None:
        for number in range(500):
            manager.send(list(AlertSeverity)[number % 3], f"{worker} {number % 40}")

    watcher = threading.Thread(target=watch)
    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    watcher.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    manager.close(timeout=0.5)
    done.set()
    watcher.join()
    balanced(manager)
    assert manager.stats()["slack"].accepted == 2000


def test_a_signal_handler_may_send(sink: AlertSink) -> None:
    manager = make(sink.slack_url, max_queued=100_000)
    count = 0

    def on_alarm(number: int, frame: object) -> None:
        nonlocal count
        count += 1
        manager.send(CRITICAL, "from the handler", fingerprint=f"handler {count}")

    previous = signal.signal(signal.SIGALRM, on_alarm)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
        for number in range(3000):
            manager.send(INFO, f"{number}")
            manager.stats()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert count > 10
    stats = manager.stats()["slack"]
    assert stats.residual == 0
    assert stats.accepted == 3000 + count
    manager.close(timeout=0.1)
    balanced(manager)


def test_a_forked_child_has_its_own_queue_and_thread(sink: AlertSink) -> None:
    sink.delay_seconds = 0.2
    manager = make(sink.slack_url)
    manager.send(CRITICAL, "parent")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            empty = manager.stats()["slack"].accepted == 0
            manager.send(CRITICAL, "child")
            status = 0 if empty and manager.close(timeout=5) and manager.stats()["slack"].delivered == 1 else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert manager.close()
    assert sorted(text.rpartition(" ")[2] for text in sink.texts) == ["child", "parent"]


def test_forks_under_load_never_deadlock(sink: AlertSink) -> None:
    manager = make(sink.slack_url)
    done = threading.Event()

    def load() -> None:
        number = 0
        while not done.is_set():
            number += 1
            manager.send(WARNING, f"load {number}")

    thread = threading.Thread(target=load)
    thread.start()
    try:
        for _ in range(15):
            child = os.fork()
            if child == 0:
                signal.alarm(5)
                manager.send(CRITICAL, "child")
                os._exit(0 if manager.stats()["slack"].accepted == 1 else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        done.set()
        thread.join()
        manager.close(timeout=0.2)
    balanced(manager)


def run_python(code: str, url: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "SLACK_WEBHOOK_URL": url, "PYTHONPATH": str(SRC)}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=15,
    )


def test_what_is_queued_is_delivered_at_interpreter_exit(sink: AlertSink) -> None:
    done = run_python(
        """
        from crowsnest.alerts import AlertManager
        manager = AlertManager()
        manager.send("critical", "going down")
        for number in range(3):
            manager.send("info", f"note {number}")
        """,
        sink.slack_url,
    )
    assert done.returncode == 0, done.stderr
    assert "⚠️ CRITICAL: going down" in sink.texts
    assert 2 <= len(sink.texts) <= 3


def test_a_multiprocessing_child_delivers(sink: AlertSink) -> None:
    done = run_python(
        """
        import multiprocessing
        from crowsnest.alerts import AlertManager
        manager = AlertManager()
        def work():
            manager.send("critical", "from the child")
        if __name__ == "__main__":
            process = multiprocessing.get_context("fork").Process(target=work)
            process.start()
            process.join()
            raise SystemExit(process.exitcode)
        """,
        sink.slack_url,
    )
    assert done.returncode == 0, done.stderr
    assert sink.texts == ["⚠️ CRITICAL: from the child"]


def test_exit_with_a_blackholed_server_ends_in_time() -> None:
    with BlackHole() as hole:
        begun = time.monotonic()
        done = run_python(
            """
            from crowsnest.alerts import AlertManager
            AlertManager(close_timeout_seconds=0.5).send("critical", "going down")
            """,
            f"{hole.url}/s3cr3tHook",
        )
        assert time.monotonic() - begun < 4
    assert done.returncode == 0
    assert "closed with 1 alerts not delivered" in done.stderr
    assert "s3cr3tHook" not in done.stderr


@pytest.mark.parametrize("alive", [True, False])
def test_without_a_thread_close_delivers_by_itself_and_in_time(
    sink: AlertSink, monkeypatch: pytest.MonkeyPatch, alive: bool
) -> None:
    """The system has no thread left, or the interpreter is ending."""
    sink.default = Reply() if alive else Reply(429, b"", {"Retry-After": "600"})
    manager = make(sink.slack_url)

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "crowsnest-alerts":
            raise RuntimeError("can't start new thread")
        start(thread)

    start = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert manager.send(CRITICAL, "one")
    begun = time.monotonic()
    assert manager.close(timeout=0.5) is alive
    assert time.monotonic() - begun < 1
    assert len(sink.accepted) == alive
    balanced(manager)


def test_importing_it_is_light() -> None:
    code = """
    import sys, crowsnest.alerts
    print(sorted(set(sys.modules) & {"apprise", "httpx", "asyncio", "structlog", "requests"}))
    """
    done = run_python(code, "")
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_no_socket_is_left_open(sink: AlertSink) -> None:
    before = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 0
    manager = make(sink.slack_url)
    for number in range(5):
        manager.send(CRITICAL, f"{number}")
    assert manager.close()
    assert len(sink.accepted) == 5
    deadline = time.monotonic() + 2
    while before and len(list(Path("/proc/self/fd").iterdir())) > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not before or len(list(Path("/proc/self/fd").iterdir())) <= before
