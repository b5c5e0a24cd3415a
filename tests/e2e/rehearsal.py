"""Alerts made to happen: a stack with short waits, a process whose metrics are what a test says, and a receiver that listens.

Nothing between the metric and the receiver is a stand-in: real metrics library, Prometheus, rules, Alertmanager and HTTP.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import docker

from crowsnest.metrics import (
    BROKER,
    DATABASE,
    FEED,
    MetricsServer,
    Readiness,
    TradingMetrics,
    init_metrics_exporter,
)
from infra.catalogue import catalogue
from infra.health import address
from infra.settings import Settings

COMPONENT = "rehearsal"
# The conditions last, and the groups wait, this long and no longer.
LONGEST_WAIT_SECONDS = 2
SCRAPE_SECONDS = 2
PATIENCE_SECONDS = 60


def gateway(client: docker.DockerClient) -> str:
    """The address of this machine that containers know as ``host-gateway``."""
    (config,) = client.networks.get("bridge").attrs["IPAM"]["Config"]
    return str(config["Gateway"])


class Receiver:
    """What a webhook receiver and a heartbeat receiver get from Alertmanager."""

    def __init__(self, host: str) -> None:
        self.messages: list[tuple[float, str, dict[str, Any]]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                receiver.messages.append((time.monotonic(), self.path, body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer((host, 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://{host}:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def alerts(self, name: str, status: str, path: str = "/desk", **labels: str) -> list[tuple[float, dict[str, Any]]]:
        """Alerts of a name that came with a status, with the time they came."""
        wanted = {"alertname": name, **labels}
        return [
            (at, alert)
            for at, where, body in list(self.messages)
            for alert in body["alerts"]
            if where == path and alert["status"] == status and wanted.items() <= alert["labels"].items()
        ]

    def wait(self, name: str, status: str, *, since: float, seconds: float = PATIENCE_SECONDS, **labels: str) -> float:
        """Seconds from `since` until an alert came."""
        while time.monotonic() - since < seconds:
            if found := [at for at, _ in self.alerts(name, status, **labels) if at >= since]:
                return found[0] - since
            time.sleep(0.1)
        raise AssertionError(f"{name} did not arrive as {status} within {seconds:.0f} s")

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class TradingProcess:
    """A process with all four vocabularies at ports of its own, well until it is told otherwise."""

    def __init__(self, host: str) -> None:
        self.readiness = Readiness(dict.fromkeys((BROKER, FEED, DATABASE), 3600.0))
        none = Readiness({})
        self.trading = TradingMetrics(readiness=self.readiness, environment="rehearsal")
        self.data = init_metrics_exporter("data_plane", readiness=none)
        self.orders = init_metrics_exporter("order_plane", readiness=none)
        self.strategy = init_metrics_exporter("strategy_plane", readiness=none)
        self.well()
        sources = (self.trading, self.data, self.orders, self.strategy)
        self.servers = [MetricsServer(source, 0, host=host) for source in sources]

    def targets(self) -> list[dict[str, Any]]:
        return [
            {
                "job": f"rehearsal_{server._metrics.plane}",
                "address": f"host.docker.internal:{server.port}",
                "labels": {"component": COMPONENT},
            }
            for server in self.servers
        ]

    def well(self) -> None:
        for dependency in (BROKER, FEED, DATABASE):
            self.readiness.report(dependency)
        self.trading.update_portfolio(equity_dollars=100_000, daily_pnl_pct=0.5, drawdown_pct=1)
        self.trading.set_pdt_trades_used(0)
        self.trading.set_circuit_breakers_tripped(0)
        self.trading.set_kill_switch(False)
        self.trading.set_vix(15)
        self.trading.update_model(accuracy=0.58, psi_drift=0.05)
        self.strategy.set("kill_switch_active", 0, switch_type="pnl")
        self.data.inc("validation_errors", 0, error_type="gap", symbol="SPY")

    def close(self) -> None:
        for server in self.servers:
            server.close()


@dataclass(frozen=True)
class Condition:
    """How an alert is made to happen, and how it ends."""

    source: str
    begin: Callable[[Rehearsal], object]
    end: Callable[[Rehearsal], object] = lambda rehearsal: rehearsal.process.well()
    labels: dict[str, str] = field(default_factory=lambda: {"component": COMPONENT})
    # Windows that an alert looks back over, when they are longer than its wait.
    resolves: bool = True


@dataclass
class Rehearsal:
    """One stack with what the conditions need."""

    client: docker.DockerClient
    settings: Settings
    process: TradingProcess
    receiver: Receiver

    def base(self, component: str) -> str:
        """Where this machine reaches a component, published or not."""
        entry = catalogue()[component]
        assert entry.probe.http
        actual = self.client.api.inspect_container(self.settings.container_name(entry))
        url = address(actual, entry, entry.probe.http.port)
        assert url, f"{component} does not run"
        return url

    def get(self, component: str, path: str, **query: str) -> Any:
        url = f"{self.base(component)}{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)

    def query(self, expression: str, **options: str) -> list[dict[str, Any]]:
        """Series of an instant query."""
        found: list[dict[str, Any]] = self.get("prometheus", "/api/v1/query", query=expression, **options)["data"]["result"]
        return found

    def value(self, expression: str) -> float:
        (series,) = self.query(expression)
        return float(series["value"][1])

    def container(self, component: str) -> Any:
        return self.client.containers.get(self.settings.container_name(catalogue()[component]))

    def until(self, holds: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS) -> float:
        begun = time.monotonic()
        while time.monotonic() - begun < seconds:
            try:
                if holds():
                    return time.monotonic() - begun
            except (OSError, ValueError, AssertionError):
                pass
            time.sleep(0.3)
        raise AssertionError(f"{what}: not within {seconds:.0f} s")

    def make_happen(self, name: str) -> tuple[float, float | None]:
        """Make an alert happen and end. Seconds until it arrived, and until its end did."""
        condition = CONDITIONS[name]
        begun = time.monotonic()
        condition.begin(self)
        try:
            arrived = self.receiver.wait(name, "firing", since=begun, **condition.labels)
        finally:
            ended = time.monotonic()
            condition.end(self)
        if not condition.resolves:
            return arrived, None
        return arrived, self.receiver.wait(name, "resolved", since=ended, **condition.labels)


def _portfolio(**values: float) -> Callable[[Rehearsal], object]:
    return lambda rehearsal: rehearsal.process.trading.update_portfolio(**values)  # type: ignore[arg-type]


def _down(dependency: str) -> Callable[[Rehearsal], object]:
    return lambda rehearsal: rehearsal.process.readiness.report(dependency, ok=False, detail="rehearsal")


def _stop(component: str) -> Callable[[Rehearsal], object]:
    return lambda rehearsal: rehearsal.container(component).stop()


def _start(component: str) -> Callable[[Rehearsal], object]:
    return lambda rehearsal: rehearsal.container(component).start()


CONDITIONS: dict[str, Condition] = {
    "HighErrorRate": Condition(
        "S5-58",
        lambda rehearsal: rehearsal.process.data.inc("validation_errors", 10_000, error_type="gap", symbol="SPY"),
        resolves=False,  # its window is 5 minutes
    ),
    "KillSwitchTriggered": Condition(
        "S5-59", lambda rehearsal: rehearsal.process.strategy.set("kill_switch_active", 1, switch_type="pnl")
    ),
    "KillSwitchActive": Condition("S3-37", lambda rehearsal: rehearsal.process.trading.set_kill_switch(True)),
    "CircuitBreakerTripped": Condition("S3-16", lambda rehearsal: rehearsal.process.trading.set_circuit_breakers_tripped(1)),
    "PDTWarning": Condition("S3-33", lambda rehearsal: rehearsal.process.trading.set_pdt_trades_used(2)),
    "PDTCritical": Condition("S3-33", lambda rehearsal: rehearsal.process.trading.set_pdt_trades_used(3)),
    "DrawdownWarning": Condition("S3-34", _portfolio(drawdown_pct=5.1)),
    "DrawdownCritical": Condition("S3-34", _portfolio(drawdown_pct=8.1)),
    "DrawdownBreaker": Condition("S3-34", _portfolio(drawdown_pct=10)),
    "DailyLossWarning": Condition("S3-35", _portfolio(daily_pnl_pct=-2.1)),
    "DailyLossCritical": Condition("S3-35", _portfolio(daily_pnl_pct=-2.6)),
    "DailyLossBreaker": Condition("S3-35", _portfolio(daily_pnl_pct=-3)),
    "ModelDriftWarning": Condition("S3-36", lambda rehearsal: rehearsal.process.trading.update_model(psi_drift=0.11)),
    "ModelDriftCritical": Condition("S3-36", lambda rehearsal: rehearsal.process.trading.update_model(psi_drift=0.21)),
    "BrokerDisconnected": Condition("S3-37", _down(BROKER)),
    "FeedDisconnected": Condition("S3-37", _down(FEED)),
    "VIXBreaker": Condition("S3-38", lambda rehearsal: rehearsal.process.trading.set_vix(38.5)),
    "DependencyDown": Condition("S3-02", _down(DATABASE)),
    "PostgreSQLDown": Condition("S3-02", _stop("postgresql"), _start("postgresql"), {"component": "postgres-exporter"}),
    "RedisDown": Condition("S3-02", _stop("redis"), _start("redis"), {"component": "redis-exporter"}),
    "TargetDown": Condition("beyond", _stop("node-exporter"), _start("node-exporter"), {"component": "node-exporter"}),
    "ProbeFailed": Condition("beyond", _stop("redis"), _start("redis"), {"component": "redis"}),
    "BudgetCapExceeded": Condition(
        "S1-04",
        lambda rehearsal: (
            rehearsal.process.strategy.set("portfolio_value", 1e9),
            rehearsal.process.strategy.set("portfolio_gross_exposure", 3e9),
        ),
        lambda rehearsal: rehearsal.process.strategy.set("portfolio_gross_exposure", 0),
        {},
    ),
}
"""Of the sources all, and some beyond them; by `make drill ALERT=name` as well as by the tests."""

TREE: dict[str, Any] = {
    "supply": "packages",
    "pipelines": {
        "logs": {"collector": "none"},
        "trading": {"trader": {"bars_per_second": 20}},
        "metrics": {
            "containers": "none",
            "market_hours": "always",
            "scrape_seconds": SCRAPE_SECONDS,
            "longest_wait_seconds": LONGEST_WAIT_SECONDS,
            "heartbeat": True,
            "receivers": [{"name": "desk", "type": "webhook"}],
        },
    },
}


@contextmanager
def rehearsal(stack: Any, client: docker.DockerClient) -> Iterator[Rehearsal]:
    """A deployed stack with everything around it; `stack` is a `StackUnderTest` made with a tree like `TREE`."""
    host = gateway(client)
    process, receiver = TradingProcess(host), Receiver(host)
    try:
        stack.tree["pipelines"]["metrics"]["targets"] = process.targets()
        stack.write()
        folder = stack.folder / "config" / stack.settings.name_prefix / "alertmanager" / "receivers"
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("desk", "heartbeat"):
            (folder / name).write_text(f"{receiver.url}/{name}")
        stack.ansible("configure")
        stack.up()
        stack.ansible("database")
        made = Rehearsal(client, stack.settings, process, receiver)
        made.until(lambda: len(made.query("up == 1")) == len(made.query("up")) > 10, "every target is up")
        yield made
    finally:
        process.close()
        receiver.close()
