"""The handler against a real HTTP server: what arrives, what is counted, and what a caller never notices."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from crowsnest.logs import HandlerStats, VictoriaLogsHandler
from tests.log_sink import BlackHole, LogSink

SRC = Path(__file__).parents[2] / "src"


@pytest.fixture
def sink() -> Iterator[LogSink]:
    with LogSink() as sink:
        yield sink


@pytest.fixture
def logger(request: pytest.FixtureRequest) -> Iterator[logging.Logger]:
    logger = logging.getLogger(f"strategy.{request.node.name}")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    yield logger
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()


def attach(logger: logging.Logger, url: str, **options: object) -> VictoriaLogsHandler:
    handler = VictoriaLogsHandler(url, **{"flush_interval_seconds": 0.02, **options})  # type: ignore[arg-type]
    logger.addHandler(handler)
    return handler


def own(sink: LogSink) -> list[dict[str, Any]]:
    """What arrived, without the handler's own records of lost ones."""
    return [record for record in sink.records if "gap_reason" not in record]


def run_python(code: str, url: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "VICTORIALOGS_URL": url, "PYTHONPATH": str(SRC)}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], env=environment, capture_output=True, text=True, check=False, timeout=15
    )


def test_a_record_meets_the_contract(sink: LogSink, logger: logging.Logger) -> None:
    handler = attach(logger, sink.url, extra_fields={"app": "nautilus-trader"})
    logger.warning("filled %s", "AAPL", extra={"order_id": "O-1", "price": 101.25, "component": "EMACross"})
    assert handler.drain(5)

    (record,) = sink.records
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", record.pop("_time"))
    assert record == {
        "_msg": "filled AAPL",
        "level": "WARNING",
        "source": "strategy",
        "strategy_id": "test_a_record_meets_the_contract",
        "component": "EMACross",
        "logger": logger.name,
        "app": "nautilus-trader",
        "order_id": "O-1",
        "price": 101.25,
        "boot": handler.boot,
        "seq": 1,
    }


def test_the_stack_is_kept_where_it_was_asked_for(sink: LogSink, logger: logging.Logger) -> None:
    handler = attach(logger, sink.url)
    logger.info("with", stack_info=True)
    logger.info("without")
    assert handler.drain(5)
    assert "test_the_stack_is_kept" in sink.records[0]["stack_info"]
    assert "stack_info" not in sink.records[1]


def test_a_request_is_one_that_victorialogs_stores(sink: LogSink, logger: logging.Logger) -> None:
    handler = attach(logger, sink.url)
    logger.info("hello")
    assert handler.drain(5)
    ((path, query, headers),) = sink.requests
    assert path == "/insert/jsonline"
    assert query == {"_stream_fields": ["strategy_id,source,level"], "_msg_field": ["_msg"], "_time_field": ["_time"]}
    assert headers["Content-Type"] == "application/stream+json"
    assert headers["Content-Encoding"] == "gzip"


def test_seq_is_gapless_and_time_strictly_rises(sink: LogSink, logger: logging.Logger) -> None:
    handler = attach(logger, sink.url)
    for number in range(2500):
        logger.info("record %d", number)
    assert handler.drain(5)
    assert [record["seq"] for record in sink.records] == list(range(1, 2501))
    times = [record["_time"] for record in sink.records]
    assert all(earlier < later for earlier, later in pairwise(times))


def test_time_rises_while_the_clock_stands_still(
    sink: LogSink, logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = attach(logger, sink.url)
    monkeypatch.setattr(time, "time_ns", lambda: 1_700_000_000_000_000_000)
    for _ in range(3):
        logger.info("same instant")
    assert handler.drain(5)
    assert [record["_time"][-4:-1] for record in sink.records] == ["000", "001", "002"]


def test_attached_twice_sends_once(sink: LogSink, logger: logging.Logger) -> None:
    handler = attach(logger, sink.url)
    child = logger.getChild("orders")
    child.addHandler(handler)
    try:
        child.info("only once")
        assert handler.drain(5)
    finally:
        child.removeHandler(handler)
    assert [record["_msg"] for record in sink.records] == ["only once"]
    assert handler.stats().accepted == 1


def test_two_handlers_both_get_the_record(sink: LogSink, logger: logging.Logger) -> None:
    handlers = [attach(logger, sink.url), attach(logger, sink.url)]
    logger.info("for both", extra={"price": 1})
    assert all(handler.drain(5) for handler in handlers)
    assert sorted(record["boot"] for record in sink.records) == sorted(handler.boot for handler in handlers)
    assert [record["price"] for record in sink.records] == [1, 1]


def test_a_full_queue_drops_the_oldest(sink: LogSink, logger: logging.Logger) -> None:
    handler = attach(logger, sink.url, max_records=10, flush_interval_seconds=60, batch_max_records=1000)
    handler._sender.wake = lambda: None  # type: ignore[method-assign]  # nothing is sent before the queue is full
    for number in range(25):
        logger.info("%d", number)
    assert handler.stats().queued == 10
    assert handler.drain(5)
    *kept, gap = sink.records
    assert [record["_msg"] for record in kept] == [str(number) for number in range(15, 25)]
    assert gap["_msg"] == "15 log records lost (overflow) between seq 1 and 15"
    assert (gap["level"], gap["source"], gap["component"]) == ("ERROR", "system", "crowsnest.logs")
    assert (gap["gap_reason"], gap["gap_records"], gap["gap_first_seq"], gap["gap_last_seq"]) == ("overflow", 15, 1, 15)
    stats = handler.stats()
    assert (stats.accepted, stats.delivered, stats.dropped["overflow"], stats.residual) == (26, 11, 15, 0)


def test_a_full_queue_keeps_errors(sink: LogSink, logger: logging.Logger) -> None:
    handler = attach(logger, sink.url, max_records=10, flush_interval_seconds=60)
    handler._sender.wake = lambda: None  # type: ignore[method-assign]
    logger.error("margin call")
    for number in range(50):
        logger.info("%d", number)
    assert handler.drain(5)
    assert sink.records[0]["_msg"] == "margin call"
    assert [record["_msg"] for record in sink.records[1:10]] == [str(number) for number in range(41, 50)]


def test_the_queue_is_bounded_in_bytes(logger: logging.Logger) -> None:
    handler = attach(logger, "http://127.0.0.1:1", max_bytes=20_000, flush_interval_seconds=60, close_timeout_seconds=0.1)
    for _ in range(100):
        logger.info("x" * 1000)
    stats = handler.stats()
    assert stats.queued_bytes <= 20_000
    assert stats.dropped["overflow"] == 100 - stats.queued - stats.in_flight


def test_counts_are_exact_under_four_threads(sink: LogSink, logger: logging.Logger) -> None:
    handler = attach(logger, sink.url, max_records=50)
    interval_seconds = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    residuals = []
    try:
        threads = [threading.Thread(target=lambda: [logger.info("%d", number) for number in range(2500)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            residuals.append(handler.stats().residual)
            time.sleep(0.001)
    finally:
        sys.setswitchinterval(interval_seconds)
    assert handler.drain(10)
    stats = handler.stats()
    assert set(residuals) == {0}
    assert stats.accepted == 10_000 + stats.gap_records
    assert stats.delivered == len(sink.records) == stats.accepted - stats.dropped["overflow"]
    assert len({record["seq"] for record in sink.records}) == stats.delivered


def test_server_errors_are_retried_until_delivered(sink: LogSink, logger: logging.Logger) -> None:
    sink.answers.extend([500, 503, 429])
    handler = attach(logger, sink.url)
    for number in range(20):
        logger.info("%d", number)
    assert handler.drain(10)
    assert [record["_msg"] for record in sink.records] == [str(number) for number in range(20)]
    stats = handler.stats()
    assert (stats.delivered, stats.dropped_total, stats.failed_requests) == (20, 0, 3)
    assert stats.last_error is not None
    assert stats.last_error.startswith("HTTP 429")


def test_a_server_that_comes_back_gets_everything(logger: logging.Logger) -> None:
    with LogSink() as sink:
        url = sink.url
    handler = attach(logger, url)
    logger.info("while it was away")
    assert not handler.drain(0.3)
    with LogSink() as sink:
        handler._sender._transport._port = int(sink.url.rsplit(":", 1)[1])
        assert handler.drain(5)
        assert [record["_msg"] for record in sink.records] == ["while it was away"]


def test_a_bad_record_is_isolated(sink: LogSink, logger: logging.Logger) -> None:
    sink.refuses = lambda record: record["_msg"] == "bad"
    handler = attach(logger, sink.url, flush_interval_seconds=0.2)
    for number in range(40):
        logger.info("bad" if number == 17 else str(number))
    assert handler.drain(5)
    stats = handler.stats()
    assert (stats.delivered, stats.dropped["rejected"], stats.residual) == (40, 1, 0)
    assert len(own(sink)) == 39
    assert [record["gap_first_seq"] for record in sink.records if "gap_reason" in record] == [18]


@pytest.mark.parametrize("status", [301, 401, 404])
def test_other_refusals_are_counted_as_rejected(sink: LogSink, logger: logging.Logger, status: int) -> None:
    sink.default_status = status
    handler = attach(logger, sink.url, flush_interval_seconds=0.1)
    for _ in range(30):
        logger.info("refused")
    assert handler.drain(5)
    stats = handler.stats()
    assert (stats.delivered, stats.dropped["rejected"], stats.residual) == (0, 30, 0)
    assert len(sink.requests) <= 2


def test_a_line_over_the_limit_is_dropped_before_sending(sink: LogSink, logger: logging.Logger) -> None:
    handler = attach(logger, sink.url)
    logger.info("x" * 256 * 1024)
    logger.info("x" * 255 * 1024)
    assert handler.drain(5)
    assert [record["seq"] for record in own(sink)] == [2]
    assert handler.stats().dropped["too_large"] == 1


def test_close_delivers_what_is_queued(sink: LogSink, logger: logging.Logger) -> None:
    handler = attach(logger, sink.url, flush_interval_seconds=60)
    for number in range(3000):
        logger.info("%d", number)
    handler.close()
    assert len(sink.records) == 3000
    logger.info("too late")
    stats = handler.stats()
    assert (stats.delivered, stats.dropped["shutdown"], stats.residual) == (3000, 1, 0)


@pytest.mark.parametrize("started", [True, False])
def test_close_has_a_deadline(logger: logging.Logger, started: bool) -> None:
    with BlackHole() as hole:
        handler = attach(logger, hole.url, close_timeout_seconds=0.3)
        if not started:  # as when the interpreter is shutting down and refuses new threads
            handler._sender._starting.acquire()
        logger.info("never answered")
        if not started:
            handler._sender._starting.release()
        begin = time.monotonic()
        handler.close()
        assert time.monotonic() - begin < 1.0
        stats = handler.stats()
        assert (stats.accepted, stats.dropped["shutdown"], stats.residual) == (1, 1, 0)


def test_no_server_slows_a_logging_call(sink: LogSink, logger: logging.Logger) -> None:
    """With the queue overflowing and each kind of broken server, calls cost what they cost with a good one."""

    def seconds_for_calls(url: str) -> float:
        handler = attach(logger, url, close_timeout_seconds=0.05, max_records=500)
        best = float("inf")
        for _ in range(5):
            begin = time.perf_counter()
            for number in range(1000):
                logger.info("filled %d", number, extra={"order_id": "O-1", "price": 1.5})
            best = min(best, time.perf_counter() - begin)
        logger.removeHandler(handler)
        handler.close()
        return best

    with BlackHole() as hole, LogSink() as broken:
        broken.default_status = 500
        for url in (hole.url, broken.url, "http://127.0.0.1:1"):
            # 100 us a call: ten times the measured cost, a thousandth of the shortest network time-out
            assert seconds_for_calls(url) < 0.1


def test_a_forked_child_logs_on_its_own(sink: LogSink, logger: logging.Logger) -> None:
    handler = attach(logger, sink.url, flush_interval_seconds=0.2)
    logger.info("parent before")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            logger.info("child")
            stats = handler.stats()
            code = 0 if handler.drain(5) and stats.accepted == 1 else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    logger.info("parent after")
    assert handler.drain(5)
    by_boot: dict[str, list[str]] = {}
    for record in sink.records:
        by_boot.setdefault(record["boot"], []).append(record["_msg"])
    assert by_boot.pop(handler.boot) == ["parent before", "parent after"]
    assert list(by_boot.values()) == [["child"]]


def test_a_multiprocessing_child_delivers_at_its_end(sink: LogSink) -> None:
    done = run_python(
        """
        import logging, multiprocessing
        from crowsnest.logs import VictoriaLogsHandler

        def work():
            logging.warning("from the child")

        logging.getLogger().addHandler(VictoriaLogsHandler(flush_interval_seconds=60))
        child = multiprocessing.get_context("fork").Process(target=work)
        child.start()
        child.join()
        """,
        sink.url,
    )
    assert done.returncode == 0, done.stderr
    assert [record["_msg"] for record in sink.records] == ["from the child"]


def test_the_end_of_the_interpreter_delivers(sink: LogSink) -> None:
    done = run_python(
        """
        import logging
        from crowsnest.logs import VictoriaLogsHandler
        logging.getLogger().addHandler(VictoriaLogsHandler(flush_interval_seconds=60))
        for number in range(100):
            logging.warning("%d", number)
        """,
        sink.url,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(sink.records) == 100


def test_the_end_of_the_interpreter_does_not_hang_on_a_dead_server() -> None:
    with BlackHole() as hole:
        begin = time.monotonic()
        done = run_python(
            """
            import logging
            from crowsnest.logs import VictoriaLogsHandler
            logging.getLogger().addHandler(VictoriaLogsHandler())
            logging.warning("lost")
            """,
            hole.url,
        )
        assert done.returncode == 0
        assert time.monotonic() - begin < 5
        assert "1 records not acknowledged" in done.stderr


def test_the_library_does_not_import_the_engine_or_third_parties() -> None:
    code = """
    import sys
    before = set(sys.modules)
    import crowsnest.logs
    new = {name.partition(".")[0] for name in set(sys.modules) - before}
    foreign = new - set(sys.stdlib_module_names) - {"crowsnest", "msgspec", "typing_extensions"}
    assert not foreign, foreign  # msgspec looks for typing_extensions, and does without
    assert "crowsnest.engine" not in sys.modules
    """
    done = run_python(code, "")
    assert done.returncode == 0, done.stderr


def test_a_signal_handler_may_log_in_the_middle_of_logging(sink: LogSink, logger: logging.Logger) -> None:
    handler = attach(logger, sink.url)
    signals = 0

    def on_signal(_number: int, _frame: object) -> None:
        nonlocal signals
        signals += 1
        logger.info("from the signal handler")

    previous = signal.signal(signal.SIGALRM, on_signal)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        for number in range(20_000):
            logger.info("%d", number)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert handler.drain(10)
    stats = handler.stats()
    assert signals > 10
    assert (stats.accepted, stats.residual) == (20_000 + signals + stats.gap_records, 0)


def test_a_record_logged_while_a_record_is_admitted_waits_its_turn(
    sink: LogSink, logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The re-entry that a signal handler or finaliser can cause, made certain."""
    handler = attach(logger, sink.url)
    clock = time.time_ns
    nested = iter([True])

    def log_and_clock() -> int:
        if next(nested, False):
            logger.info("inner")
        return clock()

    monkeypatch.setattr("crowsnest.logs._buffer.time", SimpleNamespace(time_ns=log_and_clock, monotonic=time.monotonic))
    logger.info("outer")
    assert handler.drain(5)
    assert [record["_msg"] for record in sink.records] == ["outer", "inner"]
    assert handler.stats().residual == 0


def test_an_object_that_logs_its_own_repr_ends(sink: LogSink, logger: logging.Logger) -> None:
    class Talkative:
        def __repr__(self) -> str:
            logger.info("asked for repr", extra={"thing": self})
            return "<talkative>"

    handler = attach(logger, sink.url)
    logger.info("start", extra={"thing": Talkative()})
    assert handler.drain(5)
    stats = handler.stats()
    assert stats.dropped["recursion"] == 1
    assert stats.residual == 0
    assert {record["thing"] for record in sink.records} == {"<talkative>"}


def test_what_sending_logs_is_not_sent(sink: LogSink, logger: logging.Logger) -> None:
    """An instrumented HTTP client logs each request; sending that would cause the next."""
    handler = attach(logger, sink.url)
    post = handler._sender._transport.post

    def post_and_log(payload: bytes, *, timeout_seconds: float | None = None) -> Any:
        logger.debug("POST /insert/jsonline")
        return post(payload, timeout_seconds=timeout_seconds)

    handler._sender._transport.post = post_and_log  # type: ignore[method-assign]
    logger.info("mine")
    assert handler.drain(5)
    time.sleep(0.1)
    assert [record["_msg"] for record in sink.records] == ["mine"]
    stats = handler.stats()
    assert (stats.accepted, stats.dropped["recursion"], stats.residual) == (2, 1, 0)


def test_a_filter_that_raises_loses_only_its_record(sink: LogSink, logger: logging.Logger) -> None:
    class Picky(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            if record.getMessage() == "boom":
                raise RuntimeError("filter is broken")
            return record.getMessage() != "hidden"

    handler = attach(logger, sink.url)
    handler.addFilter(Picky())
    for message in ("boom", "hidden", "fine"):
        logger.info(message)
    assert handler.drain(5)
    assert [record["_msg"] for record in own(sink)] == ["fine"]
    stats = handler.stats()
    assert (stats.accepted, stats.dropped["filter_error"], stats.delivered) == (3, 1, 2)


def test_an_unforeseen_failure_of_the_sender_is_counted_and_survived(sink: LogSink, logger: logging.Logger) -> None:
    handler = attach(logger, sink.url)
    post = handler._sender._transport.post
    handler._sender._transport.post = lambda *_, **__: 1 / 0  # type: ignore[method-assign, assignment, return-value]
    logger.info("lost")
    assert handler.drain(5)
    handler._sender._transport.post = post  # type: ignore[method-assign]
    logger.info("kept")
    assert handler.drain(5)
    stats = handler.stats()
    assert [record["_msg"] for record in own(sink)] == ["kept"]
    assert (stats.delivered, stats.dropped["sender_error"], stats.residual) == (2, 1, 0)


def test_the_url_comes_from_the_environment(sink: LogSink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VICTORIALOGS_URL", sink.url + "/logs/")
    handler = VictoriaLogsHandler()
    handler.handle(logging.makeLogRecord({"msg": "hello"}))
    assert handler.drain(5)
    handler.close()
    assert sink.requests[0][0] == "/logs/insert/jsonline"


@pytest.mark.parametrize(
    "options",
    [
        {"victorialogs_url": "victorialogs:9428"},
        {"victorialogs_url": "http://user:secret@host"},
        {"victorialogs_url": "http://host:port"},
        {"stream_fields": ("strategy_id", "order_id")},
        {"stream_fields": ()},
        {"stream_fields": "level"},
        {"max_records": 0},
        {"close_timeout_seconds": float("nan")},
    ],
)
def test_unusable_arguments_are_refused_at_once(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"must|not a stream field|[Pp]ort"):
        VictoriaLogsHandler(**options)  # type: ignore[arg-type]


def test_stats_are_frozen() -> None:
    handler = VictoriaLogsHandler("http://127.0.0.1:1")
    stats = handler.stats()
    assert isinstance(stats, HandlerStats)
    with pytest.raises(AttributeError):
        stats.accepted = 5  # type: ignore[misc]
    with pytest.raises(TypeError):
        stats.dropped["overflow"] = 5  # type: ignore[index]
    assert stats.as_dict()["dropped"] == {}
    handler.close()
