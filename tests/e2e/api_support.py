"""A VictoriaLogs with planted records, and the API in front of it, for the tests of the log API."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import requests

from crowsnest.api.logs import moments
from infra.catalogue import PROJECT_ROOT, catalogue
from infra.health import answers
from infra.pipelines.logs import CONCURRENT_QUERIES, FLUSH_INTERVAL_SECONDS
from supply import images

PREFIX = "cnapi-"
ADMIN_PASSWORD = "an-admin's-password-for-tests"
STREAM_FIELDS = "strategy_id,source,level,container_name"
Record = dict[str, Any]


@dataclass
class Store:
    """One VictoriaLogs."""

    url: str
    container: Any = None

    def insert(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Insert records, which are found when this returns."""
        before = self.count()
        sent = self.send(records)
        deadline = time.monotonic() + 20
        while self.count() < before + sent:
            assert time.monotonic() < deadline, f"{self.count()} of {before + sent} records found"
            time.sleep(0.1)

    def send(self, records: Iterable[Mapping[str, Any]]) -> int:
        """Insert records, which are found a second later; how many they are."""
        lines = [json.dumps(record) for record in records]
        request = urllib.request.Request(
            f"{self.url}/insert/jsonline?_stream_fields={STREAM_FIELDS}",
            "\n".join(lines).encode(),
            {"Content-Type": "application/stream+json"},
        )
        urllib.request.urlopen(request, timeout=30).close()
        return len(lines)

    def count(self) -> int:
        """Records whose stream is known, too: for a second after a new stream began they are counted and not shown."""
        answer = requests.post(f"{self.url}/select/logsql/query", {"query": "* | stats count(_stream) n"}, timeout=10)
        return int(json.loads(answer.text)["n"])

    def metric(self, name: str) -> int:
        """Value of a metric, named with its labels."""
        for line in requests.get(f"{self.url}/metrics", timeout=10).text.splitlines():
            if line.startswith(f"{name} "):
                return int(float(line.split()[1]))
        raise AssertionError(f"no metric {name}")


@contextmanager
def running_store() -> Iterator[Store]:
    """A VictoriaLogs in a container of its own that keeps two years."""
    component, client = catalogue()["victorialogs"], docker.from_env()
    container = client.containers.run(
        images.packages_reference(component),
        [
            "-storageDataPath=/tmp/data",
            "-retentionPeriod=2y",
            f"-inmemoryDataFlushInterval={FLUSH_INTERVAL_SECONDS}s",
            f"-search.maxConcurrentRequests={CONCURRENT_QUERIES}",
        ],
        name=f"{PREFIX}store-{os.getpid()}-{time.monotonic_ns() % 10**6}",
        user="0",
        detach=True,
        tmpfs={"/tmp": "size=512m"},
    )
    try:
        assert component.probe.http
        deadline = time.monotonic() + component.probe.start_seconds
        while not answers(container.attrs, component, component.probe.http):
            assert time.monotonic() < deadline, container.logs().decode()
            time.sleep(0.2)
            container.reload()
        address = container.attrs["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
        yield Store(f"http://{address}:{component.ports['http'].container}", container)
    finally:
        container.remove(force=True, v=True)
        client.close()


@dataclass
class Api:
    """One running API, and its command line."""

    url: str
    environment: dict[str, str]
    process: subprocess.Popen[bytes]
    database: Path
    sessions: dict[str, Session] = field(default_factory=dict)

    def cli(self, *arguments: str, stdin: str = "", expect: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "crowsnest.api", *arguments],
            env=self.environment, input=stdin, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == expect, done.stdout + done.stderr
        return done.stdout + done.stderr

    def add_user(self, name: str, *options: str, password: str = "a long enough password") -> Session:
        self.cli("users", "add", name, "--password-file", "-", *options, stdin=f"{password}\n")
        return self.login(name, password)

    def login(self, name: str = "admin", password: str = ADMIN_PASSWORD) -> Session:
        session = Session(self.url)
        answer = session.post("/api/auth/login", json={"username": name, "password": password})
        assert answer.status_code == 200, answer.text
        session.csrf = answer.json()["csrf_token"]
        return session

    def stop(self) -> float:
        """Ask it to end; the seconds that took."""
        begun = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=30)
        return time.monotonic() - begun


class Session:
    """Somebody with a cookie jar."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = requests.Session()
        self.http.trust_env = False
        self.csrf = ""

    @property
    def cookie(self) -> str:
        return self.http.cookies["crowsnest_session"]

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        headers = options.pop("headers", {"X-CSRF-Token": self.csrf} if self.csrf else {})
        return self.http.request(method, self.url + path, headers=headers, timeout=options.pop("timeout", 30), **options)

    def get(self, path: str, /, **parameters: Any) -> requests.Response:
        return self.request("GET", path, params=parameters)

    def post(self, path: str, **options: Any) -> requests.Response:
        return self.request("POST", path, **options)

    def rows(self, **parameters: Any) -> list[Record]:
        answer = self.get("/api/logs/query", **parameters)
        assert answer.status_code == 200, answer.text
        rows: list[Record] = answer.json()["rows"]
        return rows


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def running_api(folder: Path, store_url: str, **settings: str) -> Iterator[Api]:
    """The API in a process of its own, as in its container."""
    folder.mkdir(parents=True, exist_ok=True)
    password = folder / "admin-password"
    password.write_text(ADMIN_PASSWORD)
    port = free_port()
    environment = {
        **os.environ,
        "PYTHONPATH": f"{PROJECT_ROOT / 'src'}:{os.environ.get('PYTHONPATH', '')}",
        "VICTORIALOGS_URL": store_url,
        "CROWSNEST_API_PORT": str(port),
        "CROWSNEST_API_DATABASE": str(folder / "api.sqlite3"),
        "CROWSNEST_API_ADMIN_PASSWORD_FILE": str(password),
        **settings,
    }
    with (folder / "api.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "crowsnest.api", "serve"], env=environment, stdout=log, stderr=log)
    api = Api(f"http://127.0.0.1:{port}", environment, process, folder / "api.sqlite3")
    try:
        wait_until(lambda: _answers(f"{api.url}/api/health") or process.poll() is not None, 120)
        assert process.poll() is None, (folder / "api.log").read_text()
        yield api
    finally:
        if process.poll() is None:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)
        if process.poll() is None:
            process.kill()


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=1).ok
    except requests.RequestException:
        return False


def wait_until(condition: Callable[[], object], seconds: float, step: float = 0.05) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(step)


def ago(seconds: float, extra_ns: int = 0) -> str:
    return moments.text(time.time_ns() - int(seconds * 1e9) + extra_ns)


def said(strategy: str | None, text: str, seconds_ago: float, level: str = "INFO", extra_ns: int = 0, **fields: Any) -> Record:
    """A record as the library writes it."""
    record = {"_time": ago(seconds_ago, extra_ns), "_msg": text, "level": level, **fields}
    record["source"] = "strategy" if strategy else fields.get("source", "system")
    if strategy:
        record["strategy_id"] = strategy
    return record


def markdown(rows: list[tuple[str, ...]]) -> str:
    """Rows as a table, the first is the head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])
