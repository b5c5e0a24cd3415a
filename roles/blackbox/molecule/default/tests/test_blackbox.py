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


def success(host, module, target):
    ask = f"import urllib.request as r; print(r.urlopen('http://127.0.0.1:9907/probe?module={module}&target={target}').read().decode())"
    return "probe_success 1" in host.check_output(f'python3 -c "{ask}"')


def test_file_is_readable_for_the_component_only(host):
    file = host.file(FILE)

    assert (file.uid, file.gid, file.mode) == (0, 10120, 0o440)


def test_who_answers_is_well_and_who_does_not_is_not(prober):
    assert success(prober, "http", "http://127.0.0.1:9908/")
    assert success(prober, "tcp", "127.0.0.1:9908")
    assert not success(prober, "http", "http://127.0.0.1:9908/nothing")
    assert not success(prober, "tcp", "127.0.0.1:9909")
