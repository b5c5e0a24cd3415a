"""The stack's containers run on the hardened machine, reach each other, and come back after a reboot."""

import json
import shlex
import time
import urllib.parse

import pytest

from infra import settings
from infra.catalogue import catalogue
from infra.service import LOG_OPTIONS
from supply import images
from tests.e2e.delivery import GENERATOR
from tests.figures import figure
from tests.vm import image
from tests.vm.conftest import FAILED_UNITS
from tests.vm.converge import Ansible, Play
from tests.vm.machine import Machine

STACK = settings.read(image.STACK)
HEALTHY_SECONDS = 300  # an emulated machine takes two minutes to boot, and starts its containers while it does


def container(component: str) -> str:
    return next(STACK.container_name(one) for one in STACK.components if one.name == component)


def wait_for_health(vm: Machine) -> dict[str, str]:
    """State of each component, once all are well, or the last after some minutes; none while the engine is still starting."""
    status = f"cd /opt/crowsnest && PYTHONPATH=src:. .venv/bin/python -m infra.cli status --json --stack {STACK.stack}"
    deadline = time.monotonic() + HEALTHY_SECONDS
    while True:
        states = {one["component"]: one["state"] for one in json.loads(vm.root(status, check=False)).get("components", [])}
        if states == healthy() or time.monotonic() > deadline:
            return states
        time.sleep(5)


def healthy() -> dict[str, str]:
    return {component.name: "healthy" for component in STACK.components}


@pytest.mark.usefixtures("hardened")
def test_containers_run(vm: Machine):
    assert wait_for_health(vm) == healthy()


@pytest.mark.usefixtures("hardened")
def test_containers_reach_each_other(vm: Machine):
    """From inside the trader: the database's and the log store's ports, by the names that Docker gives."""
    ends = (("postgresql", 5432), ("victorialogs", 9428))
    probe = f"import socket; [socket.create_connection(end, 20).close() for end in {ends}]"

    vm.root(f"docker exec {container('trader')} python3 -c {shlex.quote(probe)}")


@pytest.mark.usefixtures("hardened")
def test_a_new_container_has_the_engine_s_hardening(vm: Machine):
    options = json.loads(vm.root(f"docker inspect --format '{{{{json .HostConfig}}}}' {container('trader')}"))

    assert "no-new-privileges:true" in options["SecurityOpt"]
    assert options["Privileged"] is False


@pytest.mark.usefixtures("hardened")
def test_no_line_of_a_container_is_lost_when_the_engine_restarts(vm: Machine):
    """A container goes on printing through the restart (live-restore), and the collector brings every line."""
    name, lines = f"{STACK.name_prefix}-lines", 600
    image = images.packages_reference(catalogue()["trader"])
    options = " ".join(f"--log-opt {option}={shlex.quote(value)}" for option, value in LOG_OPTIONS.items())
    vm.root(
        f"docker run --detach --network none --name {name} {options} --entrypoint python3 {image}"
        f" -c {shlex.quote(GENERATOR)} engine-restarted 20 {lines} 0"
    )
    try:
        vm.root("sleep 10; systemctl restart docker.service && docker wait " + name)
        count = "run_id:=engine-restarted | stats count() as total, count_uniq(seq) as unique"
        body = urllib.parse.urlencode({"query": count})
        url = f"{STACK.url(catalogue()['victorialogs'])}/select/logsql/query"
        ask = f"import urllib.request as r; print(r.urlopen({url!r}, {body.encode()!r}, timeout=20).read().decode())"
        for _ in range(12):
            found = json.loads(vm.root(f"python3 -c {shlex.quote(ask)}", check=False) or "{}")
            if int(found.get("unique", 0)) == lines:
                break
            time.sleep(5)
    finally:
        vm.root(f"docker rm --force {name}")
    figure("delivery, engine restarted", f"{lines} written, {found}")
    assert int(found["unique"]) == lines


@pytest.mark.usefixtures("hardened")
def test_everything_is_back_after_a_reboot(vm: Machine):
    vm.reboot()

    assert wait_for_health(vm) == healthy()
    assert vm.root(FAILED_UNITS) == ""


def test_a_run_after_the_reboot_changes_nothing(hardened: Play, ansible: Ansible):
    play = ansible.site()

    figure("site.yml without changes, s", f"{play.seconds:.0f}")
    assert play.changed == []
    assert play.counts["changed"] == 0
