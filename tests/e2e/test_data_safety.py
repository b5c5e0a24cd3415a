"""Data survives what deployment does: forced replacement under load, down and up, and a deployment that is killed midway."""

from __future__ import annotations

import contextlib
import json
import logging
import signal
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator

import docker
import psycopg
import pytest

from crowsnest.logs import VictoriaLogsHandler
from tests.figures import figure

from .conftest import StackUnderTest

pytestmark = [pytest.mark.docker, pytest.mark.stack]

RECORDS_PER_SECOND = 200
SIGKILLED = "137"


class LogLoad:
    """A trading process's logging: records at a steady rate through the real handler."""

    def __init__(self, stack: StackUnderTest, run: str) -> None:
        self.stack, self.run = stack, run
        self.handler = VictoriaLogsHandler(stack.url("victorialogs.http"), extra_fields={"run": run})
        self.logger = logging.getLogger(f"strategy.{run}")
        self.logger.setLevel(logging.DEBUG)
        self.logger.propagate = False
        self.logger.addHandler(self.handler)

    def write(self, until: threading.Event) -> None:
        number = 0
        while not until.wait(1 / RECORDS_PER_SECOND):
            number += 1
            self.logger.info("order submitted", extra={"number": number})

    def stored(self) -> int:
        return count_unique(self.stack, f'run:="{self.run}"', "seq")


def count_unique(stack: StackUnderTest, query: str, field: str) -> int:
    """Distinct values of a field among the records that match."""
    body = urllib.parse.urlencode({"query": f"{query} | stats count_uniq({field}) as n"}).encode()
    with urllib.request.urlopen(f"{stack.url('victorialogs.http')}/select/logsql/query", body, timeout=10) as answer:
        return int(json.loads(answer.read().splitlines()[0])["n"])


class RowLoad:
    """Rows committed to PostgreSQL one by one; keeps which of them were acknowledged."""

    def __init__(self, stack: StackUnderTest, table: str) -> None:
        host, port = stack.url("postgresql.sql").removeprefix("tcp://").split(":")
        password = stack.secret("postgresql_password").read_text().strip()
        self.connect = f"host={host} port={port} user=crowsnest dbname=crowsnest password={password} connect_timeout=2"
        self.table = table
        self.acknowledged: list[int] = []
        with psycopg.connect(self.connect, autocommit=True) as connection:
            connection.execute(f"CREATE TABLE {table} (n bigint PRIMARY KEY)")

    def write(self, until: threading.Event) -> None:
        number = 0
        while not until.is_set():
            with contextlib.suppress(psycopg.Error), psycopg.connect(self.connect, autocommit=True) as connection:
                while not until.wait(0.005):
                    number += 1
                    connection.execute(f"INSERT INTO {self.table} VALUES (%s)", (number,))
                    self.acknowledged.append(number)
            until.wait(0.05)

    def missing(self) -> set[int]:
        with psycopg.connect(self.connect) as connection:
            stored = {row[0] for row in connection.execute(f"SELECT n FROM {self.table}")}
        return set(self.acknowledged) - stored


@contextlib.contextmanager
def load(*loads: LogLoad | RowLoad) -> Iterator[None]:
    stop = threading.Event()
    threads = [threading.Thread(target=one.write, args=(stop,)) for one in loads]
    for thread in threads:
        thread.start()
    try:
        time.sleep(2)
        yield
        time.sleep(1)
    finally:
        stop.set()
        for thread in threads:
            thread.join(20)


@contextlib.contextmanager
def deaths(client: docker.DockerClient, stack: StackUnderTest) -> Iterator[dict[str, str]]:
    """Exit codes of the stack's containers that end meanwhile, by name."""
    found: dict[str, str] = {}
    begun = time.time()
    yield found
    for event in client.events(since=begun, until=time.time() + 1, decode=True, filters={"event": "die"}):
        attributes = event["Actor"]["Attributes"]
        if attributes["name"].startswith(stack.settings.name_prefix):
            found[attributes["name"]] = attributes["exitCode"]


def settled(stack: StackUnderTest, logs: LogLoad) -> None:
    """Every accepted record was delivered, and what was delivered is stored."""
    logs.handler.flush()
    deadline = time.monotonic() + 30
    while logs.handler.stats().queued + logs.handler.stats().in_flight and time.monotonic() < deadline:
        time.sleep(0.2)
    statistics = logs.handler.stats()
    logs.handler.close()
    assert statistics.accepted == statistics.delivered, statistics
    time.sleep(2)  # the store makes records visible within its flush interval
    assert logs.stored() == statistics.accepted


def test_replacing_the_stores_under_load_loses_nothing(stack: StackUnderTest, client: docker.DockerClient):
    logs, rows = LogLoad(stack, "replace"), RowLoad(stack, "replaced")
    with deaths(client, stack) as ended, load(logs, rows):
        changes = stack.up("--replace", "victorialogs", "--replace", "postgresql").document["changes"]
    replaced = {change["resource"] for change in changes if change["operation"] == "replaced"}
    assert {"container victorialogs", "container postgresql"} <= replaced
    settled(stack, logs)
    assert rows.acknowledged
    assert rows.missing() == set()
    assert {stack.container("victorialogs"), stack.container("postgresql")} <= set(ended)
    assert SIGKILLED not in ended.values(), ended
    figure("forced replacement under load: records written / lost", f"{logs.handler.stats().accepted} / 0")
    figure("forced replacement under load: rows acknowledged / lost", f"{len(rows.acknowledged)} / 0")
    figure("exit codes of the replaced containers", json.dumps(ended))


def test_down_and_up_keeps_every_row(stack: StackUnderTest, client: docker.DockerClient):
    logs, rows = LogLoad(stack, "down"), RowLoad(stack, "downed")
    with load(logs, rows):
        pass
    settled(stack, logs)
    with deaths(client, stack) as ended:
        stack.run("down")
    assert not client.containers.list(all=True, filters={"name": stack.settings.name_prefix})
    assert not client.networks.list(names=[f"{stack.settings.name_prefix}-"])
    assert SIGKILLED not in ended.values(), ended
    figure("exit codes at down", json.dumps(ended))
    stack.up()
    assert logs.stored() == logs.handler.stats().accepted
    assert rows.missing() == set()


@pytest.mark.parametrize("moment", ["the old container is being removed", "the new container is being created"])
def test_the_next_up_repairs_a_killed_deployment(stack: StackUnderTest, moment: str):
    rows = RowLoad(stack, "killed_" + moment.split()[1])
    with load(rows):
        process = stack.start("up", "--replace", "postgresql", "--replace", "victorialogs")
        assert process.stderr
        for line in process.stderr:
            stack.said.append(line)
            begun = "removing the old" if "old" in moment else "container postgresql: creating"
            if begun in line and "postgresql" in line:
                break
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        for stream in (process.stdout, process.stderr):
            if stream:
                stream.close()
        repaired = stack.up()
    figure(f"up after kill -9 while {moment}, s", f"{repaired.seconds:.1f}")
    assert stack.run("drift").findings == set()
    assert stack.up().document["changes"] == []
    assert rows.missing() == set()


def test_a_kill_between_the_state_and_its_metadata_is_survived(stack: StackUnderTest):
    """The engine makes this file empty and then writes it."""
    (state,) = (stack.folder / "state" / ".pulumi" / "stacks").rglob(f"{stack.name}.json")
    state.with_name(f"{state.name}.attrs").touch()
    assert stack.up().document["changes"] == []
    assert not list(state.parent.glob("*.attrs"))
