"""Forks, ends of processes, signals and reconfiguration: every record arrives, or is counted, and nothing hangs."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crowsnest.logs import VictoriaLogsHandler, drain_on_sigterm
from tests.bench import bench_logs
from tests.log_sink import BlackHole, LogSink

ROOT = Path(__file__).parents[2]
PREAMBLE = """
import logging, multiprocessing, os, signal, sys, time
from crowsnest.logs import VictoriaLogsHandler, drain_on_sigterm
def log():
    for number in range(100):
        logging.warning("record %d", number)
"""


def start(code: str, url: str, folder: Path) -> subprocess.Popen[str]:
    script = folder / "program.py"
    script.write_text(PREAMBLE + textwrap.dedent(code))
    environment = {**os.environ, "VICTORIALOGS_URL": url, "PYTHONPATH": str(ROOT / "src")}
    return subprocess.Popen([sys.executable, script], env=environment, stdout=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> int:
    process.communicate(timeout=15)
    return process.returncode


def hundred(sink: LogSink) -> bool:
    return sorted(record["_msg"] for record in sink.records) == sorted(f"record {number}" for number in range(100))


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_child_of_multiprocessing_delivers_all(method: str, tmp_path: Path) -> None:
    with LogSink() as sink:
        process = start(
            f"""
            def work():
                logging.getLogger().handlers[:] = logging.getLogger().handlers[:1] or [VictoriaLogsHandler()]
                log()
            if __name__ == "__main__":
                if "{method}" == "fork":
                    logging.getLogger().addHandler(VictoriaLogsHandler())
                child = multiprocessing.get_context("{method}").Process(target=work)
                child.start()
                child.join()
            """,
            sink.url,
            tmp_path,
        )
        assert finish(process) == 0
        assert hundred(sink)


@pytest.mark.parametrize("ending", ["", "os._exit(0 if handler.drain(5) else 1)", "sys.exit()"])
def test_a_process_delivers_all_at_its_end(ending: str, tmp_path: Path) -> None:
    with LogSink() as sink:
        code = f"""
            handler = VictoriaLogsHandler(flush_interval_seconds=60)
            logging.getLogger().addHandler(handler)
            log()
            {ending}
            """
        assert finish(start(code, sink.url, tmp_path)) == 0
        assert hundred(sink)


@pytest.mark.parametrize(
    ("earlier", "code"),
    [("", -signal.SIGTERM), ("signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))", 7)],
)
def test_sigterm_delivers_all_and_ends_as_before(earlier: str, code: int, tmp_path: Path) -> None:
    with LogSink() as sink:
        program = f"""
            {earlier}
            drain_on_sigterm()
            drain_on_sigterm()  # once is enough; twice does no harm
            logging.getLogger().addHandler(VictoriaLogsHandler(flush_interval_seconds=60))
            log()
            print("ready", flush=True)
            time.sleep(60)
            """
        process = start(program, sink.url, tmp_path)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        assert finish(process) == code
        assert hundred(sink)


def test_sigterm_in_the_middle_of_queueing_loses_nothing(tmp_path: Path) -> None:
    """The signal handler must not wait for a sender that waits for the lock its own thread holds."""
    with LogSink() as sink:
        program = """
            drain_on_sigterm()
            logging.getLogger().addHandler(VictoriaLogsHandler(flush_interval_seconds=60))
            from crowsnest.logs import _buffer
            class Clock:  # asked under the queue's lock
                monotonic = time.monotonic
                def time_ns():
                    _buffer.time = time
                    os.kill(os.getpid(), signal.SIGTERM)
                    return time.time_ns()
            _buffer.time = Clock
            begin = time.monotonic()
            logging.warning("record")
            time.sleep(60)
            """
        begin = time.monotonic()
        assert finish(start(program, sink.url, tmp_path)) == -signal.SIGTERM
        assert time.monotonic() - begin < 2
        assert [record["_msg"] for record in sink.records] == ["record"]


def test_a_process_that_ignores_sigterm_goes_on_ignoring_it() -> None:
    previous = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        drain_on_sigterm()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, previous)


def test_close_takes_two_seconds_at_most_with_a_dead_server() -> None:
    with BlackHole() as hole:
        handler = VictoriaLogsHandler(hole.url)
        for _ in range(5000):
            handler.handle(logging.makeLogRecord({"msg": "lost"}))
        begin = time.monotonic()
        handler.close()
        assert time.monotonic() - begin < 2.2
        stats = handler.stats()
        assert (stats.dropped["shutdown"], stats.residual) == (5000, 0)


def test_twenty_forks_under_load_do_not_hang() -> None:
    assert bench_logs.fork(argparse.Namespace(count=20))


def test_twenty_reconfigurations_under_load_do_not_hang() -> None:
    assert bench_logs.reconfigure(argparse.Namespace(count=20))


def test_records_from_before_and_after_a_reconfiguration_arrive() -> None:
    logger = logging.getLogger("strategy.reconfigured")
    logger.propagate = False
    with LogSink() as sink:
        for part in range(2):
            handler = VictoriaLogsHandler(sink.url, flush_interval_seconds=60)
            logger.addHandler(handler)
            for number in range(50):
                logger.warning("record %d", 50 * part + number)
            handler.close()
            logger.removeHandler(handler)
        assert hundred(sink)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("log"), st.integers(1, 60)),
        st.tuples(st.just("answer"), st.sampled_from([200, 400, 404, 429, 500, 503])),
        st.tuples(st.just("refuse"), st.integers(2, 9)),
        st.tuples(st.just("delay"), st.sampled_from([0, 5, 30])),
        st.tuples(st.just("drain"), st.sampled_from([1, 50])),
        st.tuples(st.just("fork"), st.integers(0, 40)),
        st.tuples(st.just("close"), st.just(0)),
    ),
    max_size=7,
)

EXAMPLES = int(os.environ.get("CROWSNEST_SCHEDULES", "12"))
"""How many schedules are tried; nightly runs set more."""


@settings(max_examples=EXAMPLES)
@given(schedules=st.lists(steps, min_size=1, max_size=3), max_records=st.sampled_from([5, 50, 1000]))
def test_the_ledger_balances_under_every_schedule(schedules: list[list[tuple[str, int]]], max_records: int) -> None:
    """Threads, faults, forks and close: nothing is unaccounted for, and what is called delivered has arrived."""
    with LogSink() as sink:
        handler = VictoriaLogsHandler(
            sink.url, max_records=max_records, flush_interval_seconds=0.005, batch_max_records=20, close_timeout_seconds=0.1
        )
        residuals: list[int] = []
        offered = [0] * len(schedules)
        children: list[int] = []

        def run(index: int, schedule: list[tuple[str, int]]) -> None:
            for step, number in schedule:
                if step == "log":
                    for each in range(number):
                        handler.handle(logging.makeLogRecord({"msg": f"{each}", "levelno": 10 * (each % 5 + 1)}))
                    offered[index] += number
                elif step == "fork":
                    children.append(fork_and_log(handler, number))
                else:
                    act(handler, sink, step, number)
                residuals.append(handler.stats().residual)

        threads = [threading.Thread(target=run, args=each) for each in enumerate(schedules)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()
        handler.close()
        stats = handler.stats()
        assert {*residuals, stats.residual} == {0}
        assert stats.accepted == sum(offered) + stats.gap_records
        assert stats.queued == stats.in_flight == 0
        arrived = {record["seq"] for record in sink.records if record["boot"] == handler.boot}
        # a record in flight at the deadline is counted as lost, and may have arrived
        assert stats.delivered <= len(arrived) <= stats.delivered + stats.dropped["shutdown"]
        assert children == [0] * len(children)


def act(handler: VictoriaLogsHandler, sink: LogSink, step: str, number: int) -> None:
    if step == "answer":
        sink.answers.extend([number] * 2)
    elif step == "refuse":
        sink.refuses = lambda record: record["seq"] % number == 0
    elif step == "delay":
        sink.delay_seconds = number / 1000
    elif step == "drain":
        handler.drain(number / 1000)
    else:
        handler.close()


def fork_and_log(handler: VictoriaLogsHandler, number: int) -> int:
    """Exit code of a child that logs and closes: 0 when its own ledger balances."""
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        code = 1
        try:
            for _ in range(number):
                handler.handle(logging.makeLogRecord({"msg": "child"}))
            handler.close()
            stats: Any = handler.stats()
            code = 0 if stats.residual == 0 and stats.accepted == number + stats.gap_records else 2
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
