"""Mutations of a real stack in every layer that the machine itself shows: each is found, named, and gone when it is undone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import pytest

from infra.catalogue import PROJECT_ROOT
from tests.figures import figure

from .conftest import StackUnderTest

pytestmark = [pytest.mark.docker, pytest.mark.stack, pytest.mark.timeout(1800)]

PREFIX = "cn12d"
TREE = {
    "name_prefix": PREFIX,
    "port_offset": 38000,
    "supply": os.environ.get("CROWSNEST_TEST_SUPPLY", "auto"),
    "pipelines": {
        "trading": {"components": ["redis"]},
        "metrics": {"containers": "none", "market_hours": "always"},
    },
}
LAYERS = ["--layer=containers", "--layer=images", "--layer=files"]
CHECKS_WITHOUT_DRIFT = 20


@pytest.fixture(scope="module")
def watched(make_stack: Callable[..., StackUnderTest]) -> StackUnderTest:
    stack = make_stack("drift", TREE)
    stack.configure()
    stack.up()
    return stack


def config(stack: StackUnderTest) -> Path:
    return stack.folder / "config" / PREFIX


@contextmanager
def mode(path: Path, value: int) -> Iterator[None]:
    before = path.stat().st_mode & 0o7777
    path.chmod(value)
    yield
    path.chmod(before)


@contextmanager
def owner(path: Path) -> Iterator[None]:
    before = path.stat()
    os.chown(path, 12345, 12345)
    yield
    os.chown(path, before.st_uid, before.st_gid)


@contextmanager
def emptied(path: Path) -> Iterator[None]:
    content, times = path.read_bytes(), path.stat()
    path.write_bytes(b"")
    yield
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@contextmanager
def there(path: Path) -> Iterator[None]:
    folder = path.parent.stat()
    path.write_text("x")
    yield
    path.unlink()
    os.utime(path.parent, ns=(folder.st_atime_ns, folder.st_mtime_ns))


@contextmanager
def moved_away(path: Path) -> Iterator[None]:
    away = path.with_name(f"{path.name}.away")
    path.rename(away)
    yield
    path.parent.mkdir(exist_ok=True)
    away.rename(path)


@contextmanager
def other_image(stack: StackUnderTest, client: docker.DockerClient) -> Iterator[None]:
    """The name of Redis' image is given to another image: what runs is no longer what would be chosen."""
    running = client.containers.get(stack.container("redis")).image
    (name, *_) = running.tags
    other = client.containers.get(stack.container("prometheus")).image
    repository, _, tag = name.rpartition(":")
    other.tag(repository, tag)
    yield
    running.tag(repository, tag)


MUTATIONS: dict[str, Callable[[StackUnderTest, docker.DockerClient], object]] = {
    "secret that others read": lambda s, _: mode(s.secret("redis_password"), 0o444),
    "secret of another owner": lambda s, _: owner(s.secret("redis_password")),
    "secret that is empty": lambda s, _: emptied(s.secret("redis_password")),
    "secret that is gone": lambda s, _: moved_away(s.secret("redis_password")),
    "secret of nobody's": lambda s, _: there(s.secret("note")),
    "folder of secrets that others list": lambda s, _: mode(s.secret("x").parent, 0o755),
    "configuration that may be written": lambda s, _: mode(config(s) / "redis" / "redis.conf", 0o460),
    "configuration of another owner": lambda s, _: owner(config(s) / "redis" / "users.acl"),
    "file that was put there": lambda s, _: there(config(s) / "prometheus" / "more.yml"),
    "folder of configuration that others list": lambda s, _: mode(config(s) / "alertmanager", 0o755),
    "data that others reach": lambda s, _: mode(s.folder / "data" / PREFIX / "redis", 0o755),
    "data of another owner": lambda s, _: owner(s.folder / "data" / PREFIX / "prometheus"),
    "image under a name that means another": other_image,
}


def test_no_false_alarm(watched):
    for _ in range(CHECKS_WITHOUT_DRIFT):
        assert watched.run("drift", *LAYERS).findings == set()
    figure("drift layers, false alarms / checks", f"0 / {CHECKS_WITHOUT_DRIFT}")


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutation_is_found_and_named(watched, client, name):
    with MUTATIONS[name](watched, client):
        found = watched.run("drift", *LAYERS, expect=2)
    figure(f"drift found: {name}, s", f"{found.seconds:.1f}")

    assert found.findings
    assert watched.run("drift", *LAYERS).findings == set()


def test_the_report_is_for_ci_and_for_the_exporter_too(watched, tmp_path):
    with mode(watched.secret("redis_password"), 0o444):
        watched.run("drift", *LAYERS, "--publish", "--junit", str(tmp_path / "drift.xml"), expect=2)
    suites = {suite.get("name"): suite.get("failures") for suite in ET.parse(tmp_path / "drift.xml").getroot()}
    metrics = (watched.folder / "data" / PREFIX / "node-exporter" / "drift.prom").read_text()

    assert suites == {"containers": "0", "images": "0", "files": "1"}
    assert 'crowsnest_drift_findings{stack="drift",layer="files"} 1\n' in metrics
    assert 'crowsnest_drift_check_success{stack="drift",layer="containers"} 1\n' in metrics


def test_what_ansible_would_place_anew_is_found(tmp_path):
    """A stack of the project's own, since the roles ask for it by its name; nothing of it is started."""
    tmp_path.chmod(0o755)
    moved = {f"CROWSNEST_{name.upper()}_DIR": str(tmp_path / name) for name in ("config", "data", "state", "backup")}
    environment = {**os.environ, **moved, "PYTHONPATH": "src:."}
    tools = Path(sys.executable).parent

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=PROJECT_ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False
        )

    def drift() -> subprocess.CompletedProcess[str]:
        return run(sys.executable, "-m", "infra.cli", "drift", "--stack", "dev", "--layer", "ansible")

    placed = run(str(tools / "ansible-playbook"), "playbooks/configure.yml", "-e", "stack=dev")
    assert placed.returncode == 0, placed.stdout[-2000:]
    before = drift()
    assert before.returncode == 0, before.stdout
    with (tmp_path / "config/crowsnest/redis/redis.conf").open("a") as file:
        file.write("# by hand\n")
    shutil.rmtree(tmp_path / "data/crowsnest/postgresql")

    found = drift()

    assert found.returncode == 2
    assert "drift: task redis : Place the configuration" in found.stdout
    assert "drift: task data_directories : Create the folder of each store" in found.stdout
