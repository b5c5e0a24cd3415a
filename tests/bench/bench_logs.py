"""Benchmarks of `crowsnest.logs.VictoriaLogsHandler`; each prints what docs/figures.md quotes.

    python -m tests.bench.bench_logs cost [--rounds 15]
    python -m tests.bench.bench_logs throughput --url http://127.0.0.1:9428 [--records 500000 --rate 55000]
    python -m tests.bench.bench_logs outage --container NAME --url … [--seconds 600 --rate 5000]
    python -m tests.bench.bench_logs fork [--count 1000]
    python -m tests.bench.bench_logs reconfigure [--count 1000]

`cost` compares with python-logging-loki, victorialogs-handler and OpenTelemetry's batch processor where installed.
`outage` stops and starts the given container of VictoriaLogs. Exit code 1: a goal is missed.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import json
import logging
import logging.config
import logging.handlers
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from crowsnest.logs import VictoriaLogsHandler
from tests.log_sink import BlackHole, LogSink

CALLS = 2_000
MIB = 1024 * 1024


def percentile(values: list[int], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] / 1000


def plain_logger(name: str, handler: logging.Handler) -> logging.Logger:
    logger = logging.getLogger(f"strategy.{name}")
    logger.propagate = False
    logger.setLevel(logging.DEBUG)
    logger.handlers[:] = [handler]
    return logger


def calls(logger: logging.Logger, count: int = CALLS) -> list[int]:
    """Nanoseconds of each of `count` calls: two arguments and four extra fields."""
    clock = time.perf_counter_ns
    durations = []
    for number in range(count):
        begin = clock()
        logger.info(
            "filled %s at %s",
            "AAPL",
            number,
            extra={"order_id": "O-1", "price": 101.25, "quantity": 100, "instrument": "AAPL.NASDAQ"},
        )
        durations.append(clock() - begin)
    return durations


def rivals() -> Iterator[tuple[str, Callable[[], logging.Handler]]]:
    """Other handlers that are installed, each pointed at a port where nobody listens."""
    with contextlib.suppress(ImportError):
        loki = importlib.import_module("logging_loki")
        yield "python-logging-loki", lambda: loki.LokiQueueHandler(queue.Queue(-1), url="http://127.0.0.1:1/loki", version="1")
    with contextlib.suppress(ImportError):
        other = importlib.import_module("vlogs_handler")
        yield "victorialogs-handler", lambda: other.VictoriaLogsHandler(url="http://127.0.0.1:1")
    with contextlib.suppress(ImportError):
        logs = importlib.import_module("opentelemetry.sdk._logs")
        export = importlib.import_module("opentelemetry.sdk._logs.export")
        otlp = importlib.import_module("opentelemetry.exporter.otlp.proto.http._log_exporter")
        bridge = importlib.import_module("opentelemetry.instrumentation.logging.handler")

        def make() -> logging.Handler:
            provider = logs.LoggerProvider(shutdown_on_exit=False)
            exporter = otlp.OTLPLogExporter("http://127.0.0.1:1/v1/logs", timeout=1)
            provider.add_log_record_processor(export.BatchLogRecordProcessor(exporter))
            handler: logging.Handler = bridge.LoggingHandler(logger_provider=provider)
            return handler

        yield "opentelemetry batch", make


def cost(options: argparse.Namespace) -> bool:  # noqa: C901 - a list of things to measure
    """Cost on the caller's thread. Handlers take turns, so that a busy machine is busy for all of them."""
    for noisy in ("opentelemetry", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL + 1)
    devnull = open(os.devnull, "w")  # noqa: SIM115, PTH123
    stream, formatted = logging.StreamHandler(devnull), logging.StreamHandler(devnull)
    formatted.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    fast = {"flush_interval_seconds": 0.1, "close_timeout_seconds": 0.05}
    with LogSink() as sink, LogSink() as slow, BlackHole() as hole:
        slow.delay_seconds = 0.2
        sink.keep = slow.keep = False
        handlers: dict[str, logging.Handler] = {
            "NullHandler": logging.NullHandler(),
            "StreamHandler": stream,
            "StreamHandler, asctime": formatted,
            "QueueHandler": logging.handlers.QueueHandler(queue.SimpleQueue()),
            "crowsnest, up": VictoriaLogsHandler(sink.url, **fast),  # type: ignore[arg-type]
            "crowsnest, slow": VictoriaLogsHandler(slow.url, **fast),  # type: ignore[arg-type]
            "crowsnest, refused": VictoriaLogsHandler("http://127.0.0.1:1", max_records=10**6, max_bytes=2**30, **fast),  # type: ignore[arg-type]
            "crowsnest, black hole": VictoriaLogsHandler(hole.url, max_records=10**6, max_bytes=2**30, **fast),  # type: ignore[arg-type]
            "crowsnest, full": VictoriaLogsHandler(hole.url, max_records=1000, **fast),  # type: ignore[arg-type]
        }
        for name, make in rivals():
            try:
                handlers[name] = make()
            except Exception as error:  # noqa: BLE001 - a rival of another version
                print(f"{name}: not measured ({error})")
        loggers = {name: plain_logger(name.replace(" ", "_").replace(",", ""), each) for name, each in handlers.items()}
        best = dict.fromkeys(handlers, float("inf"))
        all_calls: dict[str, list[int]] = {name: [] for name in handlers}
        for round_number in range(options.rounds + 1):
            for name, logger in loggers.items():
                gc.collect()
                durations = calls(logger)
                if round_number:  # the first warms up
                    all_calls[name] += durations
                    best[name] = min(best[name], percentile(durations, 0.5))
                if name in ("crowsnest, up", "crowsnest, slow"):
                    handlers[name].drain(5)  # type: ignore[attr-defined]
                if isinstance(handler := handlers[name], logging.handlers.QueueHandler):
                    with contextlib.suppress(queue.Empty):
                        while True:
                            handler.queue.get_nowait()
        floor = best["NullHandler"]
        print(f"{'handler':<26}{'p50 us':>8}{'p99':>8}{'p99.9':>9}{'- Null':>8}{'/ Stream':>10}{'/ asctime':>10}{'/ Queue':>9}")
        for name, value in best.items():
            print(
                f"{name:<26}{value:8.2f}{percentile(all_calls[name], 0.99):8.1f}{percentile(all_calls[name], 0.999):9.1f}"
                f"{value - floor:8.2f}{value / best['StreamHandler']:10.2f}{value / best['StreamHandler, asctime']:10.2f}"
                f"{value / best['QueueHandler']:9.2f}"
            )
        ours = {name: value for name, value in best.items() if name.startswith("crowsnest")}
        spread = max(ours.values()) / min(ours.values()) - 1
        up = ours["crowsnest, up"]
        goals = {
            f"over NullHandler {up - floor:.2f} us (<= 2)": up - floor <= 2,
            f"of StreamHandler {up / best['StreamHandler']:.2f} (<= 0.7)": up <= 0.7 * best["StreamHandler"],
            f"of StreamHandler with asctime {up / best['StreamHandler, asctime']:.2f} (<= 0.7)": up
            <= 0.7 * best["StreamHandler, asctime"],
            f"of QueueHandler {up / best['QueueHandler']:.2f} (<= 0.6)": up <= 0.6 * best["QueueHandler"],
            f"spread over server states {spread:.1%} (<= 10 %)": spread <= 0.1,
        }
        residuals = {handler.stats().residual for handler in handlers.values() if isinstance(handler, VictoriaLogsHandler)}
        goals[f"residuals {residuals}"] = residuals == {0}
        for name, handler in handlers.items():
            if name.startswith("crowsnest"):
                handler.close()
    return report(goals)


def report(goals: dict[str, bool]) -> bool:
    for text, met in goals.items():
        print(("met     " if met else "MISSED  ") + text, flush=True)
    return all(goals.values())


def stored(url: str, boot: str) -> int:
    """How many different `seq` of `boot` VictoriaLogs holds."""
    form = {"query": f'_time:1d boot:"{boot}" | stats count_uniq(seq) as records'}
    with urllib.request.urlopen(f"{url}/select/logsql/query", urllib.parse.urlencode(form).encode(), timeout=30) as answer:
        return int(json.loads(answer.read() or b'{"records": 0}')["records"])


def stored_soon(url: str, boot: str, wanted: int, timeout_seconds: float = 20.0) -> int:
    """`stored`, once it is `wanted` (VictoriaLogs shows records about a second after it took them), or at the end."""
    deadline = time.monotonic() + timeout_seconds
    while (found := stored(url, boot)) != wanted and time.monotonic() < deadline:
        time.sleep(0.25)
    return found


def paced(logger: logging.Logger, rate: int, keep_on: Callable[[int], bool]) -> int:
    """Log `rate` records a second, in bursts of a millisecond, while `keep_on(number)`; return how many."""
    begin = time.perf_counter()
    number = 0
    while keep_on(number):
        due = int((time.perf_counter() - begin) * rate)
        while number < due:
            number += 1
            logger.info("filled %s at %s", "AAPL", number, extra={"order_id": f"O-{number}", "price": 101.25})
        time.sleep(0.001)
    return number


def throughput(options: argparse.Namespace) -> bool:
    """Records a second from the first call until the last is acknowledged, without a drop."""
    handler = VictoriaLogsHandler(options.url, max_records=options.max_records, max_bytes=64 * MIB)
    logger = plain_logger("throughput", handler)
    begin = time.perf_counter()
    count = paced(logger, options.rate, lambda number: number < options.records)
    handler.drain(60)
    seconds = time.perf_counter() - begin
    stats = handler.stats()
    found = stored_soon(options.url, handler.boot, stats.delivered)
    handler.close()
    rate = count / seconds
    return report(
        {
            f"{rate:,.0f} records/s, {count:,} in {seconds:.1f} s (>= {options.least_rate:,})": rate >= options.least_rate,
            f"dropped {stats.dropped_total}, residual {stats.residual}": stats.dropped_total == stats.residual == 0,
            f"VictoriaLogs holds {found:,}": found == stats.delivered,
        }
    )


@contextlib.contextmanager
def free_port() -> Iterator[int]:
    """A port of 127.0.0.1 that nobody else takes until the context ends."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        yield server.getsockname()[1]


def rss_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MIB


def outage(options: argparse.Namespace) -> bool:
    """Log at a steady rate while the server is stopped and started again."""

    def docker(verb: str) -> None:
        extra = ["--time", "1"] if verb == "stop" else []
        subprocess.run(["docker", verb, *extra, options.container], check=True, capture_output=True)

    def answers() -> bool:
        with contextlib.suppress(OSError):
            return bool(urllib.request.urlopen(f"{options.url}/health", timeout=1).status == 200)
        return False

    handler = VictoriaLogsHandler(options.url)
    logger = plain_logger("outage", handler)
    stop = threading.Event()
    thread = threading.Thread(target=paced, args=(logger, options.rate, lambda _: not stop.is_set()))
    thread.start()
    time.sleep(3)
    before = rss_mib()
    docker("stop")
    samples = []
    end = time.monotonic() + options.seconds
    while time.monotonic() < end:
        time.sleep(min(5.0, options.seconds / 10))
        samples.append(rss_mib())
    lost = handler.stats().dropped_total
    docker("start")
    while not answers():
        time.sleep(0.01)
    back = time.perf_counter()
    target = handler.stats().accepted
    while handler._buffer.oldest_seq <= target and time.perf_counter() - back < 30:
        time.sleep(0.005)
    drained = time.perf_counter() - back
    time.sleep(1)
    stop.set()
    thread.join()
    settled = handler.drain(10)
    stats = handler.stats()
    found = stored_soon(options.url, handler.boot, stats.delivered)
    handler.close()
    growth, late = max(samples) - before, samples[len(samples) // 2 :]
    print(f"accepted {stats.accepted:,}, lost while away {lost:,}, requests {stats.requests}, gap records {stats.gap_records}")
    return report(
        {
            f"RSS +{growth:.1f} MiB (<= 24)": growth <= 24,
            f"second half of the outage within {max(late) - min(late):.1f} MiB (flat: <= 2)": max(late) - min(late) <= 2,
            f"drained {drained:.2f} s after the return (<= 2)": drained <= 2,
            f"residual {stats.residual}, all settled: {settled}": stats.residual == 0 and settled,
            f"VictoriaLogs holds {found:,} of {stats.delivered:,} delivered": found == stats.delivered,
            f"one gap record ({stats.gap_records})": stats.gap_records == 1,
        }
    )


def fork(options: argparse.Namespace) -> bool:
    """Fork while threads log; each child logs one record and must deliver it. A deadlock ends in SIGALRM."""
    with LogSink() as sink:
        handler = VictoriaLogsHandler(sink.url, flush_interval_seconds=0.05)
        logger = plain_logger("fork", handler)
        stop = threading.Event()
        threads = [threading.Thread(target=paced, args=(logger, 2_000, lambda _: not stop.is_set())) for _ in range(2)]
        for thread in threads:
            thread.start()
        failed = 0
        for _ in range(options.count):
            child = os.fork()
            if child == 0:
                signal.alarm(20)
                code = 1
                try:
                    logger.warning("child")
                    stats = handler.stats() if handler.drain(10) else None
                    code = 0 if stats and (stats.accepted, stats.delivered, stats.residual) == (1, 1, 0) else 2
                finally:
                    os._exit(code)
            failed += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0
        stop.set()
        for thread in threads:
            thread.join()
        settled = handler.drain(10)
        stats = handler.stats()
        arrived = sum(record["_msg"] == "child" for record in sink.records)
        handler.close()
    return report(
        {
            f"{options.count} forks, {failed} children failed or hung, {arrived} records arrived": not failed
            and arrived == options.count,
            f"parent: residual {stats.residual}, settled {settled}": settled and stats.residual == 0,
        }
    )


def reconfigure(options: argparse.Namespace) -> bool:
    """`dictConfig` in a loop while threads log."""
    made: list[VictoriaLogsHandler] = []

    def make(url: str) -> logging.Handler:
        made.append(VictoriaLogsHandler(url, flush_interval_seconds=0.05))
        return made[-1]

    with LogSink() as sink:
        settings = {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"store": {"()": make, "url": sink.url}},
            "loggers": {"strategy.reconfigure": {"handlers": ["store"], "level": "DEBUG", "propagate": False}},
        }
        logging.config.dictConfig(settings)
        logger = logging.getLogger("strategy.reconfigure")
        stop = threading.Event()
        threads = [threading.Thread(target=paced, args=(logger, 2_000, lambda _: not stop.is_set())) for _ in range(2)]
        for thread in threads:
            thread.start()
        longest = 0.0
        for _ in range(options.count):
            begin = time.monotonic()
            logging.config.dictConfig(settings)
            longest = max(longest, time.monotonic() - begin)
            time.sleep(0.002)
        stop.set()
        for thread in threads:
            thread.join(10)
        hung = sum(thread.is_alive() for thread in threads)
        made[-1].close()
        stats = [handler.stats() for handler in made]
        delivered = sum(each.delivered for each in stats)
        late = sum(each.dropped["shutdown"] for each in stats)
        arrived = len({(record["boot"], record["seq"]) for record in sink.records})
    return report(
        {
            f"{options.count} dictConfig, longest {longest:.2f} s (<= 2), {hung} threads hung": longest <= 2 and not hung,
            f"residuals { ({each.residual for each in stats}) }": {each.residual for each in stats} == {0},
            f"{delivered:,} delivered = {arrived:,} arrived; {late} came after their handler was closed, counted": delivered
            == arrived
            and all(each.dropped_total == each.dropped["shutdown"] for each in stats),
        }
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)

    def command(run: Callable[[argparse.Namespace], bool]) -> argparse.ArgumentParser:
        made = commands.add_parser(run.__name__, help=(run.__doc__ or "").partition("\n")[0])
        made.set_defaults(run=run)
        return made

    command(cost).add_argument("--rounds", type=int, default=15)
    speed = command(throughput)
    speed.add_argument("--url", required=True)
    speed.add_argument("--records", type=int, default=500_000)
    speed.add_argument("--rate", type=int, default=55_000)
    speed.add_argument("--max-records", type=int, default=10_000)
    speed.add_argument("--least-rate", type=int, default=50_000)
    away = command(outage)
    away.add_argument("--url", required=True)
    away.add_argument("--container", required=True)
    away.add_argument("--seconds", type=float, default=600.0)
    away.add_argument("--rate", type=int, default=5_000)
    for run in (fork, reconfigure):
        command(run).add_argument("--count", type=int, default=1000)
    options = parser.parse_args(arguments)
    return 0 if options.run(options) else 1


if __name__ == "__main__":
    sys.exit(main())
