"""The endpoint over real sockets: what it answers, whom it does not wait for, and how it ends."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from crowsnest.metrics import (
    HealthChecker,
    MetricsServer,
    PortInUseError,
    Readiness,
    TradingMetrics,
    _server,
    init_metrics_exporter,
    start_metrics_server,
)

SRC = Path(__file__).parents[2] / "src"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(clock: Clock) -> Iterator[MetricsServer]:
    readiness = Readiness({"broker": 30, "feed": 5, "database": 60, "log_pipeline": 60}, clock=clock)
    metrics = init_metrics_exporter("data_plane", readiness=readiness)
    metrics.inc("ticks_received", source="ibkr_rt", symbol="SPY")
    with MetricsServer(metrics, 0) as server:
        yield server


def ask(server: MetricsServer, path: str, method: str = "GET", **headers: str) -> tuple[http.client.HTTPResponse, str]:
    connection = http.client.HTTPConnection(server.host, server.port, timeout=5)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response, response.read().decode()
    finally:
        connection.close()


def test_metrics_are_served_in_the_text_format(server):
    response, text = ask(server, "/metrics", Accept="application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert response.status == 200
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'data_ticks_received_total{service="data_plane",source="ibkr_rt",symbol="SPY"} 1.0\n' in text
    assert list(text_string_to_metric_families(text))


def test_health_is_liveness(server):
    response, text = ask(server, "/health")
    assert response.status == 200
    tree = json.loads(text)
    assert (tree["status"], tree["plane"], tree["metric_problems"]) == ("healthy", "data_plane", {})


@pytest.mark.parametrize("path", ["/metrics", "/health", "/ready"])
def test_head_is_get_without_a_body(server, path):
    got, text = ask(server, path)
    head, _ = ask(server, path, "HEAD")
    assert (head.status, head.headers["Content-Type"]) == (got.status, got.headers["Content-Type"])
    if path != "/health":  # whose uptime may have grown by a digit
        assert head.headers["Content-Length"] == str(len(text))


def test_head_sends_no_body(server):
    """Seen on the socket: http.client would not read one."""
    with socket.create_connection((server.host, server.port), timeout=5) as one:
        one.sendall(b"HEAD /metrics HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: one.recv(65536), b""))
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("path", ["/", "/metrics/", "/favicon.ico", "/../etc/passwd"])
def test_anything_else_is_not_found(server, path):
    assert ask(server, path)[0].status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_other_methods_are_not_allowed(server, method):
    response, _ = ask(server, "/metrics", method)
    assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")


def test_ready_needs_every_dependency_and_none_may_be_old(server, clock):
    readiness = server._metrics.readiness
    response, text = ask(server, "/ready")
    assert response.status == 503
    assert json.loads(text)["dependencies"]["broker"] == {
        "up": False,
        "age_seconds": None,
        "max_age_seconds": 30.0,
        "detail": "never reported",
    }
    for name in ("broker", "feed", "database", "log_pipeline"):
        assert readiness.report(name)
    clock.now += 5  # exactly the feed's maximum age
    response, text = ask(server, "/ready")
    assert (response.status, json.loads(text)["status"]) == (200, "ready")
    assert json.loads(text)["dependencies"]["feed"]["age_seconds"] == 5.0

    clock.now += 0.5
    response, text = ask(server, "/ready")
    assert response.status == 503
    assert [name for name, one in json.loads(text)["dependencies"].items() if not one["up"]] == ["feed"]
    assert json.loads(text)["dependencies"]["feed"]["detail"] == "last seen 5.5 s ago"

    metrics = ask(server, "/metrics")[1]
    assert 'trading_dependency_up{dependency="feed"} 0.0\n' in metrics
    assert 'trading_dependency_up{dependency="broker"} 1.0\n' in metrics
    assert 'trading_dependency_age_seconds{dependency="feed"} 5.5\n' in metrics
    assert 'trading_dependency_max_age_seconds{dependency="feed"} 5.0\n' in metrics


def test_a_bad_report_counts_at_once_and_keeps_the_age(clock):
    readiness = Readiness({"broker": 30}, clock=clock)
    readiness.report("broker")
    clock.now += 2
    readiness.report("broker", ok=False, detail="socket closed")
    state = readiness.states()["broker"]
    assert (state.up, state.age_seconds, state.detail) == (False, 2.0, "socket closed")
    assert not readiness.report("unheard of")
    assert Readiness({}).ready


def test_health_checks_run_by_themselves_and_a_hanging_one_harms_only_its_own():
    readiness = Readiness({"broker": 5, "feed": 5, "database": 5})
    hanging = threading.Event()

    def broken() -> None:
        raise ConnectionError

    probes = {"broker": lambda: True, "feed": hanging.wait, "database": broken}
    checker = HealthChecker(readiness, probes, interval_seconds=0.02).start()
    deadline = time.monotonic() + 5
    while not readiness.states()["broker"].up and time.monotonic() < deadline:
        time.sleep(0.01)
    states = readiness.states()
    hanging.set()
    checker.close()
    assert {name: state.up for name, state in states.items()} == {"broker": True, "feed": False, "database": False}
    with pytest.raises(ValueError, match="no dependency moon"):
        HealthChecker(readiness, {"moon": lambda: True})


def test_slow_clients_do_not_keep_the_scraper_out(server):
    slow = [socket.create_connection((server.host, server.port)) for _ in range(40)]
    try:
        for one in slow:
            one.sendall(b"GET /met")
        began = time.monotonic()
        assert ask(server, "/metrics")[0].status == 200
        assert time.monotonic() - began < 1
        assert threading.active_count() < 40
    finally:
        for one in slow:
            one.close()


def test_a_connection_has_an_end(server, monkeypatch):
    monkeypatch.setattr(_server, "_LIFE_SECONDS", 0.3)
    with socket.create_connection((server.host, server.port)) as slow:
        slow.settimeout(3)
        began = time.monotonic()
        slow.sendall(b"G")
        assert slow.recv(1) == b""
        assert time.monotonic() - began < 2


def test_garbage_prints_nothing_and_harms_nothing(server, capfd):
    for garbage in (b"\x16\x03\x01\x00\xff\r\n\r\n", b"GET\r\n\r\n", b"", b"A" * 70_000 + b"\r\n\r\n"):
        with socket.create_connection((server.host, server.port)) as one:
            one.sendall(garbage)
    assert ask(server, "/health")[0].status == 200
    assert capfd.readouterr() == ("", "")


def test_it_listens_on_loopback_only_unless_told(server):
    assert server._http.socket.getsockname()[0] == "127.0.0.1"


def test_a_taken_port_is_named():
    first = asyncio.run(start_metrics_server(TradingMetrics(), port=0))
    with first, pytest.raises(PortInUseError, match=f"port {first.port} on 127.0.0.1 is in use.*order_plane another port"):
        asyncio.run(start_metrics_server(init_metrics_exporter("order_plane"), port=first.port))
    with pytest.raises(ValueError, match="not between"):
        MetricsServer(TradingMetrics(), 70_000)


def test_close_frees_the_port_and_may_be_called_twice():
    server = MetricsServer(TradingMetrics(), 0)
    began = time.monotonic()
    server.close()
    server.close()
    assert time.monotonic() - began < 1
    MetricsServer(TradingMetrics(), server.port).close()


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_does_not_keep_the_port():
    server = MetricsServer(TradingMetrics(), 0)
    reading, writing = os.pipe()
    ready, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(tell, b"x")
        os.read(reading, 1)
        os._exit(0)
    try:
        os.read(ready, 1)  # the child is there, and has done what it does after a fork
        server.close()
        MetricsServer(TradingMetrics(), server.port).close()
    finally:
        os.write(writing, b"x")
        os.waitpid(child, 0)
        for end in (reading, writing, ready, tell):
            os.close(end)


def test_a_broken_collector_does_not_take_the_rest_out():
    class Good:
        def collect(self):
            metric = Metric("victorialogs_handler_accepted", "x", "counter")
            metric.add_sample("victorialogs_handler_accepted_total", {}, 3)
            return [metric]

    class Broken:
        def collect(self):
            raise RuntimeError

    metrics = TradingMetrics()
    metrics.register(Broken())
    metrics.register(Good())
    text = metrics.exposition()
    assert "victorialogs_handler_accepted_total 3.0\n" in text
    assert "crowsnest_metrics_broken_collectors 1.0\n" in text


def test_metrics_that_cannot_be_rendered_are_an_error_of_the_scrape():
    class Unprintable:
        def collect(self):
            metric = Metric("odd", "x", "gauge")
            metric.add_sample("odd", {"a": "\ud800"}, 1)
            return [metric]

    metrics = TradingMetrics()
    metrics.register(Unprintable())
    with MetricsServer(metrics, 0) as server:
        assert ask(server, "/metrics")[0].status == 500
        assert ask(server, "/health")[0].status == 200


@pytest.mark.parametrize("plane", ["data_plane", "trading"])
def test_the_command_serves_a_plane_until_it_is_told_to_end(plane):
    command = [sys.executable, "-W", "error", "-m", "crowsnest.metrics.server", plane, "0"]
    environment = {**os.environ, "PYTHONPATH": str(SRC)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        line = running.stdout.readline()
        assert line.startswith(f"{plane}: http://127.0.0.1:")
        port = int(line.split("/metrics")[0].rsplit(":", 1)[1])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/metrics")
        assert connection.getresponse().status == 200
        connection.close()
        running.send_signal(signal.SIGTERM)
        assert running.wait(5) == 0


@pytest.mark.parametrize("arguments", [["moon"], ["data_plane", "70000"], ["data_plane", "x"], []])
def test_the_command_refuses_wrong_usage(arguments, capsys):
    from crowsnest.metrics.server import main

    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert "usage: python -m crowsnest.metrics.server" in capsys.readouterr().err


def test_the_command_names_a_taken_port():
    with MetricsServer(TradingMetrics(), 0) as server:
        done = subprocess.run(
            [sys.executable, "-m", "crowsnest.metrics.server", "order_plane", str(server.port)],
            env={**os.environ, "PYTHONPATH": str(SRC)},
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )
    assert done.returncode == 1
    assert f"port {server.port} on 127.0.0.1 is in use" in done.stderr
    assert "Traceback" not in done.stderr
