"""The handler against a real VictoriaLogs: what it calls delivered is what the store counts, also after an outage."""

from __future__ import annotations

import argparse
import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.bench import bench_logs

pytestmark = pytest.mark.docker


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="module")
def store() -> Iterator[tuple[str, str]]:
    """Name and URL of a VictoriaLogs of this test's own."""
    images = docker("images", "crowsnest/victorialogs", "--format", "{{.Repository}}:{{.Tag}}").splitlines()
    if not images:
        pytest.skip("no crowsnest/victorialogs image; `make images` builds it")
    name = f"cnlogs-{os.getpid()}"
    with bench_logs.free_port() as port:
        pass
    docker("run", "-d", "--name", name, "--user", "0", "-p", f"127.0.0.1:{port}:9428", images[0], "-storageDataPath=/tmp/data")
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            with suppress(OSError):
                if urllib.request.urlopen(f"{url}/health", timeout=1).status == 200:
                    break
            time.sleep(0.1)
        yield name, url
    finally:
        docker("rm", "-f", "-v", name)


def test_a_fast_producer_loses_nothing(store: tuple[str, str]) -> None:
    """Half the rate of the figure: this machine runs other things, too; docs/figures.md has the full one."""
    options = argparse.Namespace(url=store[1], records=75_000, rate=25_000, max_records=10_000, least_rate=20_000)
    assert bench_logs.throughput(options)


def test_an_outage_is_accounted_for_to_the_record(store: tuple[str, str]) -> None:
    options = argparse.Namespace(url=store[1], container=store[0], seconds=6.0, rate=5_000)
    assert bench_logs.outage(options)
