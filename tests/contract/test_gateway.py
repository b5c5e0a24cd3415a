"""The gateway's image with the configuration that the role renders, before servers that say what they were asked."""

from __future__ import annotations

import json
import os
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest

from infra.catalogue import catalogue
from infra.health import answers
from supply import images
from tests.gateway import COMPONENT, GRAFANA, caddyfile, stack

pytestmark = pytest.mark.docker

PREFIX = f"cngw-{os.getpid()}"
SETTINGS = stack({"names": ["localhost"]})
# Tells what it was asked; of the gateway's own question, who it is that holds a cookie.
ECHO = """
import json, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.startswith("/api/auth/verify"):
            return self.verify(self.headers.get("Cookie", ""))
        asked = {"path": self.path, "method": self.command, "headers": [[n.lower(), v] for n, v in self.headers.items()]}
        body = json.dumps(asked).encode()
        self.send_response(200)
        self.send_header("Server", "echo/1")
        self.send_header("X-Powered-By", "echo")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = do_DELETE = do_GET

    def verify(self, cookie):
        known = "crowsnest_session=good" in cookie or "crowsnest_session=silent" in cookie
        self.send_response(204 if known else 401)
        if "crowsnest_session=good" in cookie:
            self.send_header("X-Webauth-User", "ann")
            self.send_header("X-Webauth-Role", "Viewer")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass

for port in sys.argv[1:]:
    server = ThreadingHTTPServer(("0.0.0.0", int(port)), Handler)
    threading.Thread(target=server.serve_forever).start()
"""
CLAIMS = {
    "X-Webauth-User": "admin",
    "X-WEBAUTH-ROLE": "Admin",
    "X_Webauth_User": "admin",
    "X.Webauth.User": "admin",
    "X-Webauth-Email": "a@b",
    "X-Forwarded-User": "admin",
    "X-Remote-User": "admin",
    "Remote-User": "admin",
    "X-Auth-Request-User": "admin",
    "X-Real-Ip": "203.0.113.9",
    "Forwarded": "for=203.0.113.9",
    "X-Forwarded-For": "203.0.113.9",
    "X-Forwarded-Proto": "http",
    "X-Forwarded-Host": "evil.example",
}


@dataclass
class Asked:
    """What a server behind the gateway saw."""

    path: str
    headers: dict[str, str]

    @property
    def values(self) -> str:
        return json.dumps(self.headers)


@dataclass
class Gate:
    address: str
    context: ssl.SSLContext

    def ask(self, path: str, cookie: str = "", **headers: str) -> Asked:
        """Through the gateway, as whoever has the cookie."""
        request = urllib.request.Request(
            f"https://{self.address}:{COMPONENT.ports['https'].container}{path}", headers={"Host": "localhost", **headers}
        )
        if cookie:
            request.add_header("Cookie", cookie)
        with urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self.context)
        ).open(request, timeout=10) as answer:
            assert not {"Server", "Via", "X-Powered-By"} & set(answer.headers)
            document = json.load(answer)
        return Asked(document["path"], dict(document["headers"]))


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    if os.geteuid() != 0:
        pytest.skip("needs root to give folders to the component's user")
    client, folder = docker.from_env(), tmp_path_factory.mktemp("gateway")
    for parent in (folder, *list(folder.parents)[:2]):
        parent.chmod(0o755)
    (folder / "Caddyfile").write_text(caddyfile(SETTINGS, gateway_tools=[*tools(), GRAFANA]))
    (folder / "data").mkdir()
    os.chown(folder / "data", COMPONENT.uid, COMPONENT.uid)
    made: list[Any] = []
    network = client.networks.create(PREFIX)
    try:
        made += [echo(client, network), caddy(client, network, folder)]
        wait(made[1])
        made[1].reload()
        address = made[1].attrs["NetworkSettings"]["Networks"][PREFIX]["IPAddress"]
        context = ssl.create_default_context(cafile=str(folder / "data/pki/authorities/local/root.crt"))
        context.check_hostname = False  # the test comes by the container's own address
        yield Gate(address, context)
    finally:
        for container in reversed(made):
            container.remove(force=True)
        network.remove()
        client.close()


def tools() -> list[dict[str, Any]]:
    described: Any = SETTINGS.describe()["gateway"]
    return described["tools"]


def echo(client: docker.DockerClient, network: Any) -> Any:
    """One container that is the API and all tools."""
    names = ("api", "victorialogs", "prometheus", "alertmanager")
    ports = [str(catalogue()[name].ports["http"].container) for name in names] + [GRAFANA["upstream"].split(":")[1]]
    container = client.containers.create(
        images.ensure(catalogue()["api"], "packages", client, print).reference,
        ["-c", ECHO, *ports], entrypoint=["python3"], name=f"{PREFIX}-echo",
    )  # fmt: skip
    network.connect(container, aliases=[*names, "grafana"])
    container.start()
    return container


def caddy(client: docker.DockerClient, network: Any, folder: Path) -> Any:
    """As the container factory runs it."""
    exceptions = [name for exception in COMPONENT.exceptions for name in exception.capabilities]
    container = client.containers.create(
        images.ensure(COMPONENT, "packages", client, print).reference,
        ["run", "--config", f"{COMPONENT.config}/Caddyfile", "--adapter", "caddyfile"],
        entrypoint=["caddy"], name=f"{PREFIX}-caddy", user=COMPONENT.user, read_only=True,
        cap_drop=["ALL"], cap_add=exceptions, security_opt=["no-new-privileges"], tmpfs=dict.fromkeys(COMPONENT.tmpfs, ""),
        mounts=[
            docker.types.Mount(f"{COMPONENT.config}/Caddyfile", str(folder / "Caddyfile"), type="bind", read_only=True),
            docker.types.Mount(COMPONENT.data, str(folder / "data"), type="bind"),
        ],
    )  # fmt: skip
    network.connect(container)
    container.start()
    return container


def wait(container: Any) -> None:
    deadline = time.monotonic() + COMPONENT.probe.start_seconds
    assert COMPONENT.probe.http
    while not answers(container.attrs, COMPONENT, COMPONENT.probe.http):
        assert time.monotonic() < deadline, container.logs().decode()
        time.sleep(0.2)
        container.reload()


@pytest.mark.parametrize("path", ["/", "/api/logs/query"])
@pytest.mark.parametrize("claim", CLAIMS)
def test_no_claim_reaches_the_api(gate: Gate, path: str, claim: str):
    asked = gate.ask(path, **{claim: CLAIMS[claim]})
    assert CLAIMS[claim] not in [value for name, value in asked.headers.items() if name != "x-forwarded-proto"], asked.headers
    assert asked.headers["x-forwarded-proto"] == "https"
    assert asked.headers["x-forwarded-host"] == "localhost"


@pytest.mark.parametrize("tool", ["prometheus", "grafana"])
@pytest.mark.parametrize("cookie", ["good", "silent"])
@pytest.mark.parametrize("claim", CLAIMS)
def test_no_claim_reaches_a_tool_even_when_the_api_names_nobody(gate: Gate, tool: str, cookie: str, claim: str):
    asked = gate.ask(f"/{tool}/api/x", f"crowsnest_session={cookie}", **{claim: CLAIMS[claim]})
    assert CLAIMS[claim] not in [value for name, value in asked.headers.items() if name != "x-forwarded-proto"], asked.headers
    named = {name: value for name, value in asked.headers.items() if "webauth" in name.replace("_", "").replace("-", "")}
    told = {"x-webauth-user": "ann", "x-webauth-role": "Viewer"} if (tool, cookie) == ("grafana", "good") else {}
    assert named == told


def test_a_tool_never_sees_the_session_or_a_token(gate: Gate):
    cookie = "first=1; crowsnest_session=good; grafana_session=own"
    for path in ("/prometheus/x", "/alertmanager/x", "/victorialogs/select/x", "/grafana/x"):
        asked = gate.ask(path, cookie, Authorization="Bearer secret")
        assert "good" not in asked.values
        assert "secret" not in asked.values
        assert ("grafana_session=own" in asked.values) is path.startswith("/grafana")
    alone = gate.ask("/grafana/x", "crowsnest_session=good")
    assert "good" not in alone.values


def test_a_tool_is_asked_for_its_own_path(gate: Gate):
    cookie = "crowsnest_session=good"
    assert gate.ask("/prometheus/api/v1/query?query=a%2Fb", cookie).path == "/api/v1/query?query=a%2Fb"
    assert gate.ask("/victorialogs/select/logsql/query?query=%2A", cookie).path == "/select/logsql/query?query=%2A"
    assert gate.ask("/grafana/d/1", cookie).path == "/grafana/d/1"


def test_who_is_unknown_reaches_no_tool(gate: Gate):
    for path in ("/prometheus/x", "/alertmanager/x", "/victorialogs/select/x", "/grafana/x"):
        for cookie in ("", "crowsnest_session=bad", "other_session=good"):
            with pytest.raises(urllib.error.HTTPError) as refused:
                gate.ask(path, cookie)
            assert refused.value.code == 401
            refused.value.close()
