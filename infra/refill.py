"""Bring lines of containers again that were lost when the log store or the collector ended.

A killed VictoriaLogs loses what it had acknowledged and not written yet, a few seconds; a collector that ends can lose what it
had read and not delivered. Docker's files still have these lines. They are put into a folder that the collector reads like
Docker's own, so that a line makes the same record as the first time. Lines that the store has are not brought again.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import requests
from docker.errors import NotFound

from infra import health
from infra.catalogue import Component, catalogue
from infra.errors import Failed, Refused
from infra.settings import REFILL_FOLDER, Settings

AFTER = dt.timedelta(seconds=5)  # while the store is away the collector still reads a batch
DEFAULT_SECONDS = 15  # three times and more what a kill was seen to cost (docs/delivery.md)
STORED_WITHIN_SECONDS = 30  # the collector looks for new files every 2 s; its batch and the store's flush take another 3
SETTLED_AFTER_SECONDS = 15  # the collector waits up to 5 s before it tries again
QUERY_SECONDS = 30
NEVER = "0001-01-01"


@dataclass(frozen=True)
class Line:
    """A line as Docker keeps it: when it came, what it says, and the whole entry."""

    time: str
    text: str
    entry: bytes

    @property
    def ends(self) -> bool:
        """Whether it is the last piece of its line; Docker cuts at 16 KiB."""
        return self.text.endswith("\n")


@dataclass(frozen=True)
class Lost:
    """Lines of one container that the store does not have."""

    container: str
    id: str
    lines: Sequence[Line]

    @property
    def times(self) -> list[str]:
        """When they came, in order."""
        return [line.time for line in self.lines]


@dataclass(frozen=True)
class Brought:
    """What became of one container's lines."""

    container: str
    lines: int
    stored: int

    @property
    def left(self) -> int:
        """Lines that are not stored."""
        return self.lines - self.stored

    @property
    def row(self) -> tuple[object, ...]:
        """Columns of the report."""
        return self.container, self.lines, self.stored


def refill(
    client: docker.DockerClient, settings: Settings, say: Callable[[str], None], *, seconds: float = DEFAULT_SECONDS
) -> list[Brought]:
    """Bring what was lost when the store and the collector last ended.

    Args:
        client: the stack's daemon, on this machine.
        settings: the stack.
        say: takes a line of progress.
        seconds: how long before each end to look.

    Raises:
        Refused: there is no collector that reads Docker's files, or it or the store does not run.
        Failed: the collector brought none of the lines.
    """
    collector = _collector(settings)
    lives = [_Life.of(client, settings, component) for component in (catalogue()["victorialogs"], collector)]
    store = _Store(lives[0])
    if not any(life.ended for life in lives):
        say("neither the log store nor the collector has ended since it was made: nothing can be lost")
        return []
    _settle(lives, say)
    windows = []
    for life in lives:
        if life.ended:
            begin, end = _stamp(life.ended - dt.timedelta(seconds=seconds)), _stamp(life.ended + AFTER)
            say(f"{life.component.name} ended at {life.ended:%H:%M:%S}: lines between {begin} and {end}")
            windows.append((begin, end))
    looked_at = ((name, path, _lost(store, name, path, windows)) for name, path in _log_files(client, settings))
    lost = [Lost(name, path.parent.name, lines) for name, path, lines in looked_at if lines]
    if lost:
        say(f"bringing {sum(len(one.lines) for one in lost)} lines of {len(lost)} containers")
    files = [_place(settings.folders.data / collector.name / REFILL_FOLDER, one, collector.owner) for one in lost]
    try:
        return _wait(store, lost)
    finally:
        for file in files:
            file.unlink(missing_ok=True)


def missing(lines: Sequence[Line], stored: Set[str], text_of: Callable[[str], str]) -> list[Line]:
    """Lines that are not stored and are no part of a record that is.

    Args:
        lines: in the order of the file.
        stored: times of the records.
        text_of: what the record of a time says; a traceback's lines are all in that of the first.
    """
    found: list[Line] = []
    record, whole = "", True
    for line in lines:
        begins, whole = whole, line.ends
        if line.time in stored:
            record = line.time
        elif not (record and (not begins or line.text.strip() in text_of(record))):
            found.append(line)
            record = ""
    return found


def _collector(settings: Settings) -> Component:
    logs = settings.pipelines.logs
    if logs is None or logs.collector == "none":
        raise Refused(f"stack {settings.stack} has no collector: records of trading processes have `python -m crowsnest.logs`")
    if settings.docker_host.startswith("ssh://"):
        raise Refused("Docker's files are read where they are: run this on the machine of the stack")
    return catalogue()[logs.collector]


def _log_files(client: docker.DockerClient, settings: Settings) -> Iterator[tuple[str, Path]]:
    """Name and current file of each container whose lines are brought."""
    chosen = settings.containers_brought
    for container in client.containers.list(all=True, ignore_removed=True):
        name, path = str(container.name), container.attrs["LogPath"]
        if chosen.takes(name) and container.attrs["HostConfig"]["LogConfig"]["Type"] == "json-file" and path:
            yield name, Path(path)


def _lost(store: _Store, name: str, path: Path, windows: Sequence[tuple[str, str]]) -> list[Line]:
    """What the store does not have of a container's lines within these times, in order, each once; its files are read once."""
    lines = [line for line in _lines(path) if any(begin <= line.time <= end for begin, end in windows)]
    found: dict[str, Line] = {}
    for begin, end in windows:
        if within := [line for line in lines if begin <= line.time <= end]:
            lost = missing(within, store.times(name, begin, end), lambda time: store.text(name, time))
            found.update((line.time, line) for line in lost)
    return [found[time] for time in sorted(found)]


def _lines(path: Path) -> Iterator[Line]:
    """Lines of a container's files, the oldest first."""
    rotated = sorted(path.parent.glob(f"{path.name}.*[0-9]"), key=lambda file: -int(file.suffix[1:]))
    for file in [*rotated, path]:
        try:
            entries = file.open("rb")
        except FileNotFoundError:  # rotated or removed meanwhile
            continue
        with entries:
            for entry in entries:
                try:
                    fields = json.loads(entry)
                    yield Line(_normal(fields["time"]), fields["log"], entry)
                except (ValueError, KeyError, TypeError):
                    continue  # torn by a crash; the collector has brought it as it is


def _place(folder: Path, lost: Lost, owner: int) -> Path:
    """Write lines where the collector looks, in Docker's layout; at once, so that it never reads half of a file."""
    target = folder / lost.id
    for path in (folder, target):
        path.mkdir(mode=0o750, exist_ok=True)
        os.chown(path, owner, owner)
    file = target / f"{time.time_ns()}-json.log"
    draft = file.with_suffix(".draft")
    draft.write_bytes(b"".join(line.entry for line in lost.lines))
    os.chown(draft, owner, owner)
    draft.rename(file)
    return file


def _wait(store: _Store, lost: Sequence[Lost]) -> list[Brought]:
    """Wait until all is stored, or nothing more is to be expected."""
    deadline = time.monotonic() + STORED_WITHIN_SECONDS
    while True:
        found = [
            Brought(
                one.container, len(one.lines), len(store.times(one.container, one.times[0], one.times[-1]) & set(one.times))
            )
            for one in lost
        ]
        if all(one.stored == one.lines for one in found) or time.monotonic() > deadline:
            break
        time.sleep(1)
    if found and not any(one.stored for one in found):
        raise Failed(
            f"none of {sum(one.lines for one in found)} lines was stored within {STORED_WITHIN_SECONDS} s; see whether the "
            "collector is healthy (`make status`), then run this again"
        )
    return found


def _settle(lives: Sequence[_Life], say: Callable[[str], None]) -> None:
    """Wait until what was on its way when both had begun has arrived."""
    age_seconds = (dt.datetime.now(dt.UTC) - max(life.began for life in lives)).total_seconds()
    if (left_seconds := SETTLED_AFTER_SECONDS - age_seconds) > 0:
        say(f"waiting {left_seconds:.0f} s for what the collector still has")
        time.sleep(left_seconds)


@dataclass(frozen=True)
class _Life:
    """When a component's container last ended, if it did, when it began since, and where it answers."""

    component: Component
    ended: dt.datetime | None
    began: dt.datetime
    address: str

    @classmethod
    def of(cls, client: docker.DockerClient, settings: Settings, component: Component) -> _Life:
        try:
            actual = client.api.inspect_container(settings.container_name(component))
            address = health.address(actual, component, next(iter(component.ports)))
        except NotFound:
            address = None
        if address is None:
            raise Refused(f"{component.name} does not run; `make up STACK={settings.stack}` starts it")
        state = actual["State"]
        ended = None if state["FinishedAt"].startswith(NEVER) else _moment(state["FinishedAt"])
        return cls(component, ended, _moment(state["StartedAt"]), address)


class _Store:
    """The stack's VictoriaLogs, asked at its own address."""

    def __init__(self, life: _Life) -> None:
        self._url = f"{life.address}/select/logsql/query"
        self._session = requests.Session()
        self._session.trust_env = False  # never by a proxy

    def times(self, container: str, begin: str, end: str) -> set[str]:
        """Times of a container's records, both ends included."""
        return {_normal(row["_time"]) for row in self._rows(container, begin, end, "_time")}

    def text(self, container: str, time: str) -> str:
        """What the records of one time say, and of what else they are made."""
        return "\n".join("\n".join(map(str, row.values())) for row in self._rows(container, time, time, "*"))

    def _rows(self, container: str, begin: str, end: str, fields: str) -> list[dict[str, Any]]:
        query = f"_time:[{begin}, {end}] source:=container container_name:={json.dumps(container)} | fields {fields}"
        try:
            answer = self._session.post(self._url, {"query": query}, timeout=QUERY_SECONDS)
            answer.raise_for_status()
        except requests.RequestException as error:
            raise Failed(f"the log store did not answer a query: {error}") from error
        return [json.loads(line) for line in answer.iter_lines()]


def _moment(time: str) -> dt.datetime:
    """A time of Docker's, to the second, upwards."""
    return dt.datetime.fromisoformat(f"{time[:19]}+00:00") + dt.timedelta(seconds=1)


def _normal(time: str) -> str:
    """A time with all nine digits, so that texts sort as times do."""
    whole, _, fraction = time.removesuffix("Z").partition(".")
    return f"{whole}.{fraction:0<9}Z"


def _stamp(time: dt.datetime) -> str:
    return _normal(time.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
