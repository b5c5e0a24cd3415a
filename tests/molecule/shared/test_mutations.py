"""Holds for every role with rows in the control matrix: each control is undone in turn, and its test sees it.

Runs last, on a machine that was unhardened: it is hardened again first.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutation import judge

SCENARIO = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"])
ROLE = SCENARIO.parents[1]
ROOT = ROLE.parents[1]


@pytest.mark.skipif(not (ROLE / "meta/controls.yml").exists(), reason="places files of the stack, sets no control")
@pytest.mark.skipif(os.environ.get("MOLECULE_SUITE", "bookworm") != "bookworm", reason="tests are tested once, on Debian 12")
@pytest.mark.skipif(bool(os.environ.get("MOLECULE_QUICK")), reason="left to `make molecule`")
@pytest.mark.timeout(1800)
def test_every_undone_control_is_seen(host, tmp_path):
    if not host.file("/run/systemd/system").exists:
        pytest.skip("the machine that is not hardened")
    report = tmp_path / "mutations.json"

    inventory = f"--inventory={os.environ['MOLECULE_INVENTORY_FILE']}"
    subprocess.run([Path(sys.executable).with_name("ansible-playbook"), inventory, SCENARIO / "converge.yml"], check=True)

    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.mutation", "--tb=short"]
    options = [f"--hosts=docker://{host.backend.host}", "--mutation-report", report, SCENARIO / "tests"]
    done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, check=False)

    judge(done, report)
