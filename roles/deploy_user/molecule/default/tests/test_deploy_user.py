"""The user of deployments owns its folders, and can do no more than it has to."""

import pytest

RUN_AS = "setpriv --reuid=crowsnest --regid=crowsnest --init-groups"


@pytest.mark.control("deploy_user-01")
def test_nobody_logs_in_as_it(host):
    passwd, password = host.check_output("getent passwd crowsnest && getent shadow crowsnest | cut -d : -f 2").splitlines()
    _, _, number, *_, home, shell = passwd.split(":")

    assert int(number) < 1000
    assert (home, shell) == ("/var/lib/crowsnest/home", "/usr/sbin/nologin")
    assert password.startswith("!")


@pytest.mark.control("deploy_user-02")
def test_it_may_use_docker_and_read_what_it_deploys(host):
    groups = set(host.check_output("id --name --groups crowsnest").split())

    assert {"crowsnest", "docker"} <= groups
    assert {name for name in groups - {"crowsnest", "docker"} if not name.startswith("crowsnest-")} == set()
    assert host.run(f"{RUN_AS} cat /etc/shadow").rc != 0


@pytest.mark.control("deploy_user-03")
def test_its_folders_are_its_own(host):
    folders = {
        "/var/lib/crowsnest/state": "crowsnest crowsnest 700",
        "/var/cache/crowsnest": "crowsnest crowsnest 755",
        "/var/lib/crowsnest/home": "crowsnest crowsnest 700",
    }
    lines = host.check_output(f"stat --format '%n %U %G %a' {' '.join(folders)}").splitlines()

    assert dict(line.split(" ", 1) for line in lines) == folders
    assert host.check_output("find /var/lib/crowsnest/state -xdev ! -user crowsnest") == ""


@pytest.mark.container
def test_it_reads_the_configuration_of_a_component(host):
    host.check_output("install -d -m 0750 -g 10012 /srv/config && install -m 0440 -g 10012 /dev/null /srv/config/file")

    assert host.check_output(f"{RUN_AS} ls /srv/config") == "file"
    assert host.run(f"{RUN_AS} cat /srv/config/file").rc == 0
    assert host.run(f"{RUN_AS} touch /srv/config/other").rc != 0
