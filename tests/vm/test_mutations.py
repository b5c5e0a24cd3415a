"""Every control that takes a machine of its own is undone in turn, and its test sees it. See tests/mutation.py."""

from tests.mutation import judge
from tests.vm.converge import Play, role_tests
from tests.vm.machine import Machine


def test_every_undone_control_is_seen(vm: Machine, hardened: Play):
    report = vm.folder / "mutations.json"

    judge(role_tests(vm, "-p", "tests.mutation", "--mutation-report", report), report)
