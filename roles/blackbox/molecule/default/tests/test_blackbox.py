"""The real prober takes the configuration and asks by it."""

import pytest

FILE = "/etc/crowsnest/blackbox/blackbox.yml"


@pytest.fixture(scope="module")
def prober(host):
    host.check_output(
        f"systemd-run --unit=prober prometheus-blackbox-exporter --config.file={FILE} --web.listen-address=127.0.0.1:9907"
    )
    host.check_output("systemd-run --unit=answers python3 -m http.server 9908 --bind 127.0.0.1")
    ask = "import urllib.request as r; r.urlopen('http://127.0.0.1:9907/-/healthy').read()"
    host.check_output(f'for i in $(seq 50); do python3 -c "{ask}" 2>/dev/null && break; sleep 0.1; done')
    yield host
    host.run("systemctl stop prober answers")


def answer(host, module, target):
    ask = f"import urllib.request as r; print(r.urlopen('http://127.0.0.1:9907/probe?module={module}&target={target}').read().decode())"
    return host.check_output(f'python3 -c "{ask}"')


def success(host, module, target):
    return "probe_success 1" in answer(host, module, target)


def test_file_is_readable_for_the_component_only(host):
    file = host.file(FILE)

    assert (file.uid, file.gid, file.mode) == (0, 10120, 0o440)


def test_who_answers_is_well_and_who_does_not_is_not(prober):
    assert success(prober, "http", "http://127.0.0.1:9908/")
    assert success(prober, "tcp", "127.0.0.1:9908")
    assert not success(prober, "http", "http://127.0.0.1:9908/nothing")
    assert not success(prober, "tcp", "127.0.0.1:9909")


def test_it_says_when_a_certificate_expires_that_nobody_else_trusts(prober):
    pair = "-keyout /root/tls.key -out /root/tls.crt"
    prober.check_output(f"openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=localhost {pair}")
    serve = "openssl s_server -accept 127.0.0.1:9910 -cert /root/tls.crt -key /root/tls.key -quiet"
    prober.check_output(f"systemd-run --unit=tls {serve}")
    try:
        prober.check_output("for i in $(seq 50); do ss -ltn | grep -q 9910 && break; sleep 0.1; done")
        lines = answer(prober, "tls", "127.0.0.1:9910").splitlines()
    finally:
        prober.run("systemctl stop tls")

    (expiry,) = (float(line.split()[1]) for line in lines if line.startswith("probe_ssl_earliest_cert_expiry "))
    assert 29 * 86_400 < expiry - float(prober.check_output("date +%s")) <= 30 * 86_400
    assert "probe_success 1" in lines
