"""A whole stack of its own for the end-to-end tests: own name prefix, ports and folders, real engine, real containers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import pytest
import yaml

from infra import settings as stack_settings
from infra.catalogue import PROJECT_ROOT, catalogue
from infra.settings import CONFIG_KEY, Settings
from tests.figures import figure

STACK = "e2e"


@dataclass
class Result:
    """What one command of the CLI did."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def document(self) -> dict[str, Any]:
        return json.loads(self.out.splitlines()[-1])

    @property
    def findings(self) -> set[tuple[str, str]]:
        return {(finding["resource"], finding["property"]) for finding in self.document["findings"]}


@dataclass
class StackUnderTest:
    """Drives ``infra.cli`` as a user would, in processes of its own, with the stack's own folders."""

    folder: Path
    tree: dict[str, Any]
    name: str = STACK
    said: list[str] = field(default_factory=list)

    @property
    def settings_file(self) -> Path:
        return self.folder / f"{self.name}.yaml"

    @property
    def environment(self) -> dict[str, str]:
        places = {name: str(self.folder / name) for name in ("config", "data", "state", "backup")}
        moved = {f"CROWSNEST_{name.upper()}_DIR": path for name, path in places.items()}
        return {**os.environ, **moved, "CROWSNEST_SETTINGS": str(self.settings_file), "PYTHONPATH": str(PROJECT_ROOT)}

    def configure(self, **changes: Any) -> None:
        """Write the settings with some keys changed, and have Ansible place what they need."""
        self.write(**changes)
        self.ansible("configure")

    def write(self, **changes: Any) -> None:
        self.settings_file.write_text(yaml.safe_dump({"config": {CONFIG_KEY: {**self.tree, **changes}}}))

    def ansible(self, playbook: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [Path(sys.executable).with_name("ansible-playbook"), f"playbooks/{playbook}.yml", "-e", f"stack={self.name}"],
            cwd=PROJECT_ROOT, env=self.environment, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        self.said.append(done.stdout + done.stderr)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
        return done

    def start(self, command: str, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "infra.cli", command, "--stack", self.name, "--json", *arguments],
            cwd=PROJECT_ROOT, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(self, command: str, *arguments: str, expect: int | None = 0) -> Result:
        begun = time.monotonic()
        process = self.start(command, *arguments)
        out, err = process.communicate(timeout=400)
        self.said += [out, err]
        result = Result(process.returncode, out, err, time.monotonic() - begun)
        assert expect is None or result.code == expect, f"{command} ended with {result.code}\n{out}\n{err}"
        return result

    def up(self, *arguments: str) -> Result:
        return self.run("up", *arguments)

    @property
    def settings(self) -> Settings:
        return stack_settings.read(self.name, self.settings_file)

    @contextmanager
    def here(self) -> Iterator[None]:
        """The stack's folders for what runs in this process, too."""
        with pytest.MonkeyPatch.context() as patch:
            for name, path in self.environment.items():
                patch.setenv(name, path)
            catalogue.cache_clear()
            try:
                yield
            finally:
                patch.undo()
                catalogue.cache_clear()

    def container(self, component: str) -> str:
        return self.settings.container_name(catalogue()[component])

    def url(self, entry: str) -> str:
        return self.settings.urls[entry]

    def secret(self, name: str) -> Path:
        return self.folder / "config" / self.settings.name_prefix / "secrets" / name


@pytest.fixture(scope="session")
def client() -> Iterator[docker.DockerClient]:
    client = docker.from_env(timeout=60)
    client.ping()
    yield client
    client.close()


@pytest.fixture(scope="session")
def make_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., StackUnderTest]]:
    """Makes stacks that are purged at the end of the session, whatever happened."""
    yield from made_stacks(tmp_path_factory)


def made_stacks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., StackUnderTest]]:
    """What makes stacks, which are purged when this goes on."""
    made: list[StackUnderTest] = []

    def make(name: str, tree: dict[str, Any]) -> StackUnderTest:
        folder = tmp_path_factory.mktemp(name)
        folder.chmod(0o755)  # containers run as users of their own and have to reach their files
        for parent in folder.parents:
            if parent.stat().st_uid == os.getuid() and parent != Path("/") and not parent.stat().st_mode & 0o001:
                parent.chmod(parent.stat().st_mode | 0o011)
        stack = StackUnderTest(folder, tree, name)
        made.append(stack)
        return stack

    yield make
    for stack in made:
        stack.write()
        stack.run("purge", "--yes", expect=None)
        shutil.rmtree(stack.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def stack(make_stack: Callable[..., StackUnderTest]) -> StackUnderTest:
    """The stack that most tests share: every component of the foundation, deployed once."""
    tree = {
        "name_prefix": f"crowsnest-{STACK}",
        "port_offset": 20000,
        "supply": os.environ.get("CROWSNEST_TEST_SUPPLY", "auto"),
        "pipelines": {
            "logs": {"collector": "alloy", "containers": [f"crowsnest-{STACK}-"]},
            "trading": {"trader": {"bars_per_second": 200}},
            "viewer": None,
        },
        "publish": ["victorialogs.http", "postgresql.sql"],
    }
    stack = make_stack(STACK, tree)
    stack.configure()
    first = stack.up()
    figure("first up, images present, s", f"{first.seconds:.1f}")
    return stack
