"""Lines of a container, counted at both ends: a generator that numbers what it prints, and a count of what is stored."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import time
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
from infra.health import answers
from infra.service import LOG_OPTIONS
from supply import images

# Paced by the clock, so that a slow moment is caught up. It ends by itself.
GENERATOR = """
import json, sys, time
run, rate, lines, padding = sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), "x" * int(sys.argv[4])
begun = time.monotonic()
for seq in range(1, lines + 1):
    while (ahead := begun + seq / rate - time.monotonic()) > 0:
        time.sleep(min(ahead, 0.01) if rate > 1000 else ahead)
    record = {"run_id": run, "seq": seq, "level": "INFO", "message": "order submitted", "written_ns": time.time_ns()}
    sys.stdout.write(json.dumps(record | ({"padding": padding} if padding else {})) + "\\n")
    if rate <= 1000 or seq % 100 == 0:
        sys.stdout.flush()
"""
SECONDS_WITHOUT_PROGRESS = 30


@dataclass(frozen=True)
class Counted:
    """What became of the lines 1 … ``written`` of a run."""

    written: int
    total: int
    unique: int
    gaps: list[tuple[int, int]]
    """First and last number of each run of missing lines; the first ten."""

    @property
    def lost(self) -> int:
        """Lines that are not stored."""
        return self.written - self.unique

    @property
    def repeated(self) -> int:
        """Records beyond the first of a line."""
        return self.total - self.unique

    def __str__(self) -> str:
        return f"{self.written} written, {self.lost} lost, {self.repeated} repeated" + (
            f", gaps {self.gaps}" if self.gaps else ""
        )


class Store:
    """Queries of VictoriaLogs."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, query: str, *, seconds: float = 30) -> list[dict[str, Any]]:
        """Rows of a LogsQL query.

        Raises:
            OSError: the store refuses it, or does not answer.
        """
        body = urllib.parse.urlencode({"query": query}).encode()
        with urllib.request.urlopen(f"{self.url}/select/logsql/query", body, timeout=seconds) as answer:
            return [json.loads(line) for line in answer.read().splitlines()]

    def rows(self, query: str, *, seconds: float = 30) -> list[dict[str, Any]]:
        """Rows of a LogsQL query; none while the store does not answer."""
        try:
            return self.ask(query, seconds=seconds)
        except OSError:
            return []

    def count(self, run: str, written: int) -> Counted:
        """Count a run. Its gaps are looked for only when something is missing."""
        found = self.rows(f'run_id:="{run}" | stats count() as total, count_uniq(seq) as unique, max(seq) as newest')
        total, unique = (int(found[0][name]) for name in ("total", "unique")) if found else (0, 0)
        return Counted(written, total, unique, self._gaps(run, written) if 0 < unique < written else [])

    def _gaps(self, run: str, written: int) -> list[tuple[int, int]]:
        rows = self.rows(f'run_id:="{run}" | uniq by (seq)', seconds=60)
        stored = sorted({int(row["seq"]) for row in rows} | {0, written + 1})
        return [(before + 1, after - 1) for before, after in itertools.pairwise(stored) if after - before > 1][:10]

    def settled(self, run: str, written: int) -> Counted:
        """Count a run once everything is there, or nothing more has come for a while."""
        best, since = Counted(written, 0, 0, []), time.monotonic()
        while time.monotonic() - since < SECONDS_WITHOUT_PROGRESS:
            found = self.count(run, written)
            if found.total > best.total:
                best, since = found, time.monotonic()
            if found.unique == written:
                time.sleep(2)  # a repetition may be on its way
                return self.count(run, written)
            time.sleep(1)
        return self.count(run, written)


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


@contextmanager
def log_store(client: docker.DockerClient, *options: str) -> Iterator[Store]:
    """A VictoriaLogs that answers, with its data in memory, on Docker's default network."""
    component = catalogue()["victorialogs"]
    container = client.containers.run(
        images.ensure(component, "packages", client, print).reference,
        [f"-storageDataPath={component.data}", *options],
        user="0",
        detach=True,
        tmpfs={component.data: "size=64m"},
    )
    try:
        assert component.probe.http
        deadline = time.monotonic() + component.probe.start_seconds
        while not answers(container.attrs, component, component.probe.http):
            assert time.monotonic() < deadline, container.logs().decode()
            time.sleep(0.2)
            container.reload()
        address = container.attrs["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
        yield Store(f"http://{address}:{component.ports['http'].container}")
    finally:
        container.remove(force=True, v=True)


@contextmanager
def generator(
    client: docker.DockerClient,
    name: str,
    run: str,
    *,
    rate: float,
    lines: int,
    padding: int = 0,
    script: str = GENERATOR,
    file_mb: int = 0,
) -> Iterator[Container]:
    """A container that prints ``lines`` numbered lines at ``rate`` a second, with the log options of a service.

    ``padding`` are characters added to each line, which has about 130 without; ``script`` prints something else; ``file_mb`` is
    the size at which Docker begins a new file, in place of a service's.
    """
    container = client.containers.run(
        images.ensure(catalogue()["trader"], "packages", client, print).reference,
        ["-c", script, run, str(rate), str(lines), str(padding)],
        entrypoint=["python3"],
        name=name,
        detach=True,
        network_mode="none",
        mem_limit="128m",
        log_config=docker.types.LogConfig(
            type="json-file", config=LOG_OPTIONS | ({"max-size": f"{file_mb}m"} if file_mb else {})
        ),
    )
    try:
        yield container
    finally:
        container.remove(force=True)


def usage(container: Container) -> tuple[float, int]:
    """Processor seconds since the start and resident bytes of a container's processes."""
    pid = container.attrs["State"]["Pid"]
    cpu, rss = 0.0, 0
    for task in [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]:
        fields = Path(f"/proc/{task}/stat").read_text().rpartition(")")[2].split()
        cpu += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        rss += int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
    return cpu, rss
