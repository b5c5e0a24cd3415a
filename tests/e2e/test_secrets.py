"""A secret's value is in its file and nowhere else: not in state, logs, process list, inspect or any output."""

from __future__ import annotations

import subprocess
from pathlib import Path

import docker
import pytest

from .conftest import StackUnderTest

pytestmark = [pytest.mark.docker, pytest.mark.stack]


@pytest.fixture(scope="module")
def canaries(stack: StackUnderTest) -> list[str]:
    folder = stack.folder / "config" / stack.settings.name_prefix / "secrets"
    values = [path.read_text().strip() for path in folder.iterdir()]
    assert len(values) >= 2
    assert all(len(value) >= 32 for value in values)
    return values


def assert_clean(text: str, canaries: list[str], where: str) -> None:
    assert not any(canary in text for canary in canaries), f"a secret stands in {where}"


def test_files_are_for_their_owner_alone(stack: StackUnderTest):
    folder = stack.folder / "config" / stack.settings.name_prefix / "secrets"
    for path in folder.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path


def test_state_and_engine_logs(stack: StackUnderTest, canaries: list[str]):
    files = [path for path in (stack.folder / "state").rglob("*") if path.is_file()]
    assert len(files) > 10
    for path in files:
        assert_clean(path.read_text(errors="replace"), canaries, str(path))


def test_process_list_and_environments(canaries: list[str]):
    for process in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            try:
                text = (process / name).read_bytes().decode(errors="replace")
            except OSError:  # ended meanwhile
                continue
            assert_clean(text, canaries, f"{process}/{name}")


def test_inspect_and_container_logs(stack: StackUnderTest, canaries: list[str], client: docker.DockerClient):
    for component in stack.settings.components:
        name = stack.settings.container_name(component)
        inspected = subprocess.run(["docker", "inspect", name], capture_output=True, text=True, check=True).stdout
        assert_clean(inspected, canaries, f"docker inspect {name}")
        assert_clean(client.api.logs(name).decode(errors="replace"), canaries, f"docker logs {name}")


def test_everything_that_was_printed(stack: StackUnderTest, canaries: list[str]):
    stack.run("preview")
    stack.write(memory_mb={"postgresql": 600})
    stack.run("preview")
    stack.write()
    assert_clean("".join(stack.said), canaries, "output of a command")
