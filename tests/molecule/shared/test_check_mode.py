"""Holds for every role: after a converge, check mode reports no change."""

import os
import re
import subprocess
import sys
from pathlib import Path


def test_check_mode_after_a_converge_reports_no_change():
    scenario = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"])
    run = subprocess.run(
        [
            Path(sys.executable).with_name("ansible-playbook"),
            "--check",
            f"--inventory={os.environ['MOLECULE_INVENTORY_FILE']}",
            scenario / "converge.yml",
        ],
        check=True,
        capture_output=True,
        text=True,
    )

    counts = re.findall(r"changed=(\d+)", run.stdout)

    assert counts, run.stdout
    assert set(counts) == {"0"}, run.stdout
