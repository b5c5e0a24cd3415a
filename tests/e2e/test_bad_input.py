"""Bad input: one clear line that says what to do, exit code 2 where nothing was tried, and nothing changed."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from .conftest import Result, StackUnderTest

pytestmark = [pytest.mark.docker, pytest.mark.stack]

LOGS = {
    "name_prefix": "crowsnest-bad",
    "port_offset": 22000,
    "pipelines": {"logs": {"collector": "none"}},
    "publish": ["victorialogs.http"],
}


@pytest.fixture(scope="module")
def bad(make_stack: Callable[..., StackUnderTest]) -> StackUnderTest:
    stack = make_stack("bad", LOGS)
    stack.configure()
    return stack


@pytest.fixture(autouse=True)
def nothing_is_changed(client: docker.DockerClient) -> Iterator[None]:
    def world() -> tuple[Any, ...]:
        prefix = {"name": LOGS["name_prefix"]}
        return (
            [one.id for one in client.containers.list(all=True, filters=prefix)],
            [one.id for one in client.networks.list(filters=prefix)],
            [one.name for one in client.volumes.list(filters=prefix)],
        )

    before = world()
    yield
    assert world() == before


def one_line(result: Result) -> str:
    lines = [line for line in result.err.splitlines() if line.startswith(("refused:", "failed:"))]
    assert len(lines) == 1, result.err
    assert "Traceback" not in result.err
    return lines[0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"retnetion": "14d"}, "retnetion: unknown key"),
        ({"pipelines": {"logs": {"retention": {"time": "-1d", "size": "1GiB"}}}}, "'-1d' is not a duration"),
        ({"publish": ["victorialogs.http", "victorialogs.http"]}, "is claimed by both"),
        ({"docker_host": "unix:///nonexistent.sock"}, "no Docker daemon answers at unix:///nonexistent.sock; start it"),
    ],
    ids=["unknown key", "negative retention", "duplicate port", "missing daemon"],
)
def test_settings_that_cannot_be_used(bad: StackUnderTest, changes: dict[str, Any], words: str):
    bad.write(**changes)
    assert words in one_line(bad.run("up", expect=2))


def test_a_port_that_another_program_has(bad: StackUnderTest):
    bad.write()
    port = int(bad.url("victorialogs.http").rsplit(":", 1)[1])
    with socket.create_server(("127.0.0.1", port)):
        line = one_line(bad.run("up", expect=2))
    assert f"port 127.0.0.1:{port} of victorialogs is in use by another program" in line
    assert "port_offset" in line


def test_files_that_were_not_placed(bad: StackUnderTest):
    bad.write(name_prefix="crowsnest-bad-unplaced")
    line = one_line(bad.run("up", expect=2))
    assert "not placed yet" in line
    assert "ansible-playbook playbooks/configure.yml" in line


def test_a_container_of_that_name_that_is_not_ours(bad: StackUnderTest, client: docker.DockerClient, stack: StackUnderTest):
    bad.write()
    image = client.containers.get(stack.container("redis")).image.id
    foreign = client.containers.create(image, name=bad.container("victorialogs"))
    try:
        line = one_line(bad.run("up", expect=2))
        assert client.containers.get(foreign.id)
    finally:
        foreign.remove()
    assert "is not Crowsnest's; rename or remove it" in line


def test_a_full_disk(bad: StackUnderTest, tmp_path: Path):
    bad.write()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)], check=True)
    try:
        environment = {**bad.environment, "CROWSNEST_STATE_DIR": str(tmp_path)}
        process = subprocess.run([*_up(bad)], env=environment, capture_output=True, text=True, timeout=60, check=False)
        left = list(tmp_path.iterdir())
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
    assert process.returncode == 2
    assert "MB free and" in one_line(Result(2, process.stdout, process.stderr, 0))
    assert left == []


def test_no_registry_and_no_other_supply(bad: StackUnderTest):
    """The registry's name does not resolve or its port is closed: `upstream` has no other way and says so."""
    bad.write(supply="upstream")
    line = one_line(bad.run("up", expect=None))
    assert "auto" in line
    assert "packages" in line


def test_another_daemon_than_the_states(bad: StackUnderTest, tmp_path_factory: pytest.TempPathFactory, stack: StackUnderTest):
    """A second real daemon: the state of the shared stack must not be applied to it."""
    folder = tmp_path_factory.mktemp("daemon")
    address = f"unix://{folder}/docker.sock"
    with (folder / "log").open("w") as log:
        daemon = subprocess.Popen(
            # In a network namespace of its own: a second daemon would take the first one's bridge away.
            ["unshare", "--net", "dockerd", "--host", address, "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec",
             "--pidfile", f"{folder}/pid", "--iptables=false"],
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        other = _wait_for(address)
        stack.write(docker_host=address)
        line = one_line(stack.run("up", expect=2))
        assert one_line(stack.run("drift", expect=2))
        assert one_line(stack.run("down", expect=2))
        assert other.containers.list(all=True) == []
        other.close()
    finally:
        stack.write()
        daemon.terminate()
        daemon.wait(30)
    assert "the state describes Docker daemon" in line
    assert "--accept-daemon" in line


def _wait_for(address: str) -> docker.DockerClient:
    deadline = time.monotonic() + 60
    while not Path(address.removeprefix("unix://")).exists():
        assert time.monotonic() < deadline, "the second daemon did not start"
        time.sleep(0.3)
    time.sleep(1)
    return docker.DockerClient(base_url=address, timeout=10)


def _up(stack: StackUnderTest) -> list[str]:
    return [sys.executable, "-m", "infra.cli", "up", "--stack", stack.name, "--json"]


def test_an_unknown_command_line_is_explained(bad: StackUnderTest):
    process = subprocess.run([*_up(bad), "--nope"], env=bad.environment, capture_output=True, text=True, check=False)
    assert process.returncode == 2
    assert "unrecognized arguments: --nope" in process.stderr
