"""The files say what was asked for; a real QuestDB reads them in tests/contract and tests/e2e."""

import pytest

FOLDER = "/etc/crowsnest/questdb"
UID = 10210


@pytest.mark.parametrize("name", ["server.conf", "log.conf", "mime.types", "http_password"])
def test_files_are_readable_for_the_component_only(host, name):
    file = host.file(f"{FOLDER}/{name}")

    assert (file.uid, file.gid, file.mode) == (0, UID, 0o440)


def test_password_stands_in_its_own_file_only(host):
    assert host.file(f"{FOLDER}/http_password").content_string == "canary-of-the-relay"
    assert host.check_output(f"grep -rl canary {FOLDER}") == f"{FOLDER}/http_password"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("http.net.bind.to", "0.0.0.0:9991"),
        ("pg.net.bind.to", "0.0.0.0:9992"),
        ("line.tcp.net.bind.to", "0.0.0.0:9993"),
        ("line.tcp.enabled", "false"),
        ("http.min.net.bind.to", "0.0.0.0:9994"),
        ("cairo.commit.mode", "sync"),
        ("ram.usage.limit.bytes", "500M"),
        ("http.user", "crowsnest"),
        ("pg.user", "crowsnest"),
        ("pg.readonly.user", "reader"),
        ("pg.readonly.user.enabled", "true"),
        ("telemetry.enabled", "false"),
        ("metrics.enabled", "true"),
    ],
)
def test_configuration_has_the_setting(host, key, value):
    lines = host.file(f"{FOLDER}/server.conf").content_string.splitlines()

    assert dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))[key] == value
