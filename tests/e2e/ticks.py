"""Lines of a log file, counted at both ends: a price process that numbers what it logs, and a count of what QuestDB has."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker.models.containers import Container

from infra.catalogue import catalogue
from infra.health import HEALTHY, address, read
from infra.settings import LOGS_FOLDER, PROJECT, TICKS_LOG_FILE
from supply import images

from .conftest import StackUnderTest

SECONDS_WITHOUT_PROGRESS = 40
# So many that none goes while it is counted.
SEGMENTS = 1000


@dataclass(frozen=True)
class Counted:
    """What became of the lines of a run."""

    lines: int
    rows: int
    unique: int

    @property
    def lost(self) -> int:
        """Lines without a row."""
        return self.lines - self.unique

    @property
    def repeated(self) -> int:
        """Rows beyond the first of a line."""
        return self.rows - self.unique

    def __str__(self) -> str:
        return f"{self.lines} lines, {self.rows} rows: {self.lost} lost, {self.repeated} repeated"


@dataclass
class Ticks:
    """The stack, and how to do things to it."""

    stack: StackUnderTest
    client: docker.DockerClient
    profile: str = "durable"

    @property
    def logs(self) -> Path:
        """The folder of the log file on this machine."""
        return self.folder("ticker") / LOGS_FOLDER

    def folder(self, component: str) -> Path:
        """The data of a component on this machine."""
        return self.stack.folder / "data" / self.stack.settings.name_prefix / component

    def container(self, component: str) -> Container:
        """A component's container."""
        return self.client.containers.get(self.stack.container(component))

    def kill(self, component: str) -> None:
        """SIGKILL to its first process, as the kernel would; Docker starts it again."""
        os.kill(self.container(component).attrs["State"]["Pid"], signal.SIGKILL)

    @contextmanager
    def away(self, component: str) -> Iterator[None]:
        """Stopped for a while."""
        container = self.container(component)
        container.stop()
        try:
            yield
        finally:
            container.start()

    def healthy(self, *components: str) -> None:
        """Wait until these are healthy."""
        deadline = time.monotonic() + 120
        while True:
            states = {one.component: one.state for one in read(self.client, self.stack.settings)}
            if all(states[name] == HEALTHY for name in components):
                return
            assert time.monotonic() < deadline, states
            time.sleep(0.5)

    def sql(self, statement: str, *, seconds: float = 30) -> list[dict[str, Any]]:
        """Rows of a statement.

        Raises:
            OSError: QuestDB does not answer, or refuses it.
        """
        secret = "ticks_relay_password" if self.profile == "durable" else "questdb_admin_password"
        token = base64.b64encode(f"{PROJECT}:{self.stack.secret(secret).read_text()}".encode()).decode()
        url = (
            f"{self.stack.url('questdb.http').replace('tcp://', 'http://')}/exec?{urllib.parse.urlencode({'query': statement})}"
        )
        request = urllib.request.Request(url, headers={"Authorization": f"Basic {token}"})
        try:
            with urllib.request.urlopen(request, timeout=seconds) as answer:
                tree = json.loads(answer.read())
        except urllib.error.HTTPError as error:
            raise OSError(f"{error.code}: {error.read().decode(errors='replace')}") from error
        columns = [column["name"] for column in tree.get("columns", [])]
        return [dict(zip(columns, row, strict=True)) for row in tree.get("dataset", [])]

    def metric(self, component: str, name: str, **labels: str) -> float:
        """Sum of a component's metric; 0 where it has none."""
        entry = catalogue()[component]
        (scrape,) = entry.metrics.values()
        place = address(self.container(component).attrs, entry, scrape.port)
        with urllib.request.urlopen(f"{place}{scrape.path}", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        mine = [line for line in lines if line.partition("{")[0].partition(" ")[0] == name]
        return sum(float(line.split()[-1]) for line in mine if all(one in line for one in wanted))

    @contextmanager
    def prices(self, *, seconds: float, rate: float, segment_mb: float = 1) -> Iterator[Container]:
        """A price process beside the stack's, that logs for so long and ends; ``rate`` 0 is as fast as it can for that many."""
        component = catalogue()["ticker"]
        folder = f"{component.data}/{LOGS_FOLDER}"
        count = int(seconds * rate) if rate else int(seconds)
        environment = {
            "LOG_FILE_NAME": f"{folder}/{TICKS_LOG_FILE}",
            "CROWSNEST_TICKER_PRICES": "walk",
            "CROWSNEST_TICKER_INTERVAL_SECONDS": f"{1 / rate if rate else 0:g}",
            "CROWSNEST_TICKER_PRICES_LOGGED": str(count),
            "CROWSNEST_TICKER_ROTATION": "segments" if self.profile == "durable" else "rename",
            "CROWSNEST_TICKER_SEGMENT_MB": f"{segment_mb:g}",
            "CROWSNEST_TICKER_SEGMENTS": str(SEGMENTS),
        }
        container = self.client.containers.run(
            images.ensure(component, "packages", self.client, print).reference,
            [],
            name=f"{self.stack.settings.name_prefix}-prices",
            environment=environment,
            user=component.user,
            mounts=[docker.types.Mount(folder, str(self.logs), type="bind")],
            tmpfs={"/tmp": "size=4m"},
            network_mode="none",
            log_config=docker.types.LogConfig(type="none"),
            detach=True,
        )
        try:
            yield container
        finally:
            container.remove(force=True)

    def written(self, since: str) -> list[dict[str, Any]]:
        """The prices that were logged since a time, from the files."""
        pattern = f"{TICKS_LOG_FILE}.*Z" if self.profile == "durable" else f"{TICKS_LOG_FILE}*"
        records = []
        for path in self.logs.glob(pattern):
            with contextlib.suppress(FileNotFoundError), path.open() as lines:
                records += [json.loads(line) for line in lines if '"event": "price_log"' in line]
        return [record for record in records if record["timestamp"] >= since]

    def count(self, since: str, run: str | None) -> Counted:
        """Count the prices of a run, or all since a time where rows do not tell the run."""
        lines = [record for record in self.written(since) if run in (None, record["run_id"])]
        where = f"run_id = '{run}'" if run and self.profile == "durable" else f"timestamp >= '{since}'"
        rows = self.sql(f"SELECT count() AS rows, count_distinct(seq::long) AS unique FROM price_log WHERE {where}")
        return Counted(len(lines), int(rows[0]["rows"]), int(rows[0]["unique"]))

    def settled(self, since: str, run: str | None) -> Counted:
        """Count once everything is there, or nothing more has come for a while."""
        best, progress = -1, time.monotonic()
        while time.monotonic() - progress < SECONDS_WITHOUT_PROGRESS:
            try:
                found = self.count(since, run)
            except OSError:
                time.sleep(1)
                continue
            if found.rows > best:
                best, progress = found.rows, time.monotonic()
            if found.lost == 0 and found.lines:
                time.sleep(3)  # a repetition may be on its way
                return self.count(since, run)
            time.sleep(1)
        return self.count(since, run)
