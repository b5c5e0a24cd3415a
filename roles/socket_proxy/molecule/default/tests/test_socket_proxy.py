"""The real proxy lets through what it should, and nothing else, however it is spelt."""

import pytest

FILE = "/etc/crowsnest/socket-proxy/haproxy.cfg"
ADDRESS = "http://127.0.0.1:9907"


@pytest.fixture(scope="module")
def proxy(host):
    host.check_output("systemd-run --unit=stand-in /usr/local/bin/stand-in")
    host.check_output(f"systemd-run --unit=proxy haproxy -f {FILE}")
    host.check_output(f"for i in $(seq 50); do curl -sf {ADDRESS}/healthz && break; sleep 0.1; done")
    yield host
    host.run("systemctl stop proxy stand-in")


def ask(host, method, path, *options):
    command = f"curl -s -m 5 --path-as-is -w '\\n%{{http_code}}' -X {method} {' '.join(options)} '{ADDRESS}{path}'"
    body, _, status = host.check_output(command).rpartition("\n")
    return int(status), body


def test_file_is_readable_for_the_component_only(host):
    file = host.file(FILE)

    assert (file.uid, file.gid, file.mode) == (0, 10190, 0o440)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1.41/containers/json?all=1"),
        ("POST", "/v1.41/containers/crowsnest-alloy/restart?t=60"),
        ("POST", "/v1.52/containers/crowsnest-prometheus/restart"),
    ],
)
def test_what_is_allowed_reaches_docker(proxy, method, path):
    assert ask(proxy, method, path) == (200, f"docker: {method} {path}")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1.41/containers/crowsnest-trader/restart"),
        ("POST", "/v1.41/containers/crowsnest-alloyx/restart"),
        ("POST", "/v1.41/containers/xcrowsnest-alloy/restart"),
        ("GET", "/v1.41/containers/crowsnest-alloy/restart"),
        ("POST", "/v1.41/containers/crowsnest-alloy/stop"),
        ("POST", "/v1.41/containers/crowsnest-alloy/exec"),
        ("POST", "/v1.41/containers/create"),
        ("DELETE", "/v1.41/containers/crowsnest-alloy"),
        ("GET", "/v1.41/containers/crowsnest-alloy/json"),
        ("GET", "/v1.41/containers/crowsnest-alloy/archive?path=/etc/shadow"),
        ("POST", "/v1.41/containers/json"),
        ("POST", "/v1.41/containers/crowsnest-alloy/restart/../exec"),
        ("POST", "/v1.41/containers/../containers/crowsnest-alloy/restart"),
        ("POST", "/v1.41/containers/crowsnest-alloy%2Frestart"),
        ("POST", "//v1.41/containers/crowsnest-alloy/restart"),
        ("POST", "/containers/crowsnest-alloy/restart"),
        ("GET", "/containers/json"),
        ("GET", "/v1.41/images/json"),
        ("GET", "/v1.41/secrets"),
        ("POST", "/v1.41/build"),
        ("GET", "/_ping"),
        ("GET", "/"),
    ],
)
def test_everything_else_is_refused(proxy, method, path):
    status, body = ask(proxy, method, path)

    assert status == 403
    assert "docker:" not in body


@pytest.mark.parametrize(
    "options",
    [
        ("-d", "'{}'"),
        ("-H", "'Transfer-Encoding: chunked'", "-d", "'{}'"),
        ("-H", "'Connection: Upgrade'", "-H", "'Upgrade: tcp'"),
    ],
)
def test_neither_a_body_nor_an_upgrade_passes(proxy, options):
    status, body = ask(proxy, "POST", "/v1.41/containers/crowsnest-alloy/restart", *options)

    assert status == 403
    assert "docker:" not in body


def test_without_docker_it_is_alive_and_says_so(proxy):
    proxy.check_output("systemctl stop stand-in; rm -f /run/stand-in.sock")

    assert ask(proxy, "GET", "/healthz")[0] == 200
    assert ask(proxy, "GET", "/v1.41/containers/json")[0] == 503
    proxy.check_output("systemctl reset-failed stand-in; systemd-run --unit=stand-in /usr/local/bin/stand-in; sleep 1")
