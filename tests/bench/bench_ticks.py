"""Rows a second through the whole way of ticks and into QuestDB alone, processor time and memory of each part, bytes on disk.

`python -m tests.bench.bench_ticks`: deploys a stack of its own, prints a table, purges it. Takes some minutes.
"""

from __future__ import annotations

import argparse
import base64
import shutil
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import docker

from infra.settings import PROJECT
from tests.e2e.conftest import StackUnderTest
from tests.e2e.ticks import Ticks

BATCH = 5_000
PARTS = ("ticker", "telegraf", "ticks-relay", "questdb")
TREE = {
    "name_prefix": "crowsnest-bench-ticks",
    "port_offset": 34200,
    "supply": "packages",
    "pipelines": {"ticks": {"ticker": {"segments": 1000}}},
    "publish": ["questdb.http", "questdb.sql"],
}


def usage(ticks: Ticks, component: str) -> tuple[float, float]:
    """Processor seconds since the start and resident megabytes of a component."""
    stats = ticks.container(component).stats(stream=False)
    memory = stats["memory_stats"]["stats"]
    resident = memory.get("rss", memory.get("anon", 0))
    return stats["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9, resident / 1e6


def wait_for(ticks: Ticks, table: str, where: str, count: int, seconds: float) -> float:
    """Seconds until so many rows are queryable.

    Raises:
        TimeoutError: they are not, in this time.
    """
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        try:
            rows = ticks.sql(f"SELECT count() AS rows FROM {table} WHERE {where}")[0]["rows"]
        except OSError:
            rows = 0
        if rows >= count:
            return time.monotonic() - begun
        time.sleep(0.2)
    raise TimeoutError(f"{rows} of {count} rows after {seconds:.0f} s")


def chain(ticks: Ticks, lines: int) -> list[tuple[str, str]]:
    """As many lines as the process can log, from the first call to the last row that a query sees."""
    before = {part: usage(ticks, part) for part in PARTS[1:]}
    since = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    begun = time.monotonic()
    with ticks.prices(seconds=lines, rate=0, segment_mb=16) as container:
        container.wait(timeout=900)
        logged = time.monotonic() - begun
        wait_for(ticks, "price_log", f"timestamp >= '{since}' AND symbol = 'RANDOM'", lines, 900)
    elapsed = time.monotonic() - begun
    size = sum(record.stat().st_size for record in ticks.logs.glob("trader.logs.*Z"))
    rows = [
        (f"logged, lines/s of {size / lines:.0f} bytes", f"{lines / logged:.0f}"),
        ("whole way, rows/s until queryable", f"{lines / elapsed:.0f}"),
    ]
    for part, (cpu, _) in before.items():
        now_cpu, resident = usage(ticks, part)
        rows.append(
            (f"{part}: ms of processor for 1,000 rows; resident MB", f"{(now_cpu - cpu) / lines * 1e6:.1f}; {resident:.0f}")
        )
    return rows


def alone(ticks: Ticks, lines: int) -> list[tuple[str, str]]:
    """Rows of the same shape into QuestDB over HTTP, one batch after the other."""
    token = base64.b64encode(f"{PROJECT}:{ticks.stack.secret('ticks_relay_password').read_text()}".encode()).decode()
    url = f"{ticks.stack.url('questdb.http').replace('tcp://', 'http://')}/write"
    now_ns = time.time_ns() // 86_400_000_000_000 * 86_400_000_000_000
    ticks.sql(
        "CREATE TABLE alone (timestamp TIMESTAMP, symbol SYMBOL, price DOUBLE, level SYMBOL, run_id SYMBOL, seq LONG) "
        "TIMESTAMP(timestamp) PARTITION BY DAY WAL DEDUP UPSERT KEYS(timestamp, run_id, seq)"
    )
    batches = [
        "".join(
            f'alone symbol="RANDOM",price={100 + number / lines},level="info",run_id="bench",seq={number}i '
            f"{now_ns + number * 1000}\n"
            for number in range(first, first + BATCH)
        ).encode()
        for first in range(0, lines, BATCH)
    ]
    cpu, _ = usage(ticks, "questdb")
    begun = time.monotonic()
    for batch in batches:
        request = urllib.request.Request(url, batch, headers={"Authorization": f"Basic {token}"})
        urllib.request.urlopen(request, timeout=120).close()
    acknowledged = time.monotonic() - begun
    wait_for(ticks, "alone", "true", lines, 900)
    elapsed = time.monotonic() - begun
    after, resident = usage(ticks, "questdb")
    size = ticks.sql("SELECT sum(diskSize) AS size FROM table_partitions('alone')")[0]["size"]
    return [
        (f"QuestDB alone, batches of {BATCH}: rows/s acknowledged, on the disk", f"{lines / acknowledged:.0f}"),
        ("QuestDB alone: rows/s until queryable", f"{lines / elapsed:.0f}"),
        ("QuestDB alone: ms of processor for 1,000 rows; resident MB", f"{(after - cpu) / lines * 1e6:.1f}; {resident:.0f}"),
        ("bytes of a row on the disk", f"{int(size) / lines:.0f}"),
    ]


def main() -> int:
    """Print the table; 1 when rows do not arrive."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=200_000, help="through the whole way")
    parser.add_argument("--rows", type=int, default=1_000_000, help="into QuestDB alone")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-ticks-"))
    folder.chmod(0o755)
    stack = StackUnderTest(folder, TREE, "bench-ticks")
    try:
        stack.configure()
        stack.up()
        ticks = Ticks(stack, docker.from_env(timeout=120))
        time.sleep(10)
        rest = [(f"{part} at 2 lines/s: resident MB", f"{usage(ticks, part)[1]:.0f}") for part in PARTS]
        for name, value in [*rest, *chain(ticks, options.lines), *alone(ticks, options.rows)]:
            print(f"{name:<75} {value}", flush=True)
    except TimeoutError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        stack.run("purge", "--yes", expect=None)
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
