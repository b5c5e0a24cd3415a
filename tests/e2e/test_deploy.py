"""Deploying a whole stack: what is declared runs, twice changes nothing, and every drift is found and put right."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest

from infra.catalogue import catalogue
from tests.figures import figure

from .conftest import StackUnderTest

pytestmark = [pytest.mark.docker, pytest.mark.stack]

EMPTY_PROGRAM = """
import os, sys, tempfile, time
import pulumi
from pulumi import automation
folder = tempfile.mkdtemp()
options = automation.LocalWorkspaceOptions(env_vars={
    "PULUMI_BACKEND_URL": f"file://{folder}", "PULUMI_CONFIG_PASSPHRASE": "x", "PULUMI_SKIP_UPDATE_CHECK": "true",
    "PULUMI_HOME": folder})
stack = automation.create_or_select_stack("empty", "empty", lambda: pulumi.export("nothing", 0), opts=options)
stack.up()
begun = time.monotonic()
stack = automation.create_or_select_stack("empty", "empty", lambda: pulumi.export("nothing", 0), opts=options)
stack.up(refresh=True)
print(time.monotonic() - begun)
"""


def test_everything_declared_is_healthy(stack: StackUnderTest):
    document = stack.run("status").document
    assert {one["component"] for one in document["components"]} == {one.name for one in stack.settings.components}
    assert {one["state"] for one in document["components"]} == {"healthy"}


def test_a_second_up_changes_nothing(stack: StackUnderTest, pulumi_command: str):
    runs = [stack.up() for _ in range(3)]
    assert all(run.document["changes"] == [] for run in runs)
    mine = sorted(run.seconds for run in runs)[1]
    environment = {**stack.environment, "PATH": f"{Path(pulumi_command).parent}:{stack.environment['PATH']}"}
    empty = sorted(
        float(
            subprocess.run(
                [sys.executable, "-c", EMPTY_PROGRAM], env=environment, capture_output=True, text=True, check=True, timeout=60
            ).stdout
        )
        for _ in range(3)
    )[1]
    figure("no-op up with refresh, s (median of 3)", f"{mine:.2f}")
    figure("same engine, empty program, s (median of 3)", f"{empty:.2f}")
    figure("ratio no-op up to empty program", f"{mine / empty:.2f}")


def test_a_preview_of_an_unchanged_stack_is_empty(stack: StackUnderTest):
    assert stack.run("preview").document["changes"] == []


def test_a_preview_names_the_consequence(stack: StackUnderTest):
    logs = stack.tree["pipelines"]["logs"] | {"retention": {"time": "7d", "size": "5GiB"}}
    stack.write(memory_mb={"redis": 300}, pipelines=stack.tree["pipelines"] | {"logs": logs})
    try:
        changes = {change["resource"]: change for change in stack.run("preview").document["changes"]}
    finally:
        stack.write()
    assert changes["container victorialogs"]["operation"] == "replace"
    assert changes["container victorialogs"]["properties"] == ["command"]
    assert "its data stays" in changes["container victorialogs"]["consequence"]
    assert changes["container redis"]["operation"] == "update"
    assert "volume victorialogs" not in changes


def test_every_component_survives_a_restart_of_its_container(stack: StackUnderTest, client: docker.DockerClient):
    for component in stack.settings.components:
        client.containers.get(stack.settings.container_name(component)).restart()
    assert stack.up().document["changes"] == []
    assert {one["state"] for one in stack.run("status").document["components"]} == {"healthy"}


def test_twenty_clean_checks_find_no_drift(stack: StackUnderTest):
    checks = [stack.run("drift") for _ in range(20)]
    assert all(check.findings == set() for check in checks)
    figure("false alarms in 20 drift checks", 0)
    figure("drift check, s (median of 20)", f"{sorted(check.seconds for check in checks)[10]:.2f}")


STRAY = "crowsnest-e2e-stray"
ANOTHER_PORT = {f"{catalogue()['redis'].ports['resp'].container}/tcp": [{"HostIp": "127.0.0.1", "HostPort": "29999"}]}

# --- mutations ---------------------------------------------------------------------------------------------------------


@dataclass
class Mutation:
    """Something done behind the platform's back, and what drift has to name."""

    name: str
    act: Callable[[Mutator], None]
    expected: tuple[str, str]


class Mutator:
    """Does to containers and networks what a person with the docker command would."""

    def __init__(self, client: docker.DockerClient, stack: StackUnderTest) -> None:
        self.client, self.stack = client, stack

    def container(self, component: str) -> Any:
        return self.client.containers.get(self.stack.container(component))

    def network(self, name: str) -> Any:
        return self.client.networks.get(f"{self.stack.settings.name_prefix}-{name}")

    def recreate(self, component: str, change: Callable[[dict[str, Any]], None]) -> None:
        """Remove a container and make it anew under its name, with one thing changed."""
        old = self.container(component)
        attributes = self.client.api.inspect_container(old.id)
        body = {**attributes["Config"], "HostConfig": attributes["HostConfig"], "Image": attributes["Image"]}
        change(body)
        networks = list(attributes["NetworkSettings"]["Networks"])
        old.stop()
        old.remove()
        api = self.client.api
        response = api._post_json(api._url("/containers/create"), data=body, params={"name": old.name})
        api._raise_for_status(response)
        for network in networks[:]:
            if network != body["HostConfig"]["NetworkMode"]:
                self.client.networks.get(network).connect(old.name, aliases=[component])
        api.start(old.name)

    def remove_network(self, name: str) -> None:
        """Remove a network with containers still in it."""
        network = self.network(name)
        for container in network.containers:
            network.disconnect(container, force=True)
        network.remove()

    def other_image(self) -> str:
        """An image of another id that still holds Redis: the same content under one more label."""
        image = self.container("redis").image
        container = self.client.containers.create(image.id)
        try:
            return container.commit(repository="crowsnest-e2e-other", changes="LABEL other=1").id
        finally:
            container.remove()


def _set(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(body: dict[str, Any]) -> None:
        *folders, leaf = path.split(".")
        for folder in folders:
            body = body[folder]
        old = body.get(leaf)
        if isinstance(old, list):
            body[leaf] = [*old, value]
        elif isinstance(old, dict) and isinstance(value, dict):
            body[leaf] = {**old, **value}
        else:
            body[leaf] = value

    return change


MUTATIONS = [
    Mutation("stopped", lambda m: m.container("trader").stop(), ("container trader", "state")),
    Mutation("removed", lambda m: m.container("redis").remove(force=True), ("container redis", "existence")),
    Mutation("other env", lambda m: m.recreate("trader", _set("Env", "EXTRA=1")), ("container trader", "envs")),
    Mutation(
        "other memory limit",
        lambda m: m.container("redis").update(mem_limit="300m", memswap_limit="300m"),
        ("container redis", "memory"),
    ),
    Mutation(
        "other image", lambda m: m.recreate("redis", _set("Image", m.other_image())), ("container redis", "image")
    ),
    Mutation("other label", lambda m: m.recreate("redis", _set("Labels", {"mine": "1"})), ("container redis", "labels")),
    Mutation(
        "other mount",
        lambda m: m.recreate(
            "redis", _set("HostConfig.Mounts", {"Type": "bind", "Source": "/etc/hostname", "Target": "/mnt", "ReadOnly": True})
        ),
        ("container redis", "mounts"),
    ),
    Mutation(
        "port added",
        lambda m: m.recreate("redis", _set("HostConfig.PortBindings", ANOTHER_PORT)),
        ("container redis", "ports"),
    ),
    Mutation(
        "network removed",
        lambda m: m.remove_network("data"),
        ("network data", "existence"),
    ),
    Mutation(
        "stray container in our network",
        lambda m: m.client.containers.run(
            m.container("redis").image.id, entrypoint=["redis-server"], command=["--save", ""], detach=True, name=STRAY,
            network=m.network("data").name,
        ),
        (f"container {STRAY}", "existence"),
    ),
    Mutation(
        "network cut",
        lambda m: m.network("data").disconnect(m.container("redis")),
        ("container redis", "networksAdvanced"),
    ),
    Mutation(
        "pids limit lifted",
        lambda m: m.client.api._raise_for_status(
            m.client.api._post_json(
                m.client.api._url("/containers/{0}/update", m.container("redis").id), data={"PidsLimit": 0}
            )
        ),
        ("container redis", "pidsLimit"),
    ),
    Mutation(
        "configuration file edited",
        lambda m: _append(m.stack.folder / "config" / m.stack.settings.name_prefix / "redis" / "redis.conf"),
        ("container redis", "configuration"),
    ),
]  # fmt: skip


def _append(path: Any) -> None:
    path.write_text(path.read_text() + "\n# edited by hand\n")


@pytest.fixture
def mutator(client: docker.DockerClient, stack: StackUnderTest) -> Iterator[Mutator]:
    yield Mutator(client, stack)
    for stray in client.containers.list(all=True, filters={"name": STRAY}):
        stray.remove(force=True)


DETECTED: list[str] = []


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_drift_is_found_named_and_put_right(mutation: Mutation, mutator: Mutator, stack: StackUnderTest):
    mutation.act(mutator)
    found = stack.run("drift", expect=2)
    assert mutation.expected in found.findings, found.findings
    DETECTED.append(mutation.name)
    figure(f"drift {len(DETECTED)} of {len(MUTATIONS)}: {mutation.name}, detected in s", f"{found.seconds:.2f}")
    if mutation.name.startswith("stray"):
        assert (f"container {STRAY}", "existence") in stack.run("drift", expect=2).findings
        mutator.client.containers.get(STRAY).remove(force=True)
    else:
        stack.up()
    assert stack.run("drift").findings == set()
    assert {one["state"] for one in stack.run("status").document["components"]} == {"healthy"}
