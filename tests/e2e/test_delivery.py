"""What the container way loses and repeats, by event; docs/delivery.md has the table.

Short by default. CROWSNEST_DELIVERY=full: outages and loads of the length that the table names (`make delivery`).
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.models.containers import Container

from infra.catalogue import catalogue
from infra.pipelines.logs import FREE_SPACE_FLOOR
from infra.service import LOG_OPTIONS
from supply import debian, images
from supply.cache import Cache
from tests.figures import figure

from .conftest import StackUnderTest
from .delivery import Counted, Store, generator

pytestmark = [pytest.mark.docker, pytest.mark.stack, pytest.mark.timeout(1800)]

FULL = os.environ.get("CROWSNEST_DELIVERY") == "full"
COLLECTOR, STORE = "alloy", "victorialogs"
RATE = 200  # lines a second while something breaks
# A batch of the collector, or what it read since it last wrote how far it was: at most this is repeated.
POSITION_SECONDS = 11
FLOOR_MB = 1024 * int(FREE_SPACE_FLOOR.removesuffix("GiB"))
DISK_MB = FLOOR_MB + 512
# What the store has acknowledged and not yet written: a second until rows become a part in memory, a second until that is due,
# a second until the next look at what is due, and the write.
FLUSH_SECONDS = 4
# Containers that are not the stack's own: the source document's three, and one that nobody asked for.
OTHERS = ("crowsnest-ntd-nginx", "crowsnest-ntd-redis", "crowsnest-ntd-ib-gateway")
NOT_CHOSEN = "crowsnest-ntd-other"
NGINX_CONFIGURATION = """
daemon off; pid /tmp/nginx.pid; error_log /dev/stderr; events {}
http {
  access_log /dev/stdout combined; client_body_temp_path /tmp/b; proxy_temp_path /tmp/p;
  fastcgi_temp_path /tmp/f; uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s;
  server { listen 127.0.0.1:8080; location / { return 200; } location /broken { return 502; } }
}
"""
# In the words of a gateway that is controlled by IBC; the program itself has a licence that keeps it out of tests.
GATEWAY_LINES = r"""
print("2026-11-21 22:16:38:123 IBC: Login attempt: 1", flush=True)
print("2026-11-21 22:16:39:001 IBC: ERROR: Exception: java.net.ConnectException: Connection refused\n"
      "\tat java.base/sun.nio.ch.Net.pollConnect(Native Method)\n\tat ibcalpha.ibc.Gateway.main(Gateway.java:42)", flush=True)
"""
STORED, RAW = "vl_data_size_bytes", "vl_uncompressed_data_size_bytes"
# What a trading container prints: no two lines are the same, as order ids, prices and quantities are not.
TRADING_LINES = """
import json, random, sys, time, uuid
run, rate, lines = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
random.seed(1)
said = ("order submitted", "order accepted", "order filled", "bar received", "signal below its threshold", "position opened")
begun = time.monotonic()
for seq in range(1, lines + 1):
    while (ahead := begun + seq / rate - time.monotonic()) > 0:
        time.sleep(min(ahead, 0.01))
    print(json.dumps({
        "run_id": run, "seq": seq, "level": "INFO", "message": random.choice(said), "component": "OrbBreakout",
        "strategy_id": "orb_15min_call_1", "instrument": "ESZ6.XCME",
        "client_order_id": str(uuid.UUID(int=random.getrandbits(128))),
        "price": round(random.gauss(5900, 15), 2), "quantity": random.randint(1, 20), "timestamp_ns": time.time_ns(),
    }), flush=seq % 10 == 0)
"""
ODD_LINES = r"""
import sys, time
start = b'{"run_id": "odd", "message": "'
for line in (
    start + b"m" * 1_000_000 + b'"}',
    start + b"half",
    b"odd \xff\xfe\x00\x01 bytes",
    start + b'deep", "a": ' + b'{"a":' * 100 + b"1" + b"}" * 101,
    start + b'last"}',
):
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()
    time.sleep(0.2)
"""


@dataclass
class Way:
    """The stack, and how to do things to it."""

    stack: StackUnderTest
    client: docker.DockerClient

    @property
    def store(self) -> Store:
        return Store(self.stack.url("victorialogs.http"))

    @property
    def data(self) -> Path:
        """The store's folder on this machine."""
        return self.stack.folder / "data" / self.stack.settings.name_prefix / STORE

    def container(self, component: str) -> Container:
        """A component's container."""
        return self.client.containers.get(self.stack.container(component))

    def kill(self, component: str) -> None:
        """SIGKILL to its first process, as the kernel would; Docker starts it again."""
        container = self.container(component)
        os.kill(container.attrs["State"]["Pid"], signal.SIGKILL)

    def restart(self, component: str) -> None:
        self.container(component).restart()

    @contextmanager
    def away(self, component: str) -> Iterator[None]:
        container = self.container(component)
        container.stop()
        try:
            yield
        finally:
            container.start()

    @contextmanager
    def stands_still(self, component: str) -> Iterator[None]:
        """It gets no processor: connections are taken by the kernel, and nothing answers."""
        container = self.container(component)
        container.pause()
        try:
            yield
        finally:
            container.unpause()

    def count(self, run: str, event: Callable[[], object], *, seconds: int, rate: float = RATE, **options: Any) -> Counted:
        """Let a container print for some seconds, do something to the way a third in, and count what is stored."""
        lines = int(rate * seconds)
        name = f"{self.stack.settings.name_prefix}-{run}"
        with generator(self.client, name, run, rate=rate, lines=lines, **options) as container:
            time.sleep(seconds / 3)
            event()
            container.wait(timeout=10 * seconds + 60)
            found = self.store.settled(run, lines)
        figure(f"delivery, {run}", found)
        return found

    def count_with_refill(self, run: str, event: Callable[[], object]) -> tuple[Counted, int]:
        """`count` for a minute, with `make refill` after the event; also how many of its lines that brought again."""
        brought: list[dict[str, Any]] = []

        def both() -> None:
            event()
            while self.stack.run("status", expect=None).code:
                time.sleep(1)
            brought.extend(self.stack.run("refill", "--json").document["brought"])

        found = self.count(run, both, seconds=60)
        lines = sum(one["lines"] for one in brought if one["container"].endswith(run))
        figure(f"delivery, {run}: lost, and brought again by `make refill`", lines)
        return found, lines


@pytest.fixture(scope="module")
def way(make_stack: Callable[..., StackUnderTest], client: docker.DockerClient) -> Iterator[Way]:
    """The log store on a file system of its own, and the collector."""
    stack = make_stack(
        "delivery",
        {
            "name_prefix": "crowsnest-delivery",
            "port_offset": 24000,
            "supply": "packages",
            "pipelines": {"logs": {"collector": COLLECTOR, "containers": ["crowsnest-delivery-", *OTHERS]}},
            "publish": [f"{STORE}.http"],
        },
    )
    stack.configure()
    way = Way(stack, client)
    with file_system(way.data, DISK_MB):
        stack.up()
        with generator(client, f"{stack.settings.name_prefix}-first", "first", rate=50, lines=50):
            assert way.store.settled("first", 50).lost == 0
        yield way
        stack.run("down")


@contextmanager
def file_system(folder: Path, size_mb: int) -> Iterator[None]:
    """A file system of this size over a folder, with the folder's owner and mode."""
    was = folder.stat()
    options = f"size={size_mb}m,uid={was.st_uid},gid={was.st_gid},mode={was.st_mode & 0o7777:o}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "crowsnest-test", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def test_collector_killed(way: Way):
    found = way.count("collector-killed", lambda: way.kill(COLLECTOR), seconds=30)

    assert found.lost == 0
    assert found.repeated <= RATE * POSITION_SECONDS


def test_collector_restarted(way: Way):
    """Alloy can lose what it had read at that moment; it is brought again."""
    found, brought = way.count_with_refill("collector-restarted", lambda: way.restart(COLLECTOR))

    assert brought <= RATE * FLUSH_SECONDS
    assert found.lost == 0
    assert found.repeated <= RATE * POSITION_SECONDS


def test_store_killed(way: Way):
    """What the store has acknowledged within its flush interval is gone, nothing else; and it is brought again."""
    found, brought = way.count_with_refill("store-killed", lambda: way.kill(STORE))

    assert brought <= RATE * FLUSH_SECONDS
    assert (found.lost, found.repeated) == (0, 0)


def test_store_away(way: Way):
    outage_seconds = 600 if FULL else 30

    def event() -> None:
        with way.away(STORE):
            time.sleep(outage_seconds)

    found = way.count(f"store-away-{outage_seconds}-s", event, seconds=outage_seconds * 2, rate=50)

    assert (found.lost, found.repeated) == (0, 0)


def test_store_stands_still(way: Way):
    """A batch that is answered late is stored; who gave up waiting sends it again."""

    def event() -> None:
        with way.stands_still(STORE):
            time.sleep(30)

    found = way.count("store-stands-still-30-s", event, seconds=60)

    assert (found.lost, found.repeated) == (0, 0)


def test_collector_killed_while_the_store_is_away(way: Way):
    """The collector's own gap: what it holds in memory and has counted as read. It is brought again."""

    def event() -> None:
        with way.away(STORE):
            time.sleep(15)
            way.kill(COLLECTOR)
            time.sleep(5)

    found, _ = way.count_with_refill("collector-killed-store-away", event)

    assert found.lost == 0
    assert found.repeated <= RATE * POSITION_SECONDS


def test_rotation_while_reading(way: Way):
    """1,000 lines a second: a file of a megabyte lasts about four seconds."""
    found = way.count("rotation", lambda: None, seconds=30, rate=1000, file_mb=1)

    assert (found.lost, found.repeated) == (0, 0)


def test_a_burst_that_the_collector_is_slower_than(way: Way):
    """Docker keeps what is not read yet, up to a file."""
    begun = time.monotonic()

    found = way.count("burst-10000-a-second-for-10-s", lambda: None, seconds=10, rate=10_000)

    figure("delivery, burst of 100,000 lines: stored after, s", f"{time.monotonic() - begun:.1f}")
    assert (found.lost, found.repeated) == (0, 0)


@pytest.mark.skipif(not FULL, reason="left to `make delivery`")
@pytest.mark.xfail(strict=True, reason="Alloy 1.0 is slower here, and drops a file that was rotated twice before it was read")
def test_10000_lines_a_second_for_a_minute(way: Way):
    found = way.count("burst-10000-a-second-for-60-s", lambda: None, seconds=60, rate=10_000)

    assert (found.lost, found.repeated) == (0, 0)


def test_disk_of_the_store_full(way: Way):
    """The store turns read-only above the last gigabyte, and the collector waits."""
    filler = way.data / "filler"

    def event() -> None:
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, (DISK_MB - FLOOR_MB // 2) * 2**20)
        try:
            time.sleep(20)
            assert metric(way, "vl_storage_is_read_only") == 1
        finally:
            filler.unlink()

    found = way.count("disk-full", event, seconds=45)

    assert metric(way, "vl_storage_is_read_only") == 0
    assert (found.lost, found.repeated) == (0, 0)


def metric(way: Way, name: str) -> float:
    with urllib.request.urlopen(f"{way.store.url}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.partition("{")[0].partition(" ")[0] == name)


def test_down_and_up(way: Way):
    def event() -> None:
        way.stack.run("down")
        way.stack.up()

    found = way.count("down-and-up", event, seconds=90, rate=50)

    assert found.lost == 0
    assert found.repeated <= 50 * POSITION_SECONDS


def test_no_line_stops_the_way(way: Way):
    """A megabyte, bytes that are no text, a hundred levels, half an object: all are stored, and marked where not understood."""
    name = f"{way.stack.settings.name_prefix}-odd"
    with generator(way.client, name, "odd", rate=1, lines=1, script=ODD_LINES) as container:
        container.wait(timeout=60)
        deadline = time.monotonic() + 40
        while len(rows := way.store.rows(f'container_name:="{name}" | sort by (_time)')) < 5 and time.monotonic() < deadline:
            time.sleep(1)
    assert len(rows) == 5
    assert rows[-1]["_msg"] == "last"
    figure("delivery, odd lines: dead letters", [row.get("dead_letter", "") for row in rows])
    assert sum(bool(row.get("dead_letter")) for row in rows) >= 2


@pytest.fixture(scope="module")
def nginx(client: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An image with Debian's nginx."""
    folder = tmp_path_factory.mktemp("nginx")
    folder.chmod(0o755)
    tar, reference = folder / "nginx.tar", "crowsnest-test/nginx:latest"
    debian.unpack(
        "trixie",
        ["base-files", "busybox-static", "nginx"],
        tar,
        epoch=0,
        name="nginx",
        cache=Cache(folder / "cache"),
        say=print,
    )
    client.api.import_image_from_file(str(tar), repository="crowsnest-test/nginx", tag="latest")
    yield reference
    client.images.remove(reference)


def test_containers_of_the_source_system(way: Way, nginx: str):
    """nginx and Redis, and what a gateway prints: by name, with the level that each means."""
    ask = "for path in / /broken /health; do busybox wget -q -O /dev/null http://127.0.0.1:8080$path; done"
    serve = f"echo '{NGINX_CONFIGURATION}' >/tmp/nginx.conf; nginx -e stderr -c /tmp/nginx.conf"
    redis = images.ensure(catalogue()["redis"], "packages", way.client, print).reference
    trader = images.ensure(catalogue()["trader"], "packages", way.client, print).reference
    commands = {
        OTHERS[0]: (nginx, ["busybox", "sh", "-c", serve]),
        OTHERS[1]: (redis, ["redis-server", "--save", ""]),
        OTHERS[2]: (trader, ["python3", "-c", GATEWAY_LINES]),
        NOT_CHOSEN: (trader, ["python3", "-c", "print('nobody asked for this')"]),
    }
    logs = docker.types.LogConfig(type="json-file", config=LOG_OPTIONS)
    containers = [
        way.client.containers.run(
            image,
            command[1:],
            entrypoint=command[:1],
            name=name,
            user="65534:65534",
            detach=True,
            network_mode="none",
            log_config=logs,
        )
        for name, (image, command) in commands.items()
    ]
    try:
        time.sleep(3)
        containers[0].exec_run(["busybox", "sh", "-c", ask])
        wanted = {
            (OTHERS[0], "INFO", '"GET / HTTP/1.1" 200'),
            (OTHERS[0], "ERROR", '"GET /broken HTTP/1.1" 502'),
            (OTHERS[1], "INFO", "Ready to accept connections"),
            (OTHERS[2], "INFO", "Login attempt: 1"),
            (OTHERS[2], "ERROR", "Gateway.java:42"),
        }
        deadline = time.monotonic() + 60
        while (missing := wanted - found(way, wanted)) and time.monotonic() < deadline:
            time.sleep(1)
    finally:
        for container in containers:
            container.remove(force=True)
    assert missing == set()
    assert way.store.ask(f'container_name:="{NOT_CHOSEN}"') == []
    assert way.store.ask(f'container_name:="{OTHERS[0]}" "/health"') == []


def found(way: Way, wanted: set[tuple[str, str, str]]) -> set[tuple[str, str, str]]:
    """Those of the wanted lines (container, level, part of its text) that the store has."""
    rows = [row for name in OTHERS for row in way.store.rows(f'source:=container container_name:="{name}"')]
    return {
        (name, level, part)
        for name, level, part in wanted
        if any(row["container_name"] == name and row["level"] == level and part in row["_msg"] for row in rows)
    }


def test_latency_and_cost_at_rest(way: Way):
    """At the source's 10 lines a second: from print to queryable, and what the collector and the store take."""
    seconds, rate = (120, 10) if FULL else (30, 10)
    name, run, lines = f"{way.stack.settings.name_prefix}-latency", "latency", seconds * rate
    seen: list[float] = []
    usage_before = {part: usage(way, part) for part in (COLLECTOR, STORE)}
    begun = time.monotonic()
    with generator(way.client, name, run, rate=rate, lines=lines, padding=170):
        newest = 0
        while newest < lines and time.monotonic() - begun < seconds + 30:
            rows = way.store.rows(f'run_id:="{run}" seq:>{newest} | fields seq, written_ns')
            now = time.time_ns()
            seen += [(now - int(row["written_ns"])) / 1e9 for row in rows]
            newest = max([newest, *(int(row["seq"]) for row in rows)])
            time.sleep(0.02)
    elapsed = time.monotonic() - begun
    seen.sort()
    figure(
        "delivery, print to queryable at 10 lines/s, p50 / p99, s",
        f"{seen[len(seen) // 2]:.2f} / {seen[len(seen) * 99 // 100]:.2f}",
    )
    for part, (cpu_before, _) in usage_before.items():
        cpu, rss = usage(way, part)
        figure(
            f"delivery, {part} at 10 lines/s: CPU %, memory MB", f"{(cpu - cpu_before) / elapsed * 100:.2f}, {rss / 1e6:.0f}"
        )
    assert len(seen) == lines


def test_what_a_line_takes(way: Way):
    """Bytes on disk and processor time of a line that is like a trader's; crowsnest.capacity rests on these."""
    rate, seconds = 500, 120 if FULL else 30
    lines = rate * seconds
    before = {part: usage(way, part)[0] for part in (COLLECTOR, STORE)}
    stored_before, raw_before = (metric(way, name) for name in (STORED, RAW))

    found = way.count("trading-lines", lambda: None, seconds=seconds, rate=rate, script=TRADING_LINES)

    time.sleep(FLUSH_SECONDS)
    stored, raw = metric(way, STORED) - stored_before, metric(way, RAW) - raw_before
    figure(
        "delivery, bytes of a trading line: raw, stored, share", f"{raw / lines:.0f}, {stored / lines:.1f}, {stored / raw:.3f}"
    )
    for part, cpu_before in before.items():
        cpu, rss = usage(way, part)
        cores = (cpu - cpu_before) / (raw / 2**20)
        figure(f"delivery, {part} at {rate} trading lines/s: cores/(MiB/s), memory MB", f"{cores:.2f}, {rss / 1e6:.0f}")
    assert (found.lost, found.repeated) == (0, 0)
    assert stored < raw


def usage(way: Way, component: str) -> tuple[float, int]:
    """Processor seconds since the start and resident bytes of a component's processes."""
    pid = way.container(component).attrs["State"]["Pid"]
    cpu, rss = 0.0, 0
    for task in [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]:
        fields = Path(f"/proc/{task}/stat").read_text().rpartition(")")[2].split()
        cpu += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        rss += int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
    return cpu, rss
