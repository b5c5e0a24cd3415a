"""The README's commands in a fresh clone: what a new user types and sees."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.catalogue import PROJECT_ROOT
from tests.figures import figure

from .conftest import StackUnderTest

pytestmark = [pytest.mark.docker, pytest.mark.stack]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clone") / "crowsnest"
    subprocess.run(["git", "clone", "--quiet", PROJECT_ROOT, folder], check=True)
    return folder


@pytest.fixture(scope="module")
def demo(make_stack: Callable[..., StackUnderTest]) -> StackUnderTest:
    """The demo stack with a prefix, ports and folders of its own."""
    tree = {
        "name_prefix": "crowsnest-fresh",
        "port_offset": 23000,
        "pipelines": {
            "logs": {"collector": "alloy", "containers": ["crowsnest-fresh-"]},
            "trading": {"components": ["postgresql", "trader"]},
        },
        "publish": ["victorialogs.http"],
    }
    stack = make_stack("demo", tree)
    stack.write()
    return stack


def make(clone: Path, demo: StackUnderTest, *arguments: str) -> tuple[str, float]:
    environment = {name: value for name, value in demo.environment.items() if name != "PYTHONPATH"}
    begun = time.monotonic()
    done = subprocess.run(
        ["make", *arguments], cwd=clone, env=environment, capture_output=True, text=True, timeout=590, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    return done.stdout, time.monotonic() - begun


def test_the_readmes_commands(clone: Path, demo: StackUnderTest):
    said, seconds = make(clone, demo, "up")
    figure("make up in a fresh clone, images built, s", f"{seconds:.0f}")
    assert re.search(r"^phase +seconds$", said, re.MULTILINE)
    assert all(
        re.search(rf"^{phase} +\d", said, re.MULTILINE) for phase in ("environment", "docker", "configure", "deploy", "verify")
    )
    assert f"victorialogs.http: {demo.url('victorialogs.http')}" in said
    assert len(re.findall(r"order filled|order submitted|entry signal|exit signal|position", said)) >= 5, (
        "records of a strategy"
    )

    again, seconds = make(clone, demo, "up")
    figure("second make up, s", f"{seconds:.1f}")
    assert "nothing changed" in again
    assert re.search(r"localhost +: ok=\d+ +changed=0 ", again)

    assert "healthy" in make(clone, demo, "status")[0]
    assert "no drift" in make(clone, demo, "drift")[0]
    assert "nothing to change" in make(clone, demo, "preview")[0]
    assert "strategy" in make(clone, demo, "logs")[0]
    assert "its data stays" in make(clone, demo, "down")[0]
    assert list((demo.folder / "data" / "crowsnest-fresh" / "postgresql").iterdir())
    assert "its data are gone" in make(clone, demo, "purge", "YES=1")[0]
    assert not (demo.folder / "data" / "crowsnest-fresh").exists()


def test_help_lists_every_command(clone: Path):
    said = subprocess.run(["make"], cwd=clone, capture_output=True, text=True, check=True, env=os.environ).stdout
    for command in ("up", "down", "purge", "status", "logs", "drift", "test"):
        assert re.search(rf"^  make {command} ", said, re.MULTILINE), command
