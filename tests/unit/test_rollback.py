"""The two modules that bring an earlier state back: rollback_point and commit_confirm, on files of this test."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

MODULES = Path(__file__).resolve().parents[2] / "plugins/modules"


def run_module(
    name: str, arguments: dict, *, check_mode: bool = False, path: str | None = None, source: str | None = None
) -> dict:
    """Run a module as Ansible does: arguments on standard input, the result on standard output."""
    run = subprocess.run(
        [sys.executable, "-c", source or (MODULES / f"{name}.py").read_text(encoding="utf-8")],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": {**arguments, "_ansible_check_mode": check_mode}}),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **({"PATH": f"{path}:{os.environ['PATH']}"} if path else {})},
    )
    assert run.stdout, run.stderr
    return json.loads(run.stdout)


@pytest.fixture
def point(tmp_path):
    """A machine with a file, a link, a folder and nothing, and the module's arguments for them."""
    etc = tmp_path / "etc"
    etc.mkdir()
    (etc / "file").write_text("before")
    (etc / "file").chmod(0o640)
    (etc / "link").symlink_to("file")
    (etc / "folder").mkdir(mode=0o750)
    names = ["file", "link", "folder", "new", "new_folder", "new_folder/file"]
    return etc, {"name": "role", "directory": str(tmp_path / "points"), "paths": [str(etc / name) for name in names]}


def change(etc: Path) -> None:
    (etc / "file").write_text("after")
    (etc / "file").chmod(0o600)
    (etc / "link").unlink()
    (etc / "link").write_text("a file now")
    (etc / "folder").rmdir()
    (etc / "new").symlink_to("nowhere")
    (etc / "new_folder").mkdir()
    (etc / "new_folder/file").write_text("x")


def test_everything_comes_back(point):
    etc, arguments = point

    kept = run_module("rollback_point", {**arguments, "state": "kept"})
    change(etc)
    again = run_module("rollback_point", {**arguments, "state": "kept"})
    restored = run_module("rollback_point", {**arguments, "state": "restored"})
    once_more = run_module("rollback_point", {**arguments, "state": "restored"})

    assert [result["changed"] for result in (kept, again, restored, once_more)] == [True, False, True, False]
    assert (etc / "file").read_text() == "before"
    assert (etc / "file").stat().st_mode & 0o7777 == 0o640
    assert (etc / "link").readlink() == Path("file")
    assert (etc / "folder").stat().st_mode & 0o7777 == 0o750
    assert sorted(path.name for path in etc.iterdir()) == ["file", "folder", "link"]
    assert list(Path(arguments["directory"]).iterdir()) == []


def test_path_named_later_is_kept_as_it_is_then(point):
    etc, arguments = point
    run_module("rollback_point", {**arguments, "state": "kept"})
    change(etc)
    (etc / "later").write_text("later")

    run_module("rollback_point", {**arguments, "state": "kept", "paths": [*arguments["paths"], str(etc / "later")]})
    (etc / "later").write_text("changed")
    run_module("rollback_point", {**arguments, "state": "restored"})

    assert ((etc / "file").read_text(), (etc / "later").read_text()) == ("before", "later")


def test_folder_with_a_strangers_file_stays_and_is_named(point):
    etc, arguments = point
    run_module("rollback_point", {**arguments, "state": "kept"})
    change(etc)
    (etc / "new_folder/strangers").touch()

    result = run_module("rollback_point", {**arguments, "state": "restored"})

    assert (etc / "new_folder/strangers").exists()
    assert "new_folder is not empty and stays" in str(result["warnings"])


def test_check_mode_keeps_and_restores_nothing(point):
    etc, arguments = point

    assert run_module("rollback_point", {**arguments, "state": "kept"}, check_mode=True)["changed"]
    assert not Path(arguments["directory"]).exists()
    run_module("rollback_point", {**arguments, "state": "kept"})
    change(etc)
    assert run_module("rollback_point", {**arguments, "state": "restored"}, check_mode=True)["changed"]
    assert (etc / "file").read_text() == "after"


def test_what_is_kept_is_roots_alone(point):
    _, arguments = point
    run_module("rollback_point", {**arguments, "state": "kept"})

    folder = Path(arguments["directory"]) / "role"
    assert folder.stat().st_mode & 0o7777 == 0o700
    assert {path.stat().st_mode & 0o7777 for path in folder.iterdir()} == {0o600}


@pytest.fixture
def armed(tmp_path):
    """Two files, one of which is not there yet; a systemctl that notes what it is asked; the module on these."""
    bin_folder, etc, units = tmp_path / "bin", tmp_path / "etc", tmp_path / "units"
    for folder in (bin_folder, etc, units):
        folder.mkdir()
    (bin_folder / "systemctl").write_text(f'#!/bin/sh\necho "$*" >>{tmp_path}/asked\n')
    (bin_folder / "systemctl").chmod(0o755)
    (etc / "config").write_text("before")
    source = (MODULES / "commit_confirm.py").read_text(encoding="utf-8").replace('"/etc/systemd/system"', repr(str(units)))
    arguments = {
        "name": "role",
        "directory": str(tmp_path / "waiting"),
        "paths": [str(etc / "config"), str(etc / "new one")],
        "commands": [f"touch {tmp_path}/applied"],
        "seconds": 30,
    }

    def run(state: str, **options) -> dict:
        return run_module("commit_confirm", {**arguments, "state": state, **options}, path=str(bin_folder), source=source)

    def fire() -> None:
        environment = {**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}"}
        subprocess.run(["sh", tmp_path / "waiting/role/revert.sh"], check=True, env=environment)

    return run, fire, tmp_path


def test_confirmed_change_stays(armed):
    run, _, root = armed

    run("armed")
    assert "OnActiveSec=30" in (root / "units/crowsnest-revert-role.timer").read_text()
    (root / "etc/config").write_text("after")
    confirmed = run("confirmed")

    assert (confirmed["changed"], run("confirmed")["changed"]) == (True, False)
    assert (root / "etc/config").read_text() == "after"
    assert list((root / "units").iterdir()) == list((root / "waiting").iterdir()) == []
    asked = (root / "asked").read_text()
    assert asked.index("restart crowsnest-revert-role.timer") < asked.index("stop crowsnest-revert-role.timer")


def test_unconfirmed_change_is_undone_and_confirming_it_fails(armed):
    run, fire, root = armed

    run("armed")
    (root / "etc/config").write_text("after")
    (root / "etc/new one").write_text("after")
    fire()
    late = run("confirmed")

    assert (root / "etc/config").read_text() == "before"
    assert not (root / "etc/new one").exists()
    assert (root / "applied").exists()
    assert list((root / "units").iterdir()) == []
    assert late["failed"]
    assert "was undone" in late["msg"]


def test_arming_twice_keeps_the_first_state(armed):
    run, fire, root = armed
    run("armed")
    (root / "etc/config").write_text("half done")
    run("armed")
    fire()

    assert (root / "etc/config").read_text() == "before"


def test_after_a_revert_the_next_change_starts_afresh(armed):
    run, fire, root = armed
    run("armed")
    fire()
    (root / "etc/config").write_text("newer")
    run("armed")
    (root / "etc/config").write_text("after")
    fire()

    assert (root / "etc/config").read_text() == "newer"


def test_time_too_short_to_connect_is_refused(armed):
    run, _, root = armed

    assert "at least 10" in run("armed", seconds=3)["msg"]
    assert not (root / "waiting").exists()
