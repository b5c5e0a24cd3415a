"""Every control of the matrix holds, after a reboot: the roles' own tests, over ssh."""

import json

from tests.controls import controls
from tests.figures import figure
from tests.vm.converge import Play, role_tests
from tests.vm.machine import Machine


def test_every_control_is_proven(vm: Machine, hardened: Play):
    report = vm.folder / "proof.json"

    done = role_tests(vm, "-p", "tests.vm.proof", "--proof-report", report)

    outcomes = json.loads(report.read_text(encoding="utf-8"))
    wanted = {control.id for control in controls() if not control.container_only}
    proven = {control for control, tests in outcomes.items() if set(tests.values()) == {"passed"}} & wanted
    figure("controls proven", f"{len(proven)} of {len(wanted)}")
    assert sorted(wanted - proven) == [], done.stdout[-8000:]
    assert done.returncode == 0, done.stdout[-8000:]
