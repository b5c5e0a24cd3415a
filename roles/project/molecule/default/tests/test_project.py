"""What git tracks is placed as it is in the work tree, whole, and nothing else."""

import os
import subprocess
import sys
from pathlib import Path

FOLDER = "/opt/crowsnest"
SOURCE = Path(f"{os.environ['MOLECULE_EPHEMERAL_DIRECTORY']}.project")


def test_the_work_tree_is_placed_as_it_is(host):
    files = host.check_output(f"cd {FOLDER} && find . -type f -printf '%P %u %m\\n' | sort").splitlines()

    assert files == [
        ".gitignore crowsnest 644",
        ".placed crowsnest 644",
        "file crowsnest 644",
        "scripts/bootstrap.sh crowsnest 755",
    ]
    assert host.check_output(f"cat {FOLDER}/file") == "changed"


def test_the_environment_is_the_users(host):
    assert host.check_output(f"stat --format %U {FOLDER}/.venv") == "crowsnest"


def test_new_content_takes_the_place_of_the_old_and_keeps_the_environment(host):
    before = host.check_output(f"stat --format %i {FOLDER}/.venv")
    (SOURCE / "file").write_text("again\n")
    playbook = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"]) / "converge.yml"
    subprocess.run(
        [
            Path(sys.executable).with_name("ansible-playbook"),
            f"--inventory={os.environ['MOLECULE_INVENTORY_FILE']}",
            playbook,
        ],
        check=True,
    )

    assert host.check_output(f"cat {FOLDER}/file") == "again"
    assert host.check_output(f"stat --format %i {FOLDER}/.venv") == before
    assert not host.file(f"{FOLDER}.old").exists
    assert not host.file(f"{FOLDER}.new").exists
