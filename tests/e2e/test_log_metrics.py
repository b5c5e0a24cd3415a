"""The trader's log files to Loki and Mimir, with the real pipeline: what a line becomes, and what is lost or doubled by event.

docs/delivery.md has the table. Short by default; CROWSNEST_DELIVERY=full: outages of the length that the table names.
"""

from __future__ import annotations

import itertools
import os
import re
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest

from infra.catalogue import catalogue
from tests.figures import figure
from tests.trader.lines import COUNTER, PREFIX, REFUSED, Line, Series, expected, lines, trader_line

from .conftest import StackUnderTest
from .delivery import usage
from .trader_logs import BASE, NS, Counted, Loki, Mimir, Writer, selector, settled

pytestmark = [pytest.mark.docker, pytest.mark.stack, pytest.mark.timeout(1800)]

FULL = os.environ.get("CROWSNEST_DELIVERY") == "full"
READER = "alloy-trader"
SCRAPE_SECONDS = 2
RATE = 200  # lines a second while something breaks
# What was read since Alloy last wrote how far it was: at most this is repeated after a kill.
POSITION_SECONDS = 11
SECONDS_TO_COME = 90
HOUR_IN_SECONDS = 60  # where an hour is compressed


@dataclass
class Way:
    """The stack, and how to do things to it."""

    stack: StackUnderTest
    client: docker.DockerClient

    @property
    def loki(self) -> Loki:
        return Loki(self.stack.url("loki.http"))

    @property
    def mimir(self) -> Mimir:
        return Mimir(self.stack.url("mimir.http"))

    @property
    def logs(self) -> Path:
        """The trader's folder of log files on this machine."""
        (folder,) = catalogue()[READER].reads.values()
        return self.stack.folder / "data" / self.stack.settings.name_prefix / folder

    @property
    def config(self) -> Path:
        """The reader's configuration on this machine."""
        return self.stack.folder / "config" / self.stack.settings.name_prefix / READER

    def container(self, component: str) -> docker.models.containers.Container:
        return self.client.containers.get(self.stack.container(component))

    def kill(self, component: str) -> None:
        """SIGKILL to its first process, as the kernel would; Docker starts it again."""
        os.kill(self.container(component).attrs["State"]["Pid"], signal.SIGKILL)

    def restart(self, component: str) -> None:
        self.container(component).restart()

    def reload(self) -> None:
        """Have Alloy read its configuration anew; it answers 200 when it could."""
        request = urllib.request.Request(f"{self.stack.url(f'{READER}.http')}/-/reload", method="POST")
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.status == 200

    @contextmanager
    def away(self, component: str) -> Iterator[None]:
        container = self.container(component)
        container.stop()
        try:
            yield
        finally:
            container.start()

    def own_metrics(self) -> str:
        """What the reader's Alloy shows of itself; empty while it does not answer."""
        try:
            with urllib.request.urlopen(f"{self.stack.url(f'{READER}.http')}/metrics", timeout=10) as answer:
                return answer.read().decode()
        except OSError:
            return ""

    def count(self, run: str, event: Callable[[], object], *, seconds: int, rate: float = RATE, **options: int) -> Counted:
        """Write lines for some seconds, do something to the way a third in, and count what is stored."""
        strategy = re.sub(r"\W", "_", run)
        writer = Writer(self.logs, strategy, rate=rate, lines=int(rate * seconds), **options)
        writer.announce()
        wait_for(lambda: self.mimir.value(selector(strategy)) == BASE, f"{strategy} to begin in Mimir")
        writer.start()
        time.sleep(seconds / 3)
        event()
        writer.wait()
        found = settled(self.loki, self.mimir, writer)
        figure(f"log metrics, {run}", found)
        for file in writer.files:
            file.unlink()
        return found


def wait_for(condition: Callable[[], object], what: str, seconds: float = SECONDS_TO_COME) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited for {what}"
        time.sleep(0.5)


def shown(text: str) -> dict[Series, float]:
    """The metrics made from lines, out of what an Alloy shows, without the names of its parts."""
    found: dict[Series, float] = {}
    for line in text.splitlines():
        if not line.startswith(PREFIX):
            continue
        name, labels, value = re.fullmatch(r"(\w+)\{(.*)\} (\S+)", line).groups()
        pairs = frozenset(pair for pair in re.findall(r'(\w+)="([^"]*)"', labels) if not pair[0].startswith("component_"))
        found[name, pairs] = float(value)
    return found


@pytest.fixture(scope="module")
def way(make_stack: Callable[..., StackUnderTest], client: docker.DockerClient) -> Iterator[Way]:
    stack = make_stack(
        "log-metrics",
        {
            "name_prefix": "cn9b",
            "port_offset": 33000,
            "supply": "packages",
            "pipelines": {"log_metrics": {"scrape_seconds": SCRAPE_SECONDS}},
            "publish": ["loki.http", "mimir.http", f"{READER}.http"],
        },
    )
    stack.configure()
    stack.up()
    yield Way(stack, client)
    stack.run("down")


@pytest.fixture(scope="module")
def table(way: Way) -> dict[str, list[dict[str, str]]]:
    """The labels in Loki by text, once the whole table has been read."""
    begun = time.time_ns()
    (way.logs / "table.json").write_text("".join(f"{line.text}\n" for line in lines()), encoding="utf-8")
    wait_for(lambda: len(way.loki.streams('{component="trader"}', begun)) >= len(lines()), "the table's lines in Loki")
    wait_for(lambda: shown(way.own_metrics()) == expected(), "the table's metrics")
    time.sleep(3)  # one too many would come now
    found: dict[str, list[dict[str, str]]] = {}
    for labels, _, text in way.loki.streams('{component="trader"}', begun):
        found.setdefault(text, []).append(labels)
    return found


@pytest.mark.parametrize("line", [pytest.param(line, id=line.name) for line in lines()])
def test_a_line_is_in_loki_once_with_its_labels_and_no_other(table: dict[str, list[dict[str, str]]], line: Line):
    assert table.get(line.text) == [{"component": "trader"} | line.labels]


def test_nothing_else_is_in_loki(table: dict[str, list[dict[str, str]]]):
    assert set(table) == {line.text for line in lines()}


def test_metric_lines_are_metrics_under_the_names_of_the_source(way: Way, table: dict[str, list[dict[str, str]]]):
    assert shown(way.own_metrics()) == expected()
    assert {name.removeprefix("loki_process_custom_") for name, _ in expected()} == {
        "nautilus_latency_us", "nautilus_metrics_this_run_total", "nautilus_metric_lines_total",
    }  # fmt: skip


def test_metrics_are_in_mimir_with_the_same_values(way: Way, table: dict[str, list[dict[str, str]]]):
    def stored() -> dict[Series, float]:
        found = way.mimir.query(f'{{__name__=~"{PREFIX}.*"}}')
        own = {"__name__", "job", "instance"}
        assert {one["metric"]["job"] for one in found} <= {READER}
        return {
            (one["metric"]["__name__"], frozenset(pair for pair in one["metric"].items() if pair[0] not in own)): float(
                one["value"][1]
            )
            for one in found
        }

    wait_for(lambda: stored() == expected(), "the table's metrics in Mimir")


def test_what_could_not_be_taken_is_counted(way: Way, table: dict[str, list[dict[str, str]]]):
    wait_for(lambda: way.mimir.value(REFUSED) == sum(line.refused for line in lines()), "the refused lines in Mimir")


def test_own_metrics_of_alloy_are_in_mimir(way: Way):
    wait_for(lambda: way.mimir.value(f'up{{job="{READER}"}}') == 1, "Alloy's own health")
    assert (way.mimir.value("count(loki_source_file_read_lines_total)") or 0) >= 2


def test_nobody_of_the_pipeline_runs_as_root_or_writes_elsewhere(way: Way):
    for name in ("mimir", "loki", READER):
        attributes = way.container(name).attrs
        assert attributes["Config"]["User"] == f"{catalogue()[name].uid}:{catalogue()[name].uid}"
        assert attributes["HostConfig"]["ReadonlyRootfs"]
        assert attributes["HostConfig"]["CapDrop"] == ["ALL"]
        assert not attributes["HostConfig"]["CapAdd"]
    mounts = {mount["Destination"]: mount for mount in way.container(READER).attrs["Mounts"]}
    assert mounts["/var/log/trader"]["RW"] is False


def test_retention_is_what_the_stack_says(way: Way):
    with urllib.request.urlopen(f"{way.loki.url}/config", timeout=30) as answer:
        loki = answer.read().decode()
    assert re.search(r"^ +retention_period: (14d|2w)$", loki, re.MULTILINE)
    assert re.search(r"^ +retention_enabled: true$", loki, re.MULTILINE)
    with urllib.request.urlopen(f"{way.mimir.url}/config", timeout=30) as answer:
        mimir = answer.read().decode()
    assert re.search(r"^ +compactor_blocks_retention_period: (30d|4w2d)$", mimir, re.MULTILINE)


def test_every_line_is_in_loki_once_and_the_counter_is_their_number(way: Way):
    found = way.count("quiet", lambda: None, seconds=20)

    assert (found.lost, found.repeated) == (0, 0)
    assert found.grown == found.written
    assert abs(found.increase - found.written) <= RATE * SCRAPE_SECONDS * 2


def test_rotation_while_reading(way: Way):
    """1,000 lines a second: a file of 256 kB lasts less than a second."""
    found = way.count("rotation", lambda: None, seconds=20, rate=1000, file_bytes=2**18)

    assert (found.lost, found.repeated) == (0, 0)
    assert found.grown == found.written


def test_reader_restarted(way: Way):
    """The counter begins anew; `increase()` knows, and misses what was counted since the last sample that was sent.

    Alloy 1.0 ends by being killed (docs/delivery.md): what is in flight then is lost, from the lines and from the counter.
    """
    found = way.count("reader-restarted", lambda: way.restart(READER), seconds=30)

    assert found.lost <= RATE
    assert found.repeated <= RATE * POSITION_SECONDS
    assert found.written - found.grown <= RATE * POSITION_SECONDS


def test_reader_killed(way: Way):
    """What was read since the last position is read again, and so counted twice."""
    found = way.count("reader-killed", lambda: way.kill(READER), seconds=30)

    assert found.lost == 0
    assert found.repeated <= RATE * POSITION_SECONDS
    assert -RATE * SCRAPE_SECONDS * 2 <= found.grown - found.written <= RATE * POSITION_SECONDS


@pytest.mark.xfail(strict=True, reason="Alloy 1.0 keeps the old collectors beside the new ones; nothing here reloads it")
def test_reader_reloaded(way: Way):
    """A reload of an unchanged configuration: lines go on, but /metrics answers 500 from the next increment on."""
    try:
        found = way.count("reader-reloaded", way.reload, seconds=20)
    finally:
        way.restart(READER)

    assert (found.lost, found.repeated) == (0, 0)
    assert found.grown == found.written


def test_mimir_killed(way: Way):
    found = way.count("mimir-killed", lambda: way.kill("mimir"), seconds=40)

    assert (found.lost, found.repeated) == (0, 0)
    assert found.grown == found.written


def test_loki_killed(way: Way):
    """What Loki has acknowledged is in its write-ahead log."""
    found = way.count("loki-killed", lambda: way.kill("loki"), seconds=40)

    assert found.lost == 0
    assert found.repeated <= RATE * SCRAPE_SECONDS * 2
    assert found.grown == found.written


def test_mimir_away_for_an_hour_of_sixty_seconds(way: Way):
    """The write-ahead log's times and the outage, both divided by sixty: no sample is missing."""
    file = way.config / "config.alloy"
    before = file.read_text(encoding="utf-8")
    compressed = {"2h": "2m", "5m": "5s", "8h": "8m"}
    text = re.sub(r'(_frequency|keepalive_time)( *= )"(\w+)"', lambda m: f'{m[1]}{m[2]}"{compressed[m[3]]}"', before)
    assert text != before
    file.write_text(text, encoding="utf-8")
    way.restart(READER)

    def event() -> None:
        with way.away("mimir"):
            time.sleep(HOUR_IN_SECONDS)

    try:
        begun = time.time()
        found = way.count("mimir-away-compressed-hour", event, seconds=HOUR_IN_SECONDS * 2, rate=50)
        up = way.mimir.samples(f'up{{job="{READER}"}}', time.time() - begun - 5)
    finally:
        file.write_text(before, encoding="utf-8")
        way.restart(READER)

    assert (found.lost, found.repeated) == (0, 0)
    assert found.grown == found.written
    assert max(after - before for (before, _), (after, _) in itertools.pairwise(up)) < 2 * SCRAPE_SECONDS + 1


def test_loki_away(way: Way):
    """Lines wait in the trader's files; the metrics go on, since they have a reader of their own."""
    seconds = 600 if FULL else 30
    during: list[float | None] = []

    def event() -> None:
        with way.away("loki"):
            time.sleep(seconds)
            during.append(way.mimir.value(selector(f"loki_away_{seconds}_s")))

    found = way.count(f"loki-away-{seconds}-s", event, seconds=seconds * 2, rate=50)

    assert (found.lost, found.repeated) == (0, 0)
    assert found.grown == found.written
    figure("log metrics, counter while Loki is away", during[0])
    assert (during[0] or 0) - BASE > 50 * seconds


def test_reader_killed_while_loki_is_away(way: Way):
    """What it holds in memory and has counted as read."""

    def event() -> None:
        with way.away("loki"):
            time.sleep(15)
            way.kill(READER)
            time.sleep(5)

    found = way.count("reader-killed-loki-away", event, seconds=60)

    assert found.repeated <= RATE * POSITION_SECONDS
    assert found.lost <= RATE * POSITION_SECONDS


def test_reader_killed_while_mimir_is_away(way: Way):
    """What was not sent is on the disk, and the next Alloy does not send it: what was counted before the kill is missing."""

    def event() -> None:
        with way.away("mimir"):
            time.sleep(15)
            way.kill(READER)
            time.sleep(10)

    found = way.count("reader-killed-mimir-away", event, seconds=60)

    assert found.lost == 0
    assert found.written - found.grown <= RATE * 20


def test_no_line_stops_the_way(way: Way):
    """A line of a megabyte, bytes that are no text, a hundred levels: all are stored, the long one cut."""
    start = b'{"component": "odd", "message": "'
    odd = [
        start + b"m" * 1_000_000 + b'"}',
        b"odd \xff\xfe\x01 bytes",
        start + b'deep", "a": ' + b'{"a":' * 100 + b"1" + b"}" * 101,
        start + b'"',
        trader_line("last", component="odd").encode(),
    ]
    begun = time.time_ns() - NS
    (way.logs / "odd.json").write_bytes(b"\n".join(odd) + b"\n")
    wait_for(lambda: any('"last"' in line for _, _, line in way.loki.streams('{component="trader"}', begun)), "the last line")
    time.sleep(2)
    found = [line for _, _, line in way.loki.streams('{component="trader"}', begun) if "odd" in line]
    figure("log metrics, odd lines: stored of written, longest", f"{len(found)} of {len(odd)}, {max(map(len, found))}")
    assert len(found) == len(odd)


def test_latency_and_cost_at_rest(way: Way):
    """At 10 lines a second: from the line to Loki and to Mimir, and what each part takes."""
    before = {name: usage(way.container(name)) for name in ("mimir", "loki", READER)}
    begun = time.time()
    found = way.count("rest", lambda: None, seconds=30, rate=10)
    for name, (cpu_before, _) in before.items():
        cpu, memory = usage(way.container(name))
        figure(
            f"log metrics, {name} at 10 lines/s: CPU %, memory MB",
            f"{(cpu - cpu_before) / (time.time() - begun) * 100:.1f}, {memory / 1e6:.0f}",
        )
    assert found.grown == found.written


def test_reader_restarted_while_loki_is_away(way: Way):
    """It ends without having sent what it holds: as a kill."""

    def event() -> None:
        with way.away("loki"):
            time.sleep(10)
            way.restart(READER)
            time.sleep(5)

    found = way.count("reader-restarted-loki-away", event, seconds=60)

    assert found.lost <= RATE * POSITION_SECONDS


def test_down_and_up(way: Way):
    def event() -> None:
        way.stack.run("down")
        way.stack.up()

    found = way.count("down-and-up", event, seconds=90, rate=50)

    assert found.lost == 0
    assert found.repeated <= 50 * POSITION_SECONDS
    assert COUNTER in way.own_metrics()


@pytest.mark.xfail(
    strict=True, reason="without Docker's socket and the host's control groups Alloy's exporter sees itself alone"
)
def test_metrics_of_containers_are_in_mimir(make_stack: Callable[..., StackUnderTest]):
    """By the exporter that can be built here; cAdvisor's would come by the same way, from another address."""
    stack = make_stack(
        "container-metrics",
        {
            "name_prefix": "cn9b-containers",
            "port_offset": 33400,
            "supply": "packages",
            "pipelines": {"metrics": {"containers": "alloy"}, "log_metrics": None},
            "publish": ["mimir.http"],
        },
    )
    stack.configure()
    stack.up()
    mimir = Mimir(stack.url("mimir.http"))

    wait_for(lambda: (mimir.value('count(container_memory_working_set_bytes{job="containers"})') or 0) > 2, "containers")
    assert mimir.value('up{job="containers",component="alloy"}') == 1
    stack.run("down")
