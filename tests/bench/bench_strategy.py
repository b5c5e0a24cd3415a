"""What strategies take over a bar and an order with all observability on, off, and all of it dead, side by side.

    python -m tests.bench.bench_strategy [--rounds 4] [--bars-per-second 500] [--days 0]

Needs Docker and the images of victorialogs and postgresql, or with `--logs URL --database URL --password FILE` ones that run
already, whose schema is brought up to date. Each run is a process of its own that replays the same bars with the
default strategies and notes what the latency-instrumented ones measure. States take turns, in another order each round:

| state | records | rows | metrics | log files |
|---|---|---|---|---|
| off, twice: their difference is what a difference of nothing looks like | disabled | none | counted, not served | none |
| on | VictoriaLogs | PostgreSQL | scraped every second | written |
| refused | a closed port | a closed port | served, nobody asks | written |
| black hole | accepted, never answered | the same | connections that never ask | written |

Ratios are medians over rounds of each round's own, so that a busy machine is busy for all. Exit code 1: a median of p50
is longer by more than 5 % and by more than twice what off differs from itself, or a state was not what it should be.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.e2e.api_support import markdown, running_store
from tests.log_sink import BlackHole
from tests.postgres import NAME, Postgres, running_postgres

OFF, AGAIN, ON, REFUSED, HOLE = "off", "off again", "on", "refused", "black hole"
STATES = (OFF, ON, REFUSED, HOLE, AGAIN)
MEASURES = ("strategy_latency_us", "order_submit_latency_us", "order_fill_latency_us")
SHARES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
GOAL = 0.05
WARM_UP_DAYS = 100
SCRAPE_SECONDS = 1.0
DRAIN_SECONDS = 10.0
RUN_SECONDS = 300
REFUSED_PORT = 9  # discard: nothing listens there

Percentiles = dict[tuple[str, str], float]


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


# ---- one run, in a process of its own


def child(options: argparse.Namespace) -> None:
    """Replay once, and write what was measured to a file."""
    # Here, because the parent has no need of the engine.
    from crowsnest.engine.budget import Caps, Usage
    from crowsnest.engine.fleet import STARTING_BALANCE_USD, Desk
    from crowsnest.engine.log_files import logging_config
    from crowsnest.engine.market_data import TICKERS, trading_days
    from crowsnest.engine.replay import Replay
    from crowsnest.engine.settings import DEFAULT_STRATEGY_IDS
    from crowsnest.engine.telemetry import Telemetry
    from crowsnest.engine.writer import Address, Writer
    from crowsnest.logs import VictoriaLogsHandler

    is_off = options.state in (OFF, AGAIN)
    folder = Path(options.folder)
    handler = writer = None
    caps, usage = Caps(Decimal(STARTING_BALANCE_USD)), Usage()
    if is_off:
        logging.disable(logging.CRITICAL)
    else:
        handler = VictoriaLogsHandler(options.logs)
        logging.getLogger().setLevel(logging.INFO)
        logging.getLogger().addHandler(handler)
        address, spool = Address(options.database, Path(options.password)), folder / "spool.jsonl"
        writer = Writer(address, caps, usage, boot=folder.name, strategies=DEFAULT_STRATEGY_IDS, spool=spool)
        writer.wait_for_budgets(DRAIN_SECONDS if options.state == ON else 0)
    days = trading_days()
    telemetry = Telemetry(TICKERS, DEFAULT_STRATEGY_IDS, None if is_off else folder / "bars")
    desk = Desk(folder.name, caps, usage, writer.put if writer else None)
    replay = Replay(
        days[: options.days] if options.days else days,
        DEFAULT_STRATEGY_IDS,
        telemetry,
        desk,
        logging_config(None if is_off else folder / "logs"),
    )
    samples = _noted()
    with _served(telemetry, serves=not is_off) as urls:
        print(json.dumps(urls), flush=True)
        fed = 0

        def after_day() -> None:
            nonlocal fed
            fed += 1
            if fed == WARM_UP_DAYS:
                samples.clear()
            if handler:
                telemetry.logs(handler)

        replay.run(bars_per_second=options.bars_per_second, max_loops=1, stop=threading.Event(), after_day=after_day)
        # Only what is alive has something to wait for.
        if handler and options.state == ON:
            handler.drain(DRAIN_SECONDS)
    delivered = handler.stats().delivered if handler else 0
    if writer:
        writer.close(DRAIN_SECONDS if options.state == ON else 0)
    written = writer.written if writer else 0
    counters = replay.counters
    replay.close()
    if handler:
        handler.close()
    done = {"orders": counters.orders, "fills": counters.fills, "delivered": delivered, "written": written}
    (folder / "result.json").write_text(json.dumps({**done, "samples": samples}))


def _noted() -> dict[str, list[float]]:
    """What the latency-instrumented strategies measure from now on, besides where they say it themselves."""
    from crowsnest.engine.strategies import LatencyInstrumented

    samples: dict[str, list[float]] = defaultdict(list)
    say = LatencyInstrumented._gauge

    def gauge(self: Any, name: str, begun_ns: int) -> None:
        samples[name].append((time.perf_counter_ns() - begun_ns) / 1000)
        say(self, name, begun_ns)

    LatencyInstrumented._gauge = gauge  # type: ignore[method-assign]
    return samples


@contextmanager
def _served(telemetry: Any, *, serves: bool) -> Iterator[list[str]]:
    """The planes' metrics on free ports."""
    from crowsnest.metrics import MetricsServer

    with contextlib.ExitStack() as stack:
        planes = (telemetry.data, telemetry.orders, telemetry.strategy) if serves else ()
        yield [stack.enter_context(MetricsServer(plane, 0)).url for plane in planes]


# ---- all runs


@dataclass
class Places:
    """Where each state's records and rows go."""

    logs: dict[str, str]
    databases: dict[str, str]
    password: Path


@dataclass
class Run:
    """What one run has come to."""

    percentiles: Percentiles
    counts: dict[str, int]
    traded: tuple[int, int]
    delivered: int
    written: int
    scrapes: int


@dataclass
class Scraper:
    """Prometheus in the state on; in the state of the black hole, somebody who connects and never asks."""

    urls: list[str]
    state: str
    scrapes: int = 0
    _silent: list[socket.socket] = field(default_factory=list)

    def run(self, ended: threading.Event) -> None:
        while not ended.wait(SCRAPE_SECONDS):
            for url in self.urls:
                # The run may end meanwhile.
                with contextlib.suppress(OSError):
                    self._look(url)
        for one in self._silent:
            one.close()

    def _look(self, url: str) -> None:
        if self.state == ON:
            with urllib.request.urlopen(f"{url}/metrics", timeout=5) as answer:
                answer.read()
            self.scrapes += 1
        elif self.state == HOLE:
            host, _, port = url.removeprefix("http://").partition(":")
            self._silent.append(socket.create_connection((host, int(port)), timeout=5))


def run(state: str, places: Places, options: argparse.Namespace) -> Run:
    """One process in one state."""
    with tempfile.TemporaryDirectory(prefix="bench-strategy-") as folder:
        command = [sys.executable, "-m", "tests.bench.bench_strategy", "--state", state, "--folder", folder]
        command += ["--days", str(options.days), "--bars-per-second", str(options.bars_per_second)]
        if state in places.logs:
            command += ["--logs", places.logs[state], "--database", places.databases[state]]
            command += ["--password", str(places.password)]
        ended = threading.Event()
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stdout
            first = process.stdout.readline()
            scraper = Scraper(json.loads(first or "[]"), state)
            thread = threading.Thread(target=scraper.run, args=(ended,))
            thread.start()
            try:
                _, said = process.communicate(timeout=RUN_SECONDS)
            finally:
                process.kill()
                ended.set()
                thread.join()
        if process.returncode:
            raise SystemExit(f"a run in the state {state!r} failed:\n{said[-3000:]}")
        told = json.loads((Path(folder) / "result.json").read_text())
    samples = told["samples"]
    return Run(
        {(name, share): percentile(samples[name], value) for name in MEASURES for share, value in SHARES.items()},
        {name: len(samples[name]) for name in MEASURES},
        (told["orders"], told["fills"]),
        told["delivered"],
        told["written"],
        scraper.scrapes,
    )


def wrongs(state: str, run: Run, reference: Run) -> list[str]:
    """What was not as the state should be: a comparison of the wrong things shows nothing."""
    arrived = (run.delivered > 0, run.written > 0, run.scrapes > 0)
    found = [] if arrived == ((state == ON,) * 3) else [f"{run.delivered} records, {run.written} rows, {run.scrapes} scrapes"]
    if run.traded != reference.traded or run.counts != reference.counts:
        found.append(f"it traded {run.traded} and measured {run.counts}, off {reference.traded} and {reference.counts}")
    return [f"{state}: {text}" for text in found]


def differences(rounds: list[dict[str, Run]], state: str, what: tuple[str, str]) -> list[float]:
    """Of each round, against its own run without observability."""
    return [one[state].percentiles[what] / one[OFF].percentiles[what] - 1 for one in rounds]


def table(rounds: list[dict[str, Run]]) -> str:
    rows: list[tuple[str, ...]] = [("measured", "state", "samples a run", *(f"{share} µs" for share in SHARES), *SHARES)]
    for name in MEASURES:
        for state in STATES:
            middle = [statistics.median(one[state].percentiles[name, share] for one in rounds) for share in SHARES]
            told = (
                ["reference"] * len(SHARES) if state == OFF else [_told(differences(rounds, state, (name, s))) for s in SHARES]
            )
            count = f"{rounds[0][state].counts[name]:,}"
            rows.append((name, state, count, *(f"{value:.1f}" for value in middle), *told))
    return markdown(rows)


def _told(found: list[float]) -> str:
    return f"{statistics.median(found):+.1%} ({min(found):+.0%} … {max(found):+.0%})"


def verdicts(rounds: list[dict[str, Run]]) -> bool:
    """Print each median's difference against the goal, and what off differs from itself."""
    met = True
    for name in MEASURES:
        noise = max(map(abs, differences(rounds, AGAIN, (name, "p50"))))
        for state in (ON, REFUSED, HOLE):
            difference = statistics.median(differences(rounds, state, (name, "p50")))
            fits = difference <= max(GOAL, 2 * noise)
            met &= fits
            print(
                f"{'met   ' if fits else 'MISSED'} {name}, {state}: p50 {difference:+.1%} of off"
                f" (goal ≤ {GOAL:.0%}; off differs from itself by up to {noise:.1%})"
            )
    return met


@contextmanager
def alive(options: argparse.Namespace) -> Iterator[tuple[str, Postgres]]:
    """A log store and a database that answer: containers of their own, unless some were named."""
    if options.logs:
        yield options.logs, Postgres(options.database, Path(options.password), None)
    else:
        folder = Path(tempfile.mkdtemp(prefix="bench-strategy-"))
        with running_store() as store, running_postgres(folder) as postgres:
            yield store.url, postgres


@contextmanager
def places(options: argparse.Namespace) -> Iterator[Places]:
    """Where records and rows go in each state."""
    refused = f"127.0.0.1:{REFUSED_PORT}"
    with alive(options) as (logs, postgres), BlackHole() as records, BlackHole() as rows:
        postgres.migrate()
        yield Places(
            {ON: logs, REFUSED: f"http://{refused}", HOLE: records.url},
            {
                ON: postgres.url,
                REFUSED: f"postgresql://{NAME}@{refused}/{NAME}",
                HOLE: f"postgresql://{NAME}@{rows.url.removeprefix('http://')}/{NAME}",
            },
            postgres.password_file,
        )


def measure(options: argparse.Namespace) -> int:
    rounds: list[dict[str, Run]] = []
    found: list[str] = []
    with places(options) as everywhere:
        for number in range(options.rounds):
            turn = number % len(STATES)
            one = {state: run(state, everywhere, options) for state in (*STATES[turn:], *STATES[:turn])}
            found += [text for state in STATES for text in wrongs(state, one[state], one[OFF])]
            rounds.append(one)
            middle = {state: round(one[state].percentiles[MEASURES[0], "p50"], 1) for state in STATES}
            print(f"round {number + 1} of {options.rounds}: p50 of {MEASURES[0]} {middle}", flush=True)
    print(table(rounds))
    print(
        f"{options.rounds} rounds at {options.bars_per_second:g} bars/s; {rounds[-1][ON].traded[0]:,} orders a run; on:"
        f" {rounds[-1][ON].delivered:,} records, {rounds[-1][ON].written:,} rows, {rounds[-1][ON].scrapes:,} scrapes"
    )
    met = verdicts(rounds)
    for text in found:
        print(f"WRONG  {text}")
    return 0 if met and not found else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--bars-per-second", type=float, default=500.0, help="0 is as fast as it can")
    parser.add_argument("--days", type=int, default=0, help=f"of history, more than {WARM_UP_DAYS}; 0 is all")
    parser.add_argument("--logs", metavar="URL", help="a VictoriaLogs that runs, in place of a container")
    parser.add_argument("--database", metavar="URL", help="postgresql://user@host:port/name, with --logs")
    parser.add_argument("--password", metavar="FILE", help="with its password")
    for name in ("state", "folder"):
        parser.add_argument(f"--{name}", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.days and options.days <= WARM_UP_DAYS:
        parser.error(f"--days must be more than {WARM_UP_DAYS}, which warm up")
    if len({bool(options.logs), bool(options.database), bool(options.password)}) > 1:
        parser.error("--logs, --database and --password go together")
    if options.state:
        child(options)
        return 0
    return measure(options)


if __name__ == "__main__":
    sys.exit(main())
