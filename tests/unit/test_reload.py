"""A changed configuration is read by who runs, and its refusal is told in its own words."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest.mock import Mock

import pytest
from docker.errors import NotFound

from infra import reload, settings
from infra.catalogue import catalogue
from infra.fingerprint import RELOADED, fingerprint
from infra.reload import ReloadError
from infra.settings import Settings

REAL = catalogue()["prometheus"]
INSPECTED = {"NetworkSettings": {"Networks": {"crowsnest-telemetry": {"IPAddress": "127.0.0.1"}}}}


class Served:
    """An HTTP server with the paths of a component that can be reloaded."""

    def __init__(self) -> None:
        self.read_at = time.time()
        self.refusal = ""
        self.reloads = 0
        served = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(200, f"a 1\nprometheus_config_last_reload_success_timestamp_seconds {served.read_at:.9e}\n")

            def do_POST(self) -> None:
                served.reloads += self.path == REAL.reload.path
                self._answer(500 if served.refusal else 200, served.refusal)

            def _answer(self, status: int, text: str) -> None:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        port = REAL.ports["http"].model_copy(update={"container": self.server.server_port})
        self.component = REAL.model_copy(update={"ports": {"http": port}})


@pytest.fixture
def served() -> Iterator[Served]:
    served = Served()
    yield served
    served.server.shutdown()
    served.server.server_close()


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, served: Served) -> Settings:
    monkeypatch.setenv("CROWSNEST_CONFIG_DIR", str(tmp_path))
    catalogue.cache_clear()
    stack = settings.parse("own", {"pipelines": {"metrics": {"containers": "none"}}})
    monkeypatch.setattr(Settings, "components", [served.component])
    (stack.folders.config / REAL.name / "rules").mkdir(parents=True)
    (stack.folders.config / REAL.name / "rules/a.yml").write_text("groups: []")
    yield stack
    catalogue.cache_clear()


@pytest.fixture
def client() -> Mock:
    client = Mock()
    client.api.inspect_container.return_value = INSPECTED
    return client


def aged(stack: Settings, seconds: float) -> None:
    """Everything that was placed is that old."""
    folder = stack.folders.config / REAL.name
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (time.time() - seconds,) * 2)


def test_what_was_read_already_is_not_pending(client, stack):
    aged(stack, 60)
    assert reload.pending(client, stack) == []


def test_a_file_that_is_newer_is_pending(client, stack, served):
    aged(stack, 60)
    served.read_at = time.time() - 30
    (stack.folders.config / REAL.name / "rules/a.yml").write_text("groups: [] # changed")
    assert reload.pending(client, stack) == [served.component]


def test_a_file_that_was_taken_away_is_pending(client, stack, served):
    aged(stack, 60)
    served.read_at = time.time() - 30
    (stack.folders.config / REAL.name / "rules/a.yml").unlink()
    assert reload.pending(client, stack) == [served.component]


def test_reload_asks_the_component_once(client, stack, served):
    reload.reload(client, stack, served.component)
    assert served.reloads == 1


def test_a_refusal_is_told_in_the_component_s_words(client, stack, served):
    served.refusal = "field rule_fils not found in type config.plain"
    with pytest.raises(ReloadError, match="goes on with the old one: field rule_fils not found"):
        reload.reload(client, stack, served.component)


def test_who_does_not_run_is_not_pending_and_cannot_be_reloaded(client, stack, served):
    client.api.inspect_container.side_effect = NotFound("gone")
    assert reload.pending(client, stack) == []
    with pytest.raises(ReloadError, match="prometheus does not run"):
        reload.reload(client, stack, served.component)


def test_who_does_not_answer_is_named(client, stack, served):
    served.server.shutdown()
    served.server.server_close()
    assert reload.pending(client, stack) == []
    with pytest.raises(ReloadError, match="prometheus did not answer: ConnectionError"):
        reload.reload(client, stack, served.component)


def test_another_machine_s_containers_are_not_asked(client, stack, served):
    served.read_at = 0
    assert reload.pending(client, stack.model_copy(update={"docker_host": "ssh://a@b"})) == []


def test_a_changed_file_does_not_replace_who_can_read_it_while_it_runs(stack, served):
    before = fingerprint(stack, served.component)
    (stack.folders.config / REAL.name / "rules/a.yml").write_text("other")
    assert fingerprint(stack, served.component) == before == RELOADED
    other = served.component.model_copy(update={"reload": None})
    assert fingerprint(stack, other) != RELOADED
