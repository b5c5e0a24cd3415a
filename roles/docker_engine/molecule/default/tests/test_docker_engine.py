"""An engine was installed, configured and started: hardened with systemd, as on the trading machine, and plain without."""

import json
import shlex

import pytest


@pytest.fixture
def with_systemd(host):
    return host.file("/run/systemd/system").exists


@pytest.fixture
def hardened(with_systemd):
    """The machine with systemd is the hardened one."""
    if not with_systemd:
        pytest.skip("the machine that is not hardened")


@pytest.fixture
def config(host):
    return json.loads(host.check_output("cat /etc/docker/daemon.json"))


@pytest.mark.control("docker_engine-01", "docker_engine-02")
def test_engine_answers(host):
    info = json.loads(host.check_output("docker info --format '{{json .}}'"))

    assert info["ServerVersion"]
    assert info["LiveRestoreEnabled"] is True
    assert info["LoggingDriver"] == "json-file"
    assert "crowsnest.config=docker_engine" in info["Labels"]


@pytest.mark.control("docker_engine-01", "docker_engine-02")
def test_configuration_bounds_the_logs(config):
    assert config["live-restore"] is True
    assert config["log-driver"] == "json-file"
    assert config["log-opts"] == {"max-file": "3", "max-size": "10m", "tag": "{{.Name}}"}


def test_configuration_is_roots(host):
    assert host.check_output("stat --format '%U %G %a' /etc/docker/daemon.json") == "root root 644"


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


@pytest.mark.container
@pytest.mark.control("docker_engine-02")
def test_a_container_is_made_with_bounded_logs(host):
    host.check_output("tar -c -C / etc/hostname | docker import - probe:1")
    host.check_output("docker rm -f probe >/dev/null 2>&1; docker create --name probe probe:1 true")

    log = json.loads(host.check_output("docker inspect --format '{{json .HostConfig.LogConfig}}' probe"))

    assert log == {"Type": "json-file", "Config": {"max-file": "3", "max-size": "10m", "tag": "{{.Name}}"}}
    host.check_output("docker rm probe && docker rmi probe:1")


@pytest.mark.usefixtures("hardened")
@pytest.mark.control("docker_engine-03", "docker_engine-05")
def test_default_network_is_closed(host, config):
    """The running bridge says what the engine was started with."""
    options = json.loads(host.check_output("docker network inspect --format '{{json .Options}}' bridge"))

    assert (config["icc"], config["iptables"], config["ip"], config["ipv6"]) == (False, True, "127.0.0.1", False)
    assert config["userland-proxy"] is False
    assert options["com.docker.network.bridge.enable_icc"] == "false"
    assert options["com.docker.network.bridge.host_binding_ipv4"] == "127.0.0.1"


@pytest.mark.usefixtures("hardened")
@pytest.mark.control("docker_engine-04")
def test_containers_gain_no_privileges_and_leave_no_core_file(config):
    assert config["no-new-privileges"] is True
    assert config["default-ulimits"] == {
        "core": {"Name": "core", "Soft": 0, "Hard": 0},
        "nofile": {"Name": "nofile", "Soft": 65536, "Hard": 65536},
    }


@pytest.mark.usefixtures("hardened")
@pytest.mark.control("docker_engine-06", "docker_engine-07", "docker_engine-12")
def test_engine_runs_with_its_profile(host, config):
    info = json.loads(host.check_output("docker info --format '{{json .}}'"))

    assert config["default-address-pools"] == [{"base": "172.28.0.0/14", "size": 24}]
    assert info["DefaultAddressPools"] == [{"Base": "172.28.0.0/14", "Size": 24}]
    assert (config["experimental"], config["metrics-addr"], config["log-level"]) == (False, "", "info")
    assert config["insecure-registries"] == []
    assert info["ExperimentalBuild"] is False
    # The engine trusts this machine's own addresses in any case.
    assert info["RegistryConfig"]["InsecureRegistryCIDRs"] in (["127.0.0.0/8"], ["::1/128", "127.0.0.0/8"])
    assert "seccomp-profile" not in config
    assert {"name=seccomp,profile=default", "name=seccomp,profile=builtin"} & set(info["SecurityOptions"])


def listening(host) -> set[str]:
    """Ports of the engine itself: without its proxy it holds those that containers publish."""
    lines = host.check_output("ss --listening --tcp --numeric --processes --no-header").splitlines()
    return {line.split()[3].rpartition(":")[2] for line in lines if '"dockerd"' in line}


def published(host) -> set[str]:
    form = "{{range .NetworkSettings.Ports}}{{range .}}{{println .HostPort}}{{end}}{{end}}"
    return set(host.check_output(f"docker ps --quiet | xargs --no-run-if-empty docker inspect --format '{form}'").split())


@pytest.mark.usefixtures("hardened")
@pytest.mark.control("docker_engine-08")
def test_engine_listens_on_no_port(host, config):
    assert "hosts" not in config
    assert listening(host) <= published(host)
    assert "tcp://" not in host.check_output("tr '\\0' ' ' </proc/$(cat /run/docker.pid)/cmdline")


@pytest.mark.usefixtures("hardened")
@pytest.mark.control("docker_engine-09", "docker_engine-10")
def test_only_root_decides_over_the_engine(host):
    expected = {
        "/etc/docker": "root root 755",
        "/etc/docker/daemon.json": "root root 644",
        "/lib/systemd/system/docker.service": "root root 644",
        "/lib/systemd/system/docker.socket": "root root 644",
        "/run/docker.sock": "root docker 660",
    }
    lines = host.check_output(f"stat --format '%n %U %G %a' {' '.join(expected)}").splitlines()

    assert dict(line.split(" ", 1) for line in lines) == expected


@pytest.mark.usefixtures("hardened")
@pytest.mark.control("docker_engine-11")
def test_nobody_else_is_in_the_group(host):
    members = host.check_output("getent group docker").split(":")[3].split(",")

    assert set(members) <= {"", "crowsnest"}


# Programs and their libraries make an image; nothing is downloaded.
IMAGE = """
files=$(ldd /bin/sh /bin/grep /bin/sleep | grep --only-matching '/[^ :)]*' | sort --unique)
tar --create --dereference --directory=/ --file=- $files | docker import - crowsnest-probe:1 >/dev/null"""


@pytest.mark.vm
@pytest.mark.usefixtures("hardened")
@pytest.mark.control("docker_engine-04", "docker_engine-05", "docker_engine-12")
def test_a_container_inherits_the_profile(host):
    script = f"""
set -eu
trap 'docker rm --force probe >/dev/null; docker rmi crowsnest-probe:1 >/dev/null' EXIT
{IMAGE}
docker run --detach --name=probe --publish=8099:80 crowsnest-probe:1 /bin/sleep 60 >/dev/null
docker exec probe /bin/grep -E '^(NoNewPrivs|Seccomp):' /proc/1/status
docker exec probe /bin/sh -c 'ulimit -c; ulimit -n'
docker port probe
ps -C docker-proxy -o pid= || true
"""
    answer = host.check_output(f"bash -c {shlex.quote(script)}").split()

    assert answer == ["NoNewPrivs:", "1", "Seccomp:", "2", "0", "65536", "80/tcp", "->", "127.0.0.1:8099"]
