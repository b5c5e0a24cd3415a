"""Reconcile with a real VictoriaLogs that is killed: what it had acknowledged and lost comes back, exactly."""

from __future__ import annotations

import json
import logging
import socket
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import docker
import docker.errors
import pytest
from docker.models.containers import Container

from crowsnest.logs.__main__ import main
from crowsnest.logs.files import rotated_files
from crowsnest.logs.query import QueryClient
from crowsnest.logs.reconcile import ReconcileOptions, since_ns
from crowsnest.logs.reconcile import reconcile as run_reconcile
from crowsnest.logs.setup import LoggingSettings, LoggingSetup
from tests.figures import figure

pytestmark = pytest.mark.docker

REPOSITORY = "crowsnest/victorialogs"
SAFE, LOST = 3000, 2000


@dataclass
class Store:
    container: Container
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait(self) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with suppress(OSError), urllib.request.urlopen(f"{self.url}/health", timeout=1) as answer:
                if answer.status == 200:
                    return
            time.sleep(0.1)
        raise AssertionError(self.container.logs().decode()[-2000:])


@pytest.fixture
def store(client: docker.DockerClient) -> Iterator[Store]:
    tags = [tag for image in client.images.list(REPOSITORY) for tag in image.tags]
    if not tags:
        pytest.skip(f"victorialogs: no image {REPOSITORY} on this machine; `make images` has it")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    name = f"cnrec-{uuid.uuid4().hex[:8]}"
    container = client.containers.run(
        min(tags),
        # What is not written at a graceful stop stays in memory, so that a kill loses it for certain.
        ["-storageDataPath=/data", "-retentionPeriod=7d", "-inmemoryDataFlushInterval=1h"],
        name=name,
        user="0:0",  # a new volume belongs to root
        volumes={name: {"bind": "/data"}},
        ports={"9428/tcp": ("127.0.0.1", port)},
        detach=True,
    )
    store = Store(container, port)
    try:
        store.wait()
        yield store
    finally:
        container.remove(force=True)
        with suppress(docker.errors.NotFound):
            client.volumes.get(name).remove(force=True)


def reconcile(capsys: pytest.CaptureFixture[str], store: Store, path: Path, *options: str) -> tuple[int, dict[str, int]]:
    code = main(["reconcile", "--file", str(path), "--url", store.url, "--settle-seconds", "0", "--json", *options])
    return code, json.loads(capsys.readouterr().out)


def wait_for_count(query: QueryClient, boot: str, count: int) -> None:
    deadline = time.monotonic() + 10
    while query.count(f'_time:1h boot:="{boot}"') < count and time.monotonic() < deadline:
        time.sleep(0.1)


def test_what_a_killed_store_lost_comes_back(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "logs/backend.log"
    setup = LoggingSetup(LoggingSettings(file=path, console=False, victorialogs_url=store.url, max_bytes=400_000))
    assert setup.victorialogs
    boot, query = setup.victorialogs.boot, QueryClient(store.url)
    logger = logging.Logger("strategy.ema_cross", logging.DEBUG)  # noqa: LOG001
    logger.addHandler(setup)

    def log(count: int) -> None:
        for number in range(count):
            logger.info(
                "order filled %d", number, extra={"order_id": f"O-{number}", "price": 101.25, "legs": [{"side": "BUY"}]}
            )
        assert setup.victorialogs
        assert setup.victorialogs.drain(20)

    log(SAFE)
    store.container.restart()  # a graceful stop writes everything to disk
    store.wait()
    log(LOST)
    stats = setup.victorialogs.stats()
    store.container.kill("SIGKILL")
    assert (stats.delivered, stats.dropped_total, stats.residual) == (SAFE + LOST, 0, 0)  # all of it was acknowledged
    setup.close()
    assert len(rotated_files(path)) >= 3

    store.container.start()
    store.wait()
    survived = query.count(f'_time:1h boot:="{boot}"')
    assert SAFE <= survived < SAFE + LOST

    code, report = reconcile(capsys, store, path, "--dry-run")
    assert (code, report["missing"], report["backfilled"]) == (1, SAFE + LOST - survived, 0)
    begun = time.monotonic()
    code, report = reconcile(capsys, store, path, "--rate", "100000")
    seconds = time.monotonic() - begun
    assert code == 0
    assert report["missing"] == report["backfilled"] == SAFE + LOST - survived
    assert report["duplicates_in_store"] == 0
    code, report = reconcile(capsys, store, path)
    assert (code, report["missing"], report["backfilled"]) == (0, 0, 0)

    assert query.count(f'_time:1h boot:="{boot}"') == SAFE + LOST
    assert query.count(f'_time:1h boot:="{boot}" | uniq by (seq)') == SAFE + LOST
    # one that stayed and one that came back have the same fields, and the latter the time of its line in the file
    stayed, back = (query.newest(f'_time:1h boot:="{boot}" seq:={seq}', 10) for seq in (1, SAFE + LOST))
    assert len(stayed) == len(back) == 1
    assert stayed[0].keys() == back[0].keys()
    assert stayed[0]["_stream"] == back[0]["_stream"]
    last = json.loads(path.read_text().splitlines()[-1])
    assert (back[0]["seq"], since_ns(back[0]["_time"])) == (str(last["seq"]), since_ns(last["_time"]))
    figure("reconcile: lost by kill -9 of VictoriaLogs and backfilled, of all", f"{SAFE + LOST - survived} of {SAFE + LOST}")
    figure("reconcile: compare, backfill and verify, s", f"{seconds:.1f}")


def test_records_older_than_the_retention_are_reported(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    now = time.time()
    lines = []
    for seq, age_days in enumerate((9, 8, 3, 0.1), start=1):
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now - age_days * 86_400)) + f".00000000{seq}Z"
        lines.append({"event": "x", "level": "info", "timestamp": when, "_time": when, "boot": "b1", "seq": seq})
    path = tmp_path / "backend.log"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    code, report = reconcile(capsys, store, path)
    assert (code, report["older_than_retention"], report["missing"], report["backfilled"]) == (0, 2, 2, 2)
    # told a longer retention than the store has, the run does not believe the store's 200
    options = ReconcileOptions(path, store.url, settle_seconds=0, retention_seconds=30 * 86_400, visible_seconds=2)
    told = run_reconcile(options)
    assert (told.exit_code, told.missing, told.still_missing) == (1, 2, 2)
