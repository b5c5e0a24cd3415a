"""An engine was installed, configured and started, with systemd and without."""

import json

import pytest


@pytest.fixture
def with_systemd(host):
    return host.file("/run/systemd/system").exists


def test_engine_answers(host):
    info = json.loads(host.check_output("docker info --format '{{json .}}'"))

    assert info["ServerVersion"]
    assert info["LiveRestoreEnabled"] is True
    assert info["LoggingDriver"] == "json-file"
    assert "crowsnest.config=docker_engine" in info["Labels"]


def test_configuration_bounds_the_logs(host):
    file = host.file("/etc/docker/daemon.json")

    assert (file.user, file.group, file.mode) == ("root", "root", 0o644)
    assert json.loads(file.content_string)["log-opts"] == {"max-file": "3", "max-size": "10m"}


def test_systemd_starts_it_at_boot(host, with_systemd):
    if not with_systemd:
        pytest.skip("the machine without systemd")

    assert host.service("docker").is_running
    assert host.service("docker").is_enabled


def test_without_systemd_it_runs_alone_and_writes_a_log(host, with_systemd):
    if with_systemd:
        pytest.skip("the machine with systemd")

    assert len(host.process.filter(comm="dockerd")) == 1
    assert "API listen on" in host.file("/var/log/dockerd.log").content_string


def test_a_container_is_made_with_bounded_logs(host):
    host.check_output("tar -c -C / etc/hostname | docker import - probe:1")
    host.check_output("docker rm -f probe >/dev/null 2>&1; docker create --name probe probe:1 true")

    log = json.loads(host.check_output("docker inspect --format '{{json .HostConfig.LogConfig}}' probe"))

    assert log == {"Type": "json-file", "Config": {"max-file": "3", "max-size": "10m"}}
