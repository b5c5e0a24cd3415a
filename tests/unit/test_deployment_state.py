"""What a deployment concludes from the state: what to replace, whose lock it is, what a resource is called."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

import pytest
from pulumi.automation import Deployment

from infra import engine
from infra.checkpoint import CONTAINER, NETWORK, STACK, Checkpoint
from infra.drift import Finding
from infra.engine import Engine, LockedError
from infra.platform import DAEMON_OUTPUT
from infra.repair import to_replace


def checkpoint(*resources: dict, pending: int = 0) -> Checkpoint:
    return Checkpoint.of(Deployment(3, {"resources": list(resources), "pending_operations": [{}] * pending}))


def container(name: str, **more: object) -> dict:
    return {"urn": f"urn:pulumi:x::crowsnest::{CONTAINER}::{name}", "type": CONTAINER, "id": f"{name}-id", **more}


def test_a_checkpoint_knows_its_daemon_and_what_was_cut_short():
    state = checkpoint({"urn": "urn:x::stack", "type": STACK, "outputs": {DAEMON_OUTPUT: "D"}}, container("redis"), pending=2)
    assert state.daemon_id == "D"
    assert state.pending == 2
    assert state.container("redis").title == "container redis"
    assert state.container("trader") is None


def test_a_first_deployment_has_no_daemon():
    assert Checkpoint.of(Deployment(3, None)).daemon_id is None


def test_a_resource_that_waits_for_its_deletion_does_not_count():
    state = checkpoint(container("redis", id="old", delete=True), container("redis", id="new"))
    assert [one.id for one in state.of_type(CONTAINER, NETWORK)] == ["new"]


@pytest.mark.parametrize(
    ("properties", "replaced"),
    [
        (["envs"], True),
        (["labels", "memory"], True),
        (["configuration"], True),
        (["state"], False),  # started by the provider
        (["memory", "memorySwap"], False),  # updated in place
        (["pidsLimit"], False),  # applied after `up`
        (["existence"], False),  # the refresh makes it anew
        (["id", "envs"], False),  # an impostor: removed, then made anew
        ([], False),
    ],
)
def test_only_what_the_provider_cannot_mend_is_replaced(properties, replaced):
    findings = [Finding("container redis", name, 1, 2, "urn:redis") for name in properties]
    assert to_replace(findings) == (["urn:redis"] if replaced else [])


def test_strays_and_networks_are_never_replaced():
    assert (
        to_replace([Finding("container stray", "existence", "absent", "present"), Finding("network data", "labels", 1, 2, "u")])
        == []
    )


@pytest.fixture
def locked(tmp_path):
    """An engine of stack x in a folder of its own, and a way to lock it."""

    class Settings:
        stack = "x"

    one = Engine.__new__(Engine)
    one._settings, one._folder = Settings(), tmp_path
    folder = tmp_path / ".pulumi" / "locks" / "organization" / "crowsnest" / "x"
    folder.mkdir(parents=True)

    def lock(pid: int, hostname: str = socket.gethostname()):
        path = folder / f"{pid}.json"
        path.write_text(json.dumps({"pid": pid, "hostname": hostname, "timestamp": "2026-01-01"}))
        return path

    return one, lock


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_the_lock_of_a_killed_deployment_is_removed(locked):
    one, lock = locked
    path, said = lock(dead_pid()), []
    one.clear_stale_lock(said.append)
    assert not path.exists()
    assert "was killed" in said[0]


@pytest.mark.parametrize("hostname", [socket.gethostname(), "elsewhere"])
def test_the_lock_of_a_running_deployment_is_respected(locked, hostname, monkeypatch):
    one, lock = locked
    path = lock(os.getpid() if hostname == socket.gethostname() else dead_pid(), hostname)
    monkeypatch.setattr(engine, "LOCK_PATIENCE_SECONDS", 0)
    with pytest.raises(LockedError, match=r"another deployment of stack x is running \(pid \d+"):
        one.clear_stale_lock(print)
    assert path.exists()
