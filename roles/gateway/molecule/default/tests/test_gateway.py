"""The real Caddy runs with the placed configuration, and answers by it."""

import json

import pytest

FILE = "/etc/crowsnest/caddy/Caddyfile"
DOMAIN = "/etc/crowsnest/domain/Caddyfile"
ROOT = "/tmp/gateway-data/pki/authorities/local/root.crt"
# Prints status and headers of an answer; the machine has no curl.
ASK = """
import json, ssl, sys, urllib.request as r, urllib.error
class Stay(r.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None
url, root = sys.argv[1], sys.argv[2]
opener = r.build_opener(Stay, r.HTTPSHandler(context=ssl.create_default_context(cafile=root)))
try:
    answer = opener.open(r.Request(url, headers={"Sec-Fetch-Mode": "cors"}), timeout=10)
except urllib.error.HTTPError as error:
    answer = error
print(json.dumps([answer.status, dict(answer.headers)]))
"""


@pytest.fixture(scope="module")
def gateway(host):
    host.check_output(
        "systemd-run --unit=gateway --setenv=CROWSNEST_GATEWAY_DATA=/tmp/gateway-data --setenv=HOME=/tmp"
        f" caddy run --config {FILE} --adapter caddyfile"
    )
    host.check_output(f"for i in $(seq 100); do test -s {ROOT} && break; sleep 0.1; done; sleep 1")
    yield host
    host.run("systemctl stop gateway; rm -rf /tmp/gateway-data")


def ask(host, url):
    return json.loads(host.check_output("python3 -c %s %s %s", ASK, url, ROOT))


def test_file_is_readable_for_the_component_only(host):
    for path in (FILE, DOMAIN):
        file = host.file(path)
        assert (file.uid, file.gid, file.mode) == (0, 10150, 0o440)


def test_the_check_left_nothing_behind(host):
    assert host.run("ls -d /data").rc != 0
    assert host.check_output("find /tmp -name '*.key' | wc -l") == "0"


@pytest.mark.parametrize("path", [FILE, DOMAIN])
def test_caddy_takes_it_and_finds_it_well_formatted(host, path):
    said = host.run(f"caddy adapt --config {path} --adapter caddyfile --pretty >/dev/null")
    assert said.rc == 0
    assert "not formatted" not in said.stderr


def test_names_get_certificates_of_the_own_authority(gateway):
    for name in ("localhost", "127.0.0.1"):
        status, headers = ask(gateway, f"https://{name}:9443/metrics-store/-/quit")
        # Nobody is there who could say who comes: nobody gets in.
        assert (status, headers["Content-Type"]) == (502, "application/problem+json")
        assert "Server" not in headers


def test_plain_http_is_sent_on(gateway):
    status, headers = ask(gateway, "http://localhost:9480/logs?a=b")
    assert (status, headers["Location"]) == (308, "https://localhost:9443/logs?a=b")


def test_its_health_is_asked_at_a_port_of_its_own(gateway):
    assert ask(gateway, "http://127.0.0.1:9490/health")[0] == 200
    assert ask(gateway, "http://127.0.0.1:9490/other")[0] == 404


def test_a_signal_reads_it_anew(gateway):
    count = "journalctl --unit=gateway | grep -c 'successfully reloaded config'"
    gateway.check_output("systemctl kill --signal=USR1 gateway.service; sleep 2")
    assert gateway.check_output(count) == "1"


def test_a_configuration_that_caddy_refuses_is_not_placed(host):
    before = host.file(FILE).sha256sum
    host.check_output("sed 's/persist_config off/persist_config of/' %s > /tmp/bad", FILE)
    assert host.run("caddy validate --config /tmp/bad --adapter caddyfile").rc != 0
    assert host.file(FILE).sha256sum == before


def test_browsers_are_bound_to_tls_only_for_a_domain(host):
    assert "Strict-Transport-Security" in host.file(DOMAIN).content_string
    assert "Strict-Transport-Security" not in host.file(FILE).content_string
    assert "acme_ca https://ca.example.com/directory" in host.file(DOMAIN).content_string
