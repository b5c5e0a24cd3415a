"""Changes that would lock everybody out are refused, or undo themselves."""

import pytest

from tests.figures import figure
from tests.vm.converge import Ansible
from tests.vm.machine import Machine

pytestmark = pytest.mark.usefixtures("hardened")

SSHD = "sshd -T; sha256sum /etc/ssh/sshd_config.d/*; systemctl show --property=MainPID,ActiveState ssh.service"
FIREWALL = "sha256sum /etc/crowsnest-firewall.nft; nft --stateless list chain inet crowsnest input"
SECONDS_TO_COME_BACK = 60


def test_a_broken_sshd_configuration_is_refused(vm: Machine, ansible: Ansible):
    before = vm.root(SSHD)

    play = ansible("playbooks/harden.yml", "--tags=ssh", variables={"ssh_settings": {"PermitRootLogin": "perhaps"}}, expect=2)

    assert "failed to validate" in play.out
    assert "perhaps" in play.out
    assert vm.root(SSHD) == before
    assert vm.ssh("echo in").stdout == "in\n"


def test_a_firewall_without_the_port_of_sshd_is_refused(vm: Machine, ansible: Ansible):
    before = vm.root(FIREWALL)

    play = ansible("playbooks/harden.yml", "--tags=firewall", variables={"firewall_ssh_ports": [2222]}, expect=2)

    assert "Nothing was changed" in play.out
    assert vm.root(FIREWALL) == before
    assert vm.ssh("echo in").stdout == "in\n"


def test_a_firewall_that_cuts_ssh_undoes_itself(vm: Machine, ansible: Ansible):
    """The rules are well-formed, and the administrator is not among those who may connect."""
    before, begun = vm.root(FIREWALL), int(vm.root("date +%s"))

    play = ansible(
        "playbooks/harden.yml",
        "--tags=firewall",
        variables={"firewall_ssh_sources": ["192.0.2.0/24"], "firewall_confirm_seconds": 30},
        expect=None,
    )
    vm.wait(seconds=SECONDS_TO_COME_BACK)

    cut, back = moment(vm, begun, "crowsnest-firewall", "Reloaded"), moment(vm, begun, "crowsnest-revert-firewall", "Undo the")
    figure("firewall that cuts ssh: undone after, s", f"{back - cut:.0f}")
    assert back - cut < SECONDS_TO_COME_BACK
    assert play.code != 0
    assert vm.root(FIREWALL) == before
    assert ansible("playbooks/harden.yml", "--tags=firewall").changed == []


def moment(vm: Machine, since: int, unit: str, words: str) -> float:
    """When the journal first says this of a unit, as Unix time."""
    found = vm.root(f"journalctl --output=short-unix --no-pager --since=@{since} --unit={unit}.service --grep='{words}'")
    return float(found.split()[0])
