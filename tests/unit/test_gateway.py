"""The gateway: what a stack may choose, what follows from it, and the configuration as the real Caddy reads it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from docker.errors import NotFound

from infra import authority, gateway, reload
from infra import settings as stack_settings
from infra.catalogue import catalogue
from infra.errors import Failed, Refused
from infra.reload import ReloadError
from infra.settings import SettingsError, parse
from tests import checkers
from tests.gateway import COMPONENT, GRAFANA, caddyfile, stack, write

DOMAIN = {"domain": "logs.example.com", "acme": {"email": "desk@example.com", "directory": "https://ca.example.com/acme"}}


def adapted(folder: Path, text: str) -> dict[str, Any]:
    """The configuration as Caddy understands it."""
    done = checkers.run("caddy", "adapt", "--config", write(folder, text), "--adapter", "caddyfile")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"domain": "logs"}, "no domain name that an authority can reach"),
        ({"domain": "192.0.2.7"}, "no domain name that an authority can reach"),
        ({"domain": "a.example.com", "names": ["b"]}, "a gateway with a domain is reached by it alone"),
        ({"names": ["localhost", "127.0.0.1", "192.0.2.7"]}, "only one of 127.0.0.1, 192.0.2.7"),
        ({"names": []}, "at least 1 item"),
        ({"names": ["Host"]}, "neither a host name in lower case nor an IPv4 address"),
        ({"names": ["a b"]}, "neither a host name"),
        ({"names": ["a{b}"]}, "neither a host name"),
        ({"names": ["300.1.1.1"]}, "Octet 300"),
        ({"acme": {"email": "a@example.com"}}, "an authority is asked for a domain only"),
        ({"domain": "a.example.com", "acme": {"directory": "http://a"}}, "acme.directory"),
        ({"domain": "a.example.com", "acme": {"email": "a@b {c}"}}, "acme.email"),
        ({"listen": "example.com"}, "listen"),
        ({"port": 1}, "unknown key"),
    ],
)
def test_a_bad_choice_is_refused_with_what_to_do(changes, line):
    with pytest.raises(SettingsError, match=re.escape(line)):
        stack(changes)


def test_nothing_is_published_beside_the_gateway():
    with pytest.raises(SettingsError, match=r"publish: victorialogs\.http would go around the gateway"):
        stack(publish=["victorialogs.http"])
    published = {one.name: one for one in stack().components if stack().published_ports(one)}
    assert set(published) == {gateway.NAME}
    assert COMPONENT.ports["status"].container not in {port.container for port in stack().published_ports(COMPONENT)}


def test_a_gateway_needs_somebody_who_knows_who_has_signed_in():
    with pytest.raises(SettingsError, match="choose the pipeline viewer, too"):
        parse("some", {"pipelines": {"logs": None, "gateway": None}})


def test_its_address_is_the_first_name_with_the_port_where_it_is_not_the_usual_one():
    assert stack(port_offset=31000).urls == {"caddy.https": "https://localhost:31443"}
    assert stack({"names": ["crow.lan", "192.0.2.7"]}).gateway_url == "https://crow.lan"
    assert stack(DOMAIN).gateway_url == "https://logs.example.com"
    assert parse("some", {"pipelines": {"logs": None}}).gateway_url is None


def test_ports_are_open_for_others_only_where_the_stack_says_so():
    assert stack().open_ports == []
    assert sorted(stack({"listen": "0.0.0.0"}, port_offset=31000).open_ports) == [31080, 31443]
    assert stack().listen == "127.0.0.1"
    assert parse("some", {"pipelines": {"logs": None}, "publish": ["victorialogs.http"]}).open_ports == []


def test_the_tools_are_those_that_run():
    assert [one.name for one in gateway.tools(stack())] == ["victorialogs", "prometheus", "alertmanager"]
    assert gateway.links(stack()).startswith("VictoriaLogs=/victorialogs/select/vmui/,Prometheus=/prometheus/")
    without = parse("some", {"pipelines": {"logs": None, "viewer": None}})
    assert gateway.links(without) == ""
    assert gateway.described(without) is None


def test_every_tool_but_the_one_with_roles_of_its_own_is_for_operators():
    assert {name for name, tool in gateway.TOOLS.items() if tool.needs != "role=operator"} == {"grafana"}
    assert "strategies=all" in gateway.TOOLS["grafana"].needs


@pytest.mark.parametrize("choice", [None, {"names": ["localhost", "192.0.2.7"]}, DOMAIN, {"domain": "a.example.com"}])
def test_caddy_takes_the_configuration(choice, tmp_path):
    file = write(tmp_path, caddyfile(stack(choice, port_offset=31000), gateway_tools=[GRAFANA]))
    done = subprocess.run(
        [checkers.folder() / "caddy", "validate", "--config", file, "--adapter", "caddyfile"],
        env={**os.environ, "CROWSNEST_GATEWAY_DATA": str(tmp_path / "data"), "HOME": str(tmp_path)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "not formatted" not in done.stderr


def test_nobody_changes_what_runs_over_the_network(tmp_path):
    tree = adapted(tmp_path, caddyfile(stack()))
    assert tree["admin"] == {"disabled": True, "config": {"persist": False}}


def test_every_server_has_its_limits(tmp_path):
    servers = adapted(tmp_path, caddyfile(stack()))["apps"]["http"]["servers"].values()
    seconds = 10**9
    assert len(servers) == 3
    for server in servers:
        assert server["read_header_timeout"] == 10 * seconds
        assert server["read_idle_timeout"] == 10 * seconds
        assert server["read_min_rate"] == 500
        assert server["write_idle_timeout"] == 30 * seconds
        assert server["max_header_bytes"] == 32 * 1024
        assert server["protocols"] == ["h1", "h2"]


@pytest.mark.parametrize(("choice", "present"), [(None, False), (DOMAIN, True)])
def test_browsers_are_bound_to_tls_only_where_everybody_trusts_the_certificate(choice, present, tmp_path):
    text = caddyfile(stack(choice))
    assert ("Strict-Transport-Security" in text) is present
    issuers = {
        issuer["module"]
        for policy in adapted(tmp_path, text)["apps"]["tls"].get("automation", {}).get("policies", [])
        for issuer in policy.get("issuers", [])
    }
    assert issuers == ({"acme"} if choice else {"internal"})


def test_the_sign_in_is_never_compressed(tmp_path):
    """Secrets of a session beside what others can make it say: their length tells (BREACH)."""
    text = caddyfile(stack())
    api = text[text.index("handle /api/* {") : text.index("# victorialogs")]
    assert "encode @records" in api
    assert "@records path /api/logs/* /api/openapi.json" in api


def root_archive(content: bytes) -> tuple[list[bytes], dict]:
    import io
    import tarfile

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        member = tarfile.TarInfo("root.crt")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return [buffer.getvalue()], {}


def test_the_root_certificate_is_taken_from_the_running_gateway():
    client = Mock()
    client.api.get_archive.return_value = root_archive(b"-----BEGIN CERTIFICATE-----\n")
    assert authority.root_certificate(client, stack()).startswith("-----BEGIN")
    client.api.get_archive.assert_called_once_with("crowsnest-caddy", "/data/pki/authorities/local/root.crt")


def test_where_there_is_no_own_authority_that_is_said():
    client = Mock()
    with pytest.raises(Refused, match="has no gateway"):
        authority.root_certificate(client, parse("some", {"pipelines": {"logs": None}}))
    with pytest.raises(Refused, match="machines trust already"):
        authority.root_certificate(client, stack(DOMAIN))
    client.api.get_archive.side_effect = NotFound("gone")
    with pytest.raises(Failed, match="make up STACK=some"):
        authority.root_certificate(client, stack())


def test_a_signal_reloads_and_is_waited_for(monkeypatch):
    client, read_at = Mock(), iter([100.0, 100.0, 101.0])
    monkeypatch.setattr(reload, "_read_at", lambda *_: next(read_at))
    reload.reload(client, stack(), COMPONENT)
    client.api.kill.assert_called_once_with("crowsnest-caddy", signal="SIGUSR1")


def test_a_configuration_that_is_not_taken_is_told_in_its_own_words(monkeypatch):
    client = Mock()
    client.api.logs.return_value = b'{"level":"error","error":"unexpected token"}\n'
    monkeypatch.setattr(reload, "_read_at", lambda *_: 100.0)
    monkeypatch.setattr(reload, "SIGNAL_SECONDS", 0.2)
    with pytest.raises(ReloadError, match=r"caddy refused its new configuration .*unexpected token"):
        reload.reload(client, stack(), COMPONENT)


def test_who_does_not_run_gets_no_signal(monkeypatch):
    client = Mock()
    monkeypatch.setattr(reload, "_read_at", lambda *_: None)
    with pytest.raises(ReloadError, match="caddy does not run"):
        reload.reload(client, stack(), COMPONENT)
    client.api.kill.assert_not_called()


def test_the_stacks_for_a_server_have_a_gateway_and_the_demo_shows_the_viewer_on_loopback():
    for name in ("base", "prod", "full"):
        assert stack_settings.read(name).pipelines.gateway is not None
    assert stack_settings.read("demo").urls["api.http"].startswith("http://127.0.0.1:")
    assert catalogue()[gateway.NAME].reload.signal == "SIGUSR1"
