"""The machine is brought back to what it was before the first run."""

import difflib

import pytest

from tests.vm.conftest import FAILED_UNITS, fingerprint
from tests.vm.converge import Ansible
from tests.vm.machine import Machine

# What the stack keeps on the machine, the test's own connection, and what a boot writes.
OURS = ("/etc/./crowsnest ", "/etc/./crowsnest/")


@pytest.mark.usefixtures("hardened")
def test_unharden_brings_back_the_earlier_machine(vm: Machine, ansible: Ansible, before: str, failed_before: str):
    ansible("playbooks/unharden.yml")
    # Locked audit rules, and parameters that the kernel only tightens, go with a reboot.
    vm.reboot()

    after = [line for line in fingerprint(vm).splitlines() if not line.startswith(OURS)]

    assert list(difflib.unified_diff(before.splitlines(), after, "before", "after", lineterm="", n=0)) == []
    assert vm.root(FAILED_UNITS) == failed_before
