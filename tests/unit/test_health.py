"""Health of a component that is asked from outside."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest.mock import Mock

import pytest
from docker.errors import NotFound

from infra import health, settings
from infra.catalogue import Component, catalogue
from infra.settings import Settings

STACK = settings.parse("own", {"pipelines": {"logs": {"collector": "none"}}})
REDIS_ONLY = settings.parse("own", {"pipelines": {"trading": {"components": ["redis"]}}})
REAL = catalogue()["victorialogs"]


@pytest.fixture
def served() -> Iterator[tuple[Component, Callable[[int], None]]]:
    """The log store's entry with the port of a server on this machine, and a way to choose what it answers."""
    status = [200]

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status[0] if self.path == REAL.probe.http.path else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = REAL.ports["http"].model_copy(update={"container": server.server_port})
    yield REAL.model_copy(update={"ports": {"http": port}}), lambda code: status.__setitem__(0, code)
    server.shutdown()
    server.server_close()


def container(seconds_old: float = 1, *, state: str = "running", address: str = "127.0.0.1") -> dict[str, Any]:
    started = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=seconds_old)
    return {
        "State": {"Status": state, "StartedAt": f"{started.isoformat()[:19]}.123456789Z"},
        "NetworkSettings": {"Networks": {"crowsnest-telemetry": {"IPAddress": address}}},
        "Image": "sha256:1",
        "RestartCount": 0,
    }


def state(monkeypatch: pytest.MonkeyPatch, component: Component, inspected: object, stack: Settings = STACK) -> str:
    client = Mock()
    client.api.inspect_container.side_effect = [inspected]
    client.api.inspect_image.return_value = {"RepoTags": ["store:1"]}
    monkeypatch.setattr(Settings, "components", [component])
    return health.read(client, stack)[0].state


def test_who_answers_is_healthy(monkeypatch, served):
    component, _ = served
    assert state(monkeypatch, component, container()) == "healthy"


def test_who_refuses_is_unhealthy_once_its_start_is_over(monkeypatch, served):
    component, answer = served
    answer(503)
    assert state(monkeypatch, component, container(1)) == "starting"
    assert state(monkeypatch, component, container(component.probe.start_seconds + 1)) == "unhealthy"


def test_who_is_silent_is_unhealthy_once_its_start_is_over(monkeypatch, served):
    component, _ = served
    silent = component.model_copy(update={"ports": {"http": component.ports["http"].model_copy(update={"container": 1})}})
    assert state(monkeypatch, silent, container(component.probe.start_seconds + 1)) == "unhealthy"


def readings(monkeypatch: pytest.MonkeyPatch, *states: str) -> None:
    """Have `wait` read these states one after the other, the last again and again."""
    left = list(states)
    monkeypatch.setattr(health, "POLL_SECONDS", 0)
    monkeypatch.setattr(
        health, "read", lambda *_: [health.Health("redis", "cn-redis", left.pop(0) if len(left) > 1 else left[0])]
    )


@pytest.mark.parametrize("before", ["starting", "unhealthy"])
def test_who_is_not_well_yet_is_waited_for(monkeypatch, before):
    readings(monkeypatch, before, before, "healthy")
    said: list[str] = []

    (last,) = health.wait(None, REDIS_ONLY, said.append)

    assert last.state == "healthy"
    assert said == ["waiting for redis to become healthy"]


@pytest.mark.parametrize("state", ["unhealthy", "exited", "missing"])
def test_who_does_not_get_well_is_not_waited_for_for_ever(monkeypatch, state):
    readings(monkeypatch, state)
    clock = iter(range(0, 10_000, 10))
    monkeypatch.setattr(health.time, "monotonic", lambda: next(clock))

    (last,) = health.wait(None, REDIS_ONLY, str)

    assert last.state == state


def test_a_proxy_of_the_environment_is_not_asked(monkeypatch, served):
    component, _ = served
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert state(monkeypatch, component, container()) == "healthy"


@pytest.mark.parametrize(("inspected", "wanted"), [(NotFound("gone"), "missing"), (container(state="exited"), "exited")])
def test_who_does_not_run_is_not_asked(monkeypatch, served, inspected, wanted):
    assert state(monkeypatch, served[0], inspected) == wanted


def test_another_machine_s_containers_are_not_asked(monkeypatch, served):
    component, answer = served
    answer(503)
    remote = STACK.model_copy(update={"docker_host": "ssh://trader@example.com"})
    assert state(monkeypatch, component, container(), remote) == "running"
