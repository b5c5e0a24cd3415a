"""The machine is brought back to what it was before the first run."""

import difflib

import pytest

from tests.vm.conftest import FAILED_UNITS, fingerprint
from tests.vm.converge import Ansible
from tests.vm.machine import Machine

# What the stack keeps on the machine, and what the kernel makes of the memory that is free at a boot.
LEFT_OUT = ("/etc/./crowsnest ", "/etc/./crowsnest/", "sysctl vm.user_reserve_kbytes ")


@pytest.mark.usefixtures("hardened")
def test_unharden_brings_back_the_earlier_machine(vm: Machine, ansible: Ansible, before: str, failed_before: str):
    ansible("playbooks/unharden.yml")
    # Locked audit rules, and parameters that the kernel only tightens, go with a reboot.
    vm.reboot()

    after = fingerprint(vm)

    lines = [[line for line in text.splitlines() if not line.startswith(LEFT_OUT)] for text in (before, after)]
    assert list(difflib.unified_diff(*lines, "before", "after", lineterm="", n=0)) == []
    assert vm.root(FAILED_UNITS) == failed_before
