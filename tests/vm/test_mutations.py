"""Every control is undone in turn, and its test sees it. See mutation.py."""

import json
from collections import Counter

from tests.figures import figure
from tests.vm.converge import Play, role_tests
from tests.vm.machine import Machine


def test_every_undone_control_is_seen(vm: Machine, hardened: Play):
    report = vm.folder / "mutations.json"

    done = role_tests(vm, "-p", "tests.vm.mutation", "--mutation-report", report)

    assert report.exists(), done.stdout[-8000:] + done.stderr[-2000:]
    outcomes = json.loads(report.read_text(encoding="utf-8"))
    counts = Counter(outcome["result"] for outcome in outcomes)
    figure("mutations killed", f"{counts['killed']} of {len(outcomes)}")
    others = [f"{o['control']} {o['result']}: {o['why']}; undone by: {o['undo']}" for o in outcomes if o["result"] != "killed"]
    assert others == [], "\n".join(others)
    # Also the tests that were run once more at the end.
    assert done.returncode == 0, done.stdout[-8000:]
