"""What the log API adds to the log store: the same 500 rows from both at 50 requests/s, in turns; and first rows of a tail.

    python -m tests.bench.bench_api [--seconds 10] [--rounds 3] [--rate 50] [--tails 100]

Needs Docker and the victorialogs image. Both are asked by the same client over kept connections, each request at its own time
whether or not the one before has been answered. Ratios are the result; absolutes are this machine's.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import aiohttp

from crowsnest.api.logs import moments
from crowsnest.api.logs.policy import Asked, LogQueryPolicy
from tests.e2e.api_support import Api, Store, markdown, running_api, running_store, said

ROWS = 500
STORED = 20_000
GOAL_P50_MS, GOAL_P99_MS = 1.5, 10.0


class Target:
    """Somewhere to ask for the rows, and how long each answer took."""

    def __init__(self, name: str, url: str, tokens: list[str], body: list[tuple[str, str]] | None = None) -> None:
        self.name = name
        self._url = url
        # In turns, as one of them may have few queries at once.
        self._headers = itertools.cycle([{"Authorization": f"Bearer {token}"} for token in tokens] or [{}])
        self._body = body
        self.milliseconds: list[float] = []
        self.bytes = 0
        self.refused = 0

    async def ask(self, session: aiohttp.ClientSession, *, counts: bool = True) -> None:
        begun = time.perf_counter()
        method = "GET" if self._body is None else "POST"
        async with session.request(method, self._url, headers=next(self._headers), data=self._body) as answer:
            body = await answer.read()
            if answer.status != 200:
                # Too many at once, here or at the store: the machine does not keep up with the rate.
                assert answer.status in (429, 503), body
                self.refused += 1
                return
        if counts:
            self.milliseconds.append((time.perf_counter() - begun) * 1000)
        self.bytes = len(body)

    def percentile(self, percent: int) -> float:
        return statistics.quantiles(self.milliseconds, n=100)[percent - 1]


async def at_rate(target: Target, session: aiohttp.ClientSession, rate: float, seconds: float) -> None:
    begun, tasks = time.perf_counter(), []
    for index in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, begun + index / rate - time.perf_counter()))
        tasks.append(asyncio.ensure_future(target.ask(session)))
    await asyncio.gather(*tasks)


async def overhead(api: Api, store: Store, machines: list[str], options: argparse.Namespace) -> bool:
    now_ns = time.time_ns()
    decision = LogQueryPolicy().decide(Asked(start="1h", limit=ROWS), "query", None, now_ns)
    window = f"start={moments.text(decision.start_ns)}&end={moments.text(decision.end_ns)}"
    plain = [("query", "*"), ("start", moments.text(decision.start_ns)), ("end", moments.text(decision.end_ns))]
    query = f"{store.url}/select/logsql/query"
    targets = [
        Target("VictoriaLogs", query, [], [*plain, ("limit", str(ROWS))]),
        Target("VictoriaLogs, as the API asks it", query, [], [*decision.form, ("limit", str(ROWS + 1))]),
        Target("API", f"{api.url}/api/logs/query?limit={ROWS}&{window}", machines),
        Target("API without a store: /api/auth/me", f"{api.url}/api/auth/me", machines),
    ]
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        for target in targets:
            for _ in range(30):
                await target.ask(session, counts=False)
        for _ in range(options.rounds):
            for target in targets:
                await at_rate(target, session, options.rate, options.seconds)
    direct, api_target = targets[0], targets[2]
    table = [("asked", "answers", "refused", "KiB", "p50 ms", "p99 ms", "p50 / direct", "p50 - direct, ms", "p99 - direct, ms")]
    for target in targets:
        p50, p99 = target.percentile(50), target.percentile(99)
        difference = p50 - direct.percentile(50), p99 - direct.percentile(99)
        ratio = p50 / direct.percentile(50)
        values = (target.bytes / 1024, p50, p99, ratio, *difference)
        counted = (str(len(target.milliseconds)), str(target.refused))
        table.append((target.name, *counted, *(f"{value:.2f}" for value in values)))
    conditions = f"{options.rate:g} requests/s, {options.rounds} rounds of {options.seconds:g} s each"
    print(f"\n{ROWS} of {STORED} rows at {conditions}; load of the machine {os.getloadavg()[0]:.1f}\n")
    print(markdown(table))
    p50 = api_target.percentile(50) - direct.percentile(50)
    p99 = api_target.percentile(99) - direct.percentile(99)
    # Who refuses has less to do: then nothing was measured.
    reached = not api_target.refused and p50 <= GOAL_P50_MS and p99 <= GOAL_P99_MS
    verdict = "reached" if reached else "NOT reached"
    print(f"\nadded: p50 {p50:.2f} ms (goal {GOAL_P50_MS}), p99 {p99:.2f} ms (goal {GOAL_P99_MS}): {verdict}")
    return reached


async def tails(api: Api, store: Store, machines: list[str], options: argparse.Namespace) -> None:
    """Seconds from a record's time to its arrival at each reader."""
    delays: list[float] = []
    ready = 0

    async def follow(session: aiohttp.ClientSession, token: str) -> None:
        nonlocal ready
        url = f"{api.url}/api/logs/tail?strategy_id=bench-tail"
        async with session.get(url, headers={"Authorization": f"Bearer {token}"}) as answer:
            assert answer.status == 200
            ready += 1
            async for line in answer.content:
                if line.startswith(b"data: ["):
                    arrived = time.time_ns()
                    delays.extend((arrived - moments.parse(row["_time"], 0)) / 1e9 for row in json.loads(line[6:]))

    # The store remembers for a while that a new stream was not there; this is about the time after that.
    store.insert([said("bench-tail", "before", 60)])
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(600)) as session:
        tasks = [asyncio.ensure_future(follow(session, machines[index // 4])) for index in range(options.tails)]
        while ready < options.tails:  # noqa: ASYNC110 - the tasks count
            await asyncio.sleep(0.05)
        for second in range(int(options.seconds)):
            await asyncio.to_thread(store.send, [said("bench-tail", f"{second} {index}", 0) for index in range(20)])
            await asyncio.sleep(1)
        await asyncio.sleep(10)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    wanted = options.tails * int(options.seconds) * 20
    cuts = statistics.quantiles(delays, n=100)
    print(
        f"\n{options.tails} tails, 20 records/s: {len(delays)} of {wanted} records arrived,"
        f" p50 {cuts[49]:.2f} s and p99 {cuts[98]:.2f} s after they were made"
    )


def main() -> int:
    """Run both.

    Returns:
        0 when the goals were reached, else 1.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=float, default=50)
    parser.add_argument("--tails", type=int, default=100)
    options = parser.parse_args()
    with running_store() as store, tempfile.TemporaryDirectory() as folder, running_api(Path(folder), store.url) as api:
        levels = ("INFO", "WARNING", "ERROR")
        store.insert(
            said(
                f"strategy{index % 4}",
                f"order {index} filled at {100 + index / 7:.4f}",
                index / 10,
                levels[index % 3],
                order_id=index,
            )
            for index in range(STORED)
        )
        machines = [api.cli("tokens", "add", f"bench{index}").strip() for index in range(-(-options.tails // 4) + 1)]
        reached = asyncio.run(overhead(api, store, machines, options))
        asyncio.run(tails(api, store, machines, options))
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
