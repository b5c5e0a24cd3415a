"""The project's Ansible plugins, run by the real ansible-playbook on this machine."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ANSIBLE_PLAYBOOK = Path(sys.executable).with_name("ansible-playbook")


@pytest.fixture
def start(tmp_path):
    """Start a playbook with one stream_command task that runs a Python program."""

    def start_playbook(program, *options, environment=None):
        task = {"name": "Stream", "stream_command": {"argv": [sys.executable, "-c", program]}, "environment": environment or {}}
        play = [{"name": "Play", "hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": [task]}]
        playbook = tmp_path / "streaming.yml"
        playbook.write_text(json.dumps(play), encoding="utf-8")
        return subprocess.Popen(
            [ANSIBLE_PLAYBOOK, "--inventory=localhost,", playbook, *options],
            cwd=ROOT,
            # Buffering is Python's default, not what the developer's shell says.
            env={**os.environ, "CROWSNEST_PHASES_FILE": str(tmp_path / "phases.json"), "PYTHONUNBUFFERED": ""},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return start_playbook


def test_lines_are_shown_while_the_command_runs(start, tmp_path):
    wait = f"while not pathlib.Path({str(tmp_path / 'go')!r}).exists(): time.sleep(0.1)"
    program = f"import pathlib, time\nprint('ready')\n{wait}"
    run = start(program)

    for line in run.stdout:
        if line.strip() == "ready":
            break
    assert run.poll() is None
    (tmp_path / "go").touch()

    run.communicate(timeout=30)
    assert run.returncode == 0


def test_exit_status_and_last_line_are_in_the_failure(start):
    output, _ = (run := start("import sys; print('first'); print('no room', end=''); sys.exit(2)")).communicate(timeout=30)

    assert run.returncode == 2
    assert "\n  first\n  no room\n" in output
    assert "exit status 2: no room" in output


def test_environment_reaches_the_command(start):
    output, _ = start("import os; print(os.environ['WORD'])", environment={"WORD": "a b"}).communicate(timeout=30)

    assert "\n  a b\n" in output


def test_check_mode_runs_nothing(start, tmp_path):
    run = start(f"open({str(tmp_path / 'touched')!r}, 'w')", "--check")
    run.communicate(timeout=30)

    assert run.returncode == 0
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_play_ends_the_command(start, tmp_path, number):
    pid_file = tmp_path / "pid"
    run = start(f"import os, pathlib, time\npathlib.Path({str(pid_file)!r}).write_text(str(os.getpid()))\ntime.sleep(60)")
    deadline = time.monotonic() + 20
    while not (pid_file.exists() and pid_file.read_text()) and time.monotonic() < deadline:
        time.sleep(0.1)

    run.send_signal(number)
    run.communicate(timeout=30)

    pid = pid_file.read_text()
    while runs(pid) and time.monotonic() < deadline + 10:
        time.sleep(0.1)
    assert not runs(pid)


def runs(pid):
    """Whether a process runs; one that ended and that nobody collected yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_phases_are_named_after_their_playbooks(start, tmp_path):
    start("print(1)").communicate(timeout=30)

    phases = json.loads((tmp_path / "phases.json").read_text())
    assert list(phases) == ["streaming"]
    assert phases["streaming"] > 0


@pytest.fixture
def packages(tmp_path):
    """Run a playbook with one debian_packages task, where dpkg knows bash and has removed vim. Gives exit status and output."""
    dpkg = tmp_path / "bin/dpkg-query"
    dpkg.parent.mkdir()
    dpkg.write_text("#!/bin/sh\nprintf 'installed bash\\nconfig-files vim\\n'\nexit 1\n", encoding="utf-8")
    dpkg.chmod(0o755)

    def run(names, *options):
        tasks = [
            {"name": "Install", "debian_packages": {"names": names}, "register": "were"},
            {"name": "Tell", "ansible.builtin.debug": {"msg": "missing: {{ were.missing }}"}},
        ]
        play = [{"name": "Play", "hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks}]
        (tmp_path / "packages.yml").write_text(json.dumps(play), encoding="utf-8")
        done = subprocess.run(
            [ANSIBLE_PLAYBOOK, "--inventory=localhost,", tmp_path / "packages.yml", *options],
            cwd=ROOT,
            env={**os.environ, "PATH": f"{dpkg.parent}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout

    return run


def test_an_installed_package_changes_nothing(packages):
    code, said = packages(["bash"])

    assert (code, "changed=0" in said, "missing: []" in said) == (0, True, True)


def test_check_mode_says_what_would_be_installed(packages):
    code, said = packages(["bash", "vim", "no-such-package"], "--check", "-v")

    assert code == 0
    assert "changed=1" in said
    assert "vim, no-such-package would be installed" in said


def test_packages_are_a_list(packages):
    code, said = packages("bash")

    assert code == 2
    assert "a list of packages is required" in said
