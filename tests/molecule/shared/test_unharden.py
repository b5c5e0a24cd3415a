"""Holds for every role that can be undone: afterwards the machine is as it was before the first converge.

Runs after the role's own tests: what comes after it finds an unhardened machine.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCENARIO = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"])
ROLE = SCENARIO.parents[1]
PLAYBOOK = Path(__file__).parents[1] / "unharden.yml"


@pytest.mark.skipif(not (ROLE / "tasks/unharden.yml").exists(), reason="places files of the stack, nothing to undo")
def test_unharden_brings_back_the_earlier_state(host):
    subprocess.run(
        [
            Path(sys.executable).with_name("ansible-playbook"),
            f"--inventory={os.environ['MOLECULE_INVENTORY_FILE']}",
            f"--extra-vars=unharden_role={ROLE.name}",
            PLAYBOOK,
        ],
        check=True,
    )

    assert host.check_output("fingerprint | diff /root/fingerprint.before - || true") == ""
    assert not host.file(f"/var/lib/crowsnest/rollback/{ROLE.name}").exists
