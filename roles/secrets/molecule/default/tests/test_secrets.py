"""Secrets are random, private, made once, and seen by nobody on the way."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = "/etc/crowsnest/demo/secrets"
OWNERS = {"missing": 10010, "empty": 10020, "existing": 10030}


def test_folder_cannot_be_listed_by_others(host):
    folder = host.file(FOLDER)

    assert (folder.uid, folder.mode) == (0, 0o711)


@pytest.mark.parametrize(("name", "uid"), OWNERS.items())
def test_secret_is_readable_for_its_component_only(host, name, uid):
    file = host.file(f"{FOLDER}/{name}")

    assert (file.uid, file.gid, file.mode) == (uid, uid, 0o400)


def test_missing_and_empty_ones_are_made(host):
    made = [host.file(f"{FOLDER}/{name}").content_string for name in ("missing", "empty")]

    assert made[0] != made[1]
    for secret in made:
        assert re.fullmatch(r"[A-Za-z0-9_-]{43}", secret)  # 32 bytes


def test_one_that_is_there_is_kept(host):
    assert host.file(f"{FOLDER}/existing").content_string == "from-an-earlier-run"


def test_no_draft_is_left(host):
    assert sorted(host.file(FOLDER).listdir()) == sorted(OWNERS)


def test_the_most_talkative_run_shows_no_secret(host):
    host.check_output(f"rm {FOLDER}/missing")
    run = subprocess.run(
        [
            Path(sys.executable).with_name("ansible-playbook"),
            "-vvvvv",
            "--diff",
            f"--inventory={os.environ['MOLECULE_INVENTORY_FILE']}",
            Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"]) / "converge.yml",
        ],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "ANSIBLE_NO_LOG": "false"},
    )
    secret = host.file(f"{FOLDER}/missing").content_string

    assert "changed=1" in run.stdout
    assert secret not in run.stdout + run.stderr
    assert secret not in host.check_output("ps -ef; journalctl --no-pager --quiet || true")
