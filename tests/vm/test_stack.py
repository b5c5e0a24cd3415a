"""The stack's containers run on the hardened machine, reach each other, and come back after a reboot."""

import json
import shlex

import pytest

from infra import settings
from tests.figures import figure
from tests.vm import image
from tests.vm.converge import Ansible, Play
from tests.vm.machine import Machine

STACK = settings.read(image.STACK)


def container(component: str) -> str:
    return next(STACK.container_name(one) for one in STACK.components if one.name == component)


def states(vm: Machine) -> dict[str, str]:
    """Health of every container."""
    return dict(
        line.split()
        for line in vm.root("docker ps -aq | xargs docker inspect --format '{{.Name}} {{.State.Health.Status}}'").splitlines()
    )


def wait_for_health(vm: Machine) -> dict[str, str]:
    vm.root(
        "for _ in $(seq 60); do docker ps -aq | xargs docker inspect --format '{{.State.Health.Status}}' | grep -qv '^healthy$'"
        " || exit 0; sleep 3; done",
        check=False,
    )
    return states(vm)


def healthy() -> dict[str, str]:
    return {f"/{STACK.container_name(component)}": "healthy" for component in STACK.components}


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
def test_everything_is_back_after_a_reboot(vm: Machine):
    vm.reboot()

    assert wait_for_health(vm) == healthy()
    assert vm.root("systemctl --failed --no-legend --plain") == ""


def test_a_run_after_the_reboot_changes_nothing(hardened: Play, ansible: Ansible):
    play = ansible.site()

    figure("site.yml without changes, s", f"{play.seconds:.0f}")
    assert play.changed == []
    assert play.counts["changed"] == 0
