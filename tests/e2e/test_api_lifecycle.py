"""Tails come and go: nothing is left at the store when readers vanish, and the end of the server does not wait for them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from crowsnest.api.logs.limiter import TAILS_EACH, TAILS_IN_ALL
from tests.e2e.api_support import Api, Session, Store, running_api, running_store, said, wait_until
from tests.figures import figure

pytestmark = pytest.mark.docker
DISCONNECTS = 1000
QUERIES = 'vl_http_requests_total{path="/select/logsql/query"}'


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with running_store() as store:
        store.insert([said("alpha", f"record {index}", index) for index in range(100)])
        yield store


@pytest.fixture
def api(store: Store, tmp_path: Path) -> Iterator[Api]:
    with running_api(tmp_path, store.url) as api:
        yield api


def tokens(api: Api, count: int) -> list[str]:
    """Machines, as one user may have few tails."""
    return [api.cli("tokens", "add", f"machine{index}").strip() for index in range(count)]


def open_tail(api: Api, token: str, path: str = "/api/logs/tail") -> socket.socket:
    parts = urlsplit(api.url)
    connection = socket.create_connection((parts.hostname, parts.port), timeout=20)
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
    return connection


def reset(connection: socket.socket) -> None:
    """Vanish: RST instead of an orderly end."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def rss_mb(api: Api) -> float:
    status = Path(f"/proc/{api.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def asked_in(store: Store, seconds: float) -> int:
    """Queries that reach the store in some time; a tail that nobody reads would send one each second."""
    before = store.metric(QUERIES)
    time.sleep(seconds)
    return store.metric(QUERIES) - before


def upstream_connections(api: Api, store: Store) -> int:
    """Established connections of the API's process to the store."""
    inodes = set()
    for entry in Path(f"/proc/{api.process.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            inodes.add(str(entry.readlink()))
    port = urlsplit(store.url).port
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(int(row[2].split(":")[1], 16) == port and row[3] == "01" and f"socket:[{row[9]}]" in inodes for row in rows)


def test_a_thousand_vanished_readers_leave_nothing_at_the_store(api: Api, store: Store):
    machines = tokens(api, 8)
    requests.get(f"{api.url}/api/logs/query", headers={"Authorization": f"Bearer {machines[0]}"}, timeout=10)
    before_mb, done, refused = 0.0, 0, 0
    begun = time.monotonic()
    while done < DISCONNECTS:
        group = [open_tail(api, token) for token in machines for _ in range(TAILS_EACH)]
        for index, connection in enumerate(group):
            # Some leave at once, some after the head of the answer.
            if index % 2:
                refused += b" 200 " not in connection.recv(64)
            reset(connection)
            done += 1
        if done == len(group) * 3:
            before_mb = rss_mb(api)
        # Vanishing takes a moment to be noticed. Who is refused in the next round was not.
        time.sleep(0.1)
    seconds = time.monotonic() - begun
    time.sleep(1)
    left, growth_mb = asked_in(store, 3), rss_mb(api) - before_mb
    figure(f"queries of tails at the store within 3 s after {done} abrupt disconnects in {seconds:.0f} s", left)
    figure("connections of the API to the store then, kept for the next query", upstream_connections(api, store))
    figure("growth of the API's memory over them, MB", f"{growth_mb:.1f}")
    assert left == 0
    assert upstream_connections(api, store) <= 6
    assert refused == 0
    assert growth_mb < 20
    answer = requests.get(f"{api.url}/api/logs/query", headers={"Authorization": f"Bearer {machines[0]}"}, timeout=10)
    assert answer.ok


def test_a_vanished_reader_of_a_query_or_an_export_ends_it_at_the_store(api: Api, store: Store):
    (token,) = tokens(api, 1)
    store.container.pause()
    try:
        for path in ("/api/logs/query", "/api/logs/facets", "/api/logs/export"):
            connection = open_tail(api, token, path)
            wait_until(lambda: upstream_connections(api, store) >= 1, 5)
            reset(connection)
            wait_until(lambda: upstream_connections(api, store) == 0, 5)
    finally:
        store.container.unpause()
    headers = {"Authorization": f"Bearer {token}"}
    statuses = [requests.get(f"{api.url}/api/logs/query", headers=headers, timeout=15).status_code for _ in range(5)]
    assert statuses == [200] * 5, "the places were given back"


def test_a_hundred_tails_at_once_each_see_each_record(api: Api, store: Store):
    machines = tokens(api, TAILS_IN_ALL // TAILS_EACH + 1)
    before_mb = rss_mb(api)
    received = asyncio.run(_follow(api, store, machines))
    growth_mb = rss_mb(api) - before_mb
    complete = sum(count == 50 for count in received)
    figure(
        "tails at once / of them complete, 50 records in 5 s / memory they took",
        f"{len(received)} / {complete} / {growth_mb:.0f} MB",
    )
    assert len(received) == complete == TAILS_IN_ALL
    assert growth_mb <= 50
    time.sleep(1)
    assert asked_in(store, 3) == 0


async def _follow(api: Api, store: Store, machines: list[str]) -> list[int]:
    import aiohttp

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(60)) as session:
        url = f"{api.url}/api/logs/tail?strategy_id=crowd"

        async def follow(token: str, count: list[int]) -> None:
            async with session.get(url, headers={"Authorization": f"Bearer {token}"}) as answer:
                assert answer.status == 200
                ready.append(1)
                async for line in answer.content:
                    if line.startswith(b"data: ["):
                        count[0] += len(json.loads(line[6:]))

        ready: list[int] = []
        counts = [[0] for _ in range(TAILS_IN_ALL)]
        tasks = [asyncio.ensure_future(follow(machines[index // TAILS_EACH], count)) for index, count in enumerate(counts)]
        while len(ready) < TAILS_IN_ALL:
            assert not [task for task in tasks if task.done()]
            await asyncio.sleep(0.1)
        async with session.get(url, headers={"Authorization": f"Bearer {machines[-1]}"}) as answer:
            assert answer.status == 429, "one more than all"
            assert (await answer.json())["detail"] == "100 tails in all are running, 100 are allowed"
        for second in range(5):
            await asyncio.to_thread(store.send, [said("crowd", f"{second} {index}", 0, extra_ns=index) for index in range(10)])
            await asyncio.sleep(1)
        deadline = time.monotonic() + 30
        while any(count[0] < 50 for count in counts) and time.monotonic() < deadline:  # noqa: ASYNC110 - tasks count
            await asyncio.sleep(0.2)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return [count[0] for count in counts]


def test_a_reader_that_does_not_read_is_told_what_it_skipped(api: Api, store: Store):
    (token,) = tokens(api, 1)
    connection = open_tail(api, token, "/api/logs/tail?strategy_id=flood")
    assert b" 200 " in connection.recv(64)
    sent = 0
    for _ in range(8):
        sent += store.send([said("flood", f"{index} " + "x" * 2_000, 0, extra_ns=index) for index in range(2_500)])
        time.sleep(1)
    time.sleep(3)
    assert rss_mb(api) < 250
    connection.settimeout(6)
    body = b""
    with contextlib.suppress(TimeoutError):
        while chunk := connection.recv(1 << 20):
            body += chunk
    reset(connection)
    events = body.split(b"event: ")
    skipped = sum(
        json.loads(part.split(b"data: ")[1].split(b"\n")[0])["count"] for part in events if part.startswith(b"skipped")
    )
    shown = body.count(b'"_msg"')
    figure(f"tail of a reader that slept while {sent} records came: shown / skipped and counted", f"{shown} / {skipped}")
    assert skipped > 0
    assert shown > 0


def test_the_end_does_not_wait_for_tails(api: Api, store: Store):
    machines = tokens(api, 5)
    tails = [open_tail(api, token) for token in machines for _ in range(TAILS_EACH)]
    for tail in tails:
        assert b" 200 " in tail.recv(64)
    idle = Session(api.url)
    idle.http.get(f"{api.url}/api/health", timeout=5)
    seconds = api.stop()
    figure(
        f"SIGTERM with {len(tails)} open tails: seconds until the end, exit code", f"{seconds:.2f}, {api.process.returncode}"
    )
    assert seconds <= 5
    assert api.process.returncode == 0
    time.sleep(1)
    assert asked_in(store, 2) == 0
    for tail in tails:
        tail.close()


def test_the_end_does_not_wait_for_a_query_either(api: Api, store: Store):
    (token,) = tokens(api, 1)
    store.container.pause()
    try:
        threading.Thread(
            target=lambda: requests.get(f"{api.url}/api/logs/query", headers={"Authorization": f"Bearer {token}"}, timeout=20),
            daemon=True,
        ).start()
        wait_until(lambda: upstream_connections(api, store) >= 1, 5)
        assert api.stop() <= 5
    finally:
        store.container.unpause()
    assert api.process.returncode == 0


def test_what_was_answered_is_in_the_log_after_a_kill(store: Store, tmp_path: Path):
    with running_api(tmp_path, store.url) as api:
        admin = api.login()
        for index in range(20):
            assert admin.get("/api/logs/query", q=f"before{index}").ok
        api.process.kill()
        api.process.wait()
        assert "audit log intact" in api.cli("audit", "verify")
    with running_api(tmp_path, store.url) as again:
        rows = again.login().get("/api/audit", limit=100).json()["rows"]
        assert {row["detail"]["q"] for row in rows if row["action"] == "logs.query"} == {
            f"before{index}" for index in range(20)
        }
