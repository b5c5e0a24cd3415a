"""Trading never depends on observability: the trader keeps its rate whatever happens to the log store."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import docker
import pytest

from tests.figures import figure

from .conftest import StackUnderTest

pytestmark = [pytest.mark.docker, pytest.mark.stack]

OUTAGE_SECONDS = 60
# The trader is paced; what it loses against its own pace is what the outage cost.
KEPT = 0.98


def progress(client: docker.DockerClient, stack: StackUnderTest) -> list[dict]:
    """The trader's own progress lines among its last ones; one that has just started has none yet."""
    deadline = time.monotonic() + 60
    while True:
        lines = client.api.logs(stack.container("trader"), tail=400).decode().splitlines()
        if found := [json.loads(line) for line in lines if '"progress"' in line]:
            return found
        assert time.monotonic() < deadline, "\n".join(lines[-10:])
        time.sleep(1)


def rate(client: docker.DockerClient, stack: StackUnderTest, seconds: float) -> float:
    """Bars a second over the trader's own progress lines that fall into the next `seconds`."""
    before = progress(client, stack)[-1]
    begun = time.monotonic()
    time.sleep(seconds)
    after = progress(client, stack)[-1]
    assert after["bars_total"] > before["bars_total"], f"no progress in {time.monotonic() - begun:.0f} s"
    lines = [line for line in progress(client, stack) if line["bars_total"] > before["bars_total"]]
    return sum(line["bars_per_second"] for line in lines) / len(lines)


OUTAGES: dict[str, tuple[Callable, Callable]] = {
    "stopped": (lambda store: store.stop(), lambda store: store.start()),
    "killed": (lambda store: store.kill(), lambda store: store.start()),
    # Connections are accepted by the kernel and never answered.
    "blackholed": (lambda store: store.pause(), lambda store: store.unpause()),
}


@pytest.mark.parametrize("outage", OUTAGES)
def test_the_trader_keeps_its_rate_without_its_log_store(stack: StackUnderTest, client: docker.DockerClient, outage: str):
    store = client.containers.get(stack.container("victorialogs"))
    take_away, give_back = OUTAGES[outage]
    with_store = rate(client, stack, 15)
    take_away(store)
    try:
        without_store = rate(client, stack, OUTAGE_SECONDS)
        assert client.containers.get(stack.container("trader")).attrs["State"]["Health"]["Status"] == "healthy"
    finally:
        give_back(store)
    figure(f"bars/s with the log store / {outage} for {OUTAGE_SECONDS} s", f"{with_store:.1f} / {without_store:.1f}")
    assert without_store >= KEPT * with_store
    _delivers_again(client, stack)


def _delivers_again(client: docker.DockerClient, stack: StackUnderTest) -> None:
    """The handler finds the store again by itself, and accounts for every record."""
    deadline = time.monotonic() + 60
    delivered = progress(client, stack)[-1]["log"]["delivered"]
    while progress(client, stack)[-1]["log"]["delivered"] <= delivered:
        assert time.monotonic() < deadline, "nothing is delivered after the outage"
        time.sleep(1)
    ledger = progress(client, stack)[-1]["log"]
    dropped = sum(ledger["dropped"].values())
    assert ledger["accepted"] == ledger["delivered"] + dropped + ledger["queued"] + ledger["in_flight"]
