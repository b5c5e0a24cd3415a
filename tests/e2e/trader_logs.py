"""The trader's log files, counted at three ends: what is written, what Loki has, and what Mimir's counters say."""

from __future__ import annotations

import itertools
import json
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.trader.lines import COUNTER, metric_message, trader_line

# Alloy ends only when it is killed, 15 s after it was told to, and sends nothing in its first 15 s.
SECONDS_WITHOUT_PROGRESS = 40
# What a counter has when a run begins: one that is younger than a pause of the reader hides its reset.
BASE = 1_000_000
PAGE = 5000  # Loki's own bound of a query's lines
NS = 10**9


def ask(url: str, parameters: dict[str, object] | None = None, *, seconds: float = 30) -> dict[str, Any]:
    """The JSON answer of a GET.

    Raises:
        OSError: it is refused, or not answered.
    """
    query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
    with urllib.request.urlopen(f"{url}{query}", timeout=seconds) as answer:
        return json.load(answer)


class Loki:
    """Queries of Loki."""

    def __init__(self, url: str) -> None:
        self.url = url

    def streams(self, selector: str, since_ns: int) -> list[tuple[dict[str, str], int, str]]:
        """Labels, time and text of every line since a moment; none while Loki does not answer."""
        found: list[tuple[dict[str, str], int, str]] = []
        seen: set[tuple[int, str]] = set()
        start = since_ns
        while page := self._page(selector, start):
            fresh = [entry for entry in page if (entry[1], entry[2]) not in seen]
            if not fresh:
                break
            found += fresh
            seen |= {(at, line) for _, at, line in fresh}
            start = max(at for _, at, _ in fresh)
        return found

    def _page(self, selector: str, start: int) -> list[tuple[dict[str, str], int, str]]:
        parameters = {"query": selector, "start": start, "end": time.time_ns() + NS, "limit": PAGE, "direction": "forward"}
        try:
            streams = ask(f"{self.url}/loki/api/v1/query_range", parameters)["data"]["result"]
        except OSError:
            return []
        return [(stream["stream"], int(at), line) for stream in streams for at, line, *_ in stream["values"]]

    def count(self, selector: str) -> int:
        """Lines of the last hour, also when these are too many to be fetched."""
        try:
            result = ask(f"{self.url}/loki/api/v1/query", {"query": f"sum(count_over_time({selector}[1h]))"})["data"]["result"]
        except OSError:
            return 0
        return int(result[0]["value"][1]) if result else 0


class Mimir:
    """Queries of Mimir."""

    def __init__(self, url: str) -> None:
        self.url = url

    def query(self, promql: str, *, at: float | None = None) -> list[dict[str, Any]]:
        """The result of an instant query.

        Raises:
            OSError: Mimir does not answer.
        """
        return list(
            ask(f"{self.url}/prometheus/api/v1/query", {"query": promql} | ({"time": at} if at else {}))["data"]["result"]
        )

    def value(self, promql: str, *, at: float | None = None) -> float | None:
        """The one value of an instant query; None where there is none, or Mimir does not answer."""
        try:
            found = self.query(promql, at=at)
        except OSError:
            return None
        return float(found[0]["value"][1]) if found else None

    def samples(self, selector: str, seconds: float, *, at: float | None = None) -> list[tuple[float, float]]:
        """Time and value of every sample of the one series that a selector names."""
        found = self.query(f"{selector}[{seconds:.0f}s]", at=at)
        assert len(found) <= 1, [series["metric"] for series in found]
        return [(float(moment), float(value)) for moment, value in found[0]["values"]] if found else []


def grown(samples: list[tuple[float, float]]) -> float:
    """What a counter grew by, from its samples: a value that is less than the one before is a reset."""
    values = [value for _, value in samples]
    return sum(after - before if after >= before else after for before, after in itertools.pairwise(values))


@dataclass(frozen=True)
class Counted:
    """What became of the lines 1 … ``written`` of a run."""

    written: int
    stored: int
    """Lines in Loki."""
    unique: int
    """Different lines in Loki."""
    increase: float
    """What Mimir's ``increase()`` says."""
    grown: float
    """The same without its extrapolation to the edges: the sum of the steps between samples."""

    @property
    def lost(self) -> int:
        """Lines that Loki has not."""
        return self.written - self.unique

    @property
    def repeated(self) -> int:
        """Lines that Loki has more than once."""
        return self.stored - self.unique

    def __str__(self) -> str:
        return (
            f"{self.written} written; Loki {self.lost} lost, {self.repeated} repeated; "
            f"increase() {self.increase - self.written:+.0f}, by steps {self.grown - self.written:+.0f}"
        )


class Writer:
    """Writes counter lines of one strategy as the engine does, in a thread: numbered by their timestamp, one increment each."""

    def __init__(self, folder: Path, strategy: str, *, rate: float, lines: int, file_bytes: int = 20 * 2**20) -> None:
        self.folder, self.strategy, self.rate, self.lines, self.file_bytes = folder, strategy, rate, lines, file_bytes
        self.begun_ns = time.time_ns()
        self.files: list[Path] = []
        self._thread = threading.Thread(target=self._write, daemon=True)

    def start(self) -> None:
        """Write on."""
        self.begun_ns = time.time_ns()
        self._thread.start()

    def wait(self) -> None:
        """Until the last line is written."""
        self._thread.join(timeout=self.lines / self.rate * 10 + 60)
        assert not self._thread.is_alive()

    def announce(self) -> None:
        """Begin the counter at ``BASE``, by a line in a file of its own."""
        self._next_file().write_text(self._line(0, value=BASE) + "\n", encoding="utf-8")

    def _next_file(self) -> Path:
        self.files.append(self.folder / f"CROWSNEST-001_{self.strategy}_{len(self.files):03}.json")
        return self.files[-1]

    def _line(self, number: int, *, value: int = 1) -> str:
        stamp = f"2001-05-01T20:00:00.{number:09}Z"
        message = metric_message("counter", "orders", value, self.strategy)
        return trader_line(message, component=f"EMACrossStrategy-{self.strategy}", timestamp=stamp)

    def _write(self) -> None:
        begun = time.monotonic()
        file = self._next_file().open("w", encoding="utf-8")
        for number in range(1, self.lines + 1):
            if (ahead := begun + number / self.rate - time.monotonic()) > 0:
                file.flush()
                time.sleep(ahead)
            if file.tell() > self.file_bytes:
                file.close()
                file = self._next_file().open("w", encoding="utf-8")
            file.write(self._line(number) + "\n")
        file.close()


def numbers(entries: list[tuple[dict[str, str], int, str]]) -> Iterator[int]:
    """The numbers of a writer's lines, without that of its announcement."""
    for _, _, line in entries:
        if number := int(json.loads(line)["timestamp"].partition(".")[2].rstrip("Z")):
            yield number


def selector(strategy: str) -> str:
    """The counter that a writer counts on."""
    return f'{COUNTER}{{metric_name="orders",strategy_id="{strategy}"}}'


def settled(loki: Loki, mimir: Mimir, writer: Writer) -> Counted:
    """Count a run once Loki and Mimir have everything, or nothing more has come for a while."""
    seconds = lambda: (time.time_ns() - writer.begun_ns) / NS + 8  # noqa: E731 - of the run, from a sample before it
    best, since = (-1, -1.0), time.monotonic()
    while time.monotonic() - since < SECONDS_WITHOUT_PROGRESS:
        try:
            now = loki.count(f'{{strategy_id="{writer.strategy}"}}'), grown(mimir.samples(selector(writer.strategy), seconds()))
        except OSError:
            now = best
        if now > best:
            best, since = now, time.monotonic()
        if now[0] > writer.lines and now[1] >= writer.lines:
            time.sleep(5)  # a repetition may be on its way
            break
        time.sleep(1)
    entries = loki.streams(f'{{strategy_id="{writer.strategy}"}}', writer.begun_ns - NS)
    found = list(numbers(entries))
    increase = mimir.value(f"increase({selector(writer.strategy)}[{seconds():.0f}s])")
    return Counted(
        writer.lines, len(found), len(set(found)), increase or 0, grown(mimir.samples(selector(writer.strategy), seconds()))
    )
