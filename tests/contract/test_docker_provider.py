"""The Docker provider, driven by the real Pulumi engine against a real daemon."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pulumi
import pulumi_docker
import pytest
from pulumi import automation as auto

from supply.docker_provider.container import creation
from supply.docker_provider.daemon import connect
from supply.docker_provider.errors import ProviderError
from supply.docker_provider.inspect import differences, read_container
from supply.docker_provider.network import Network
from supply.docker_provider.volume import Volume

pytestmark = [
    pytest.mark.docker,
    # The Automation API's own language server leaves sockets and loops to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]

ROOT = Path(__file__).parents[2]
PREFIX = "cnprov-"
IMAGE = f"{PREFIX}busybox:1"
OTHER_IMAGE = f"{PREFIX}busybox:2"
SOCKET = "unix:///var/run/docker.sock"
MEBIBYTE = 1024 * 1024
LABELS = [{"label": "cnprov", "value": "yes"}]
SLEEP = "trap 'exit 0' TERM; while :; do sleep 0.1; done"

Program = Callable[[], None]


# --- the machine -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def daemon() -> Iterator[Any]:
    """A client of the local daemon; everything these tests create is removed before and after."""
    client = docker.APIClient(base_url=SOCKET, version="auto", timeout=60)
    _clean(client)
    yield client
    _clean(client)
    client.close()


def _clean(client: Any) -> None:
    _clear(client)
    for image in client.images():
        for tag in image.get("RepoTags") or []:
            if tag.startswith(PREFIX):
                client.remove_image(tag, force=True)


def _clear(client: Any) -> None:
    for container in client.containers(all=True, filters={"name": PREFIX}):
        client.remove_container(container["Id"], force=True, v=True)
    for network in client.networks():
        if network["Name"].startswith(PREFIX):
            client.remove_network(network["Id"])
    for volume in client.volumes()["Volumes"] or []:
        if volume["Name"].startswith(PREFIX):
            client.remove_volume(volume["Name"])


@pytest.fixture(scope="session")
def images(daemon: Any) -> None:
    """Two tiny images with a shell, made without a registry; they carry environment, labels and a command of their own."""
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("busybox: not installed (Debian package busybox-static)")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for directory in ("bin", "tmp", "data"):
            entry = tarfile.TarInfo(directory)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o777
            tar.addfile(entry)
        tar.add(busybox, "bin/busybox", filter=lambda entry: entry)
        for name in ("sh", "sleep", "echo", "touch", "true", "test"):
            entry = tarfile.TarInfo(f"bin/{name}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(entry)
    settings = ["ENV FROM_IMAGE=1", "LABEL made.by=test", 'CMD ["/bin/sleep", "1000"]', "WORKDIR /data", "EXPOSE 9999"]
    for tag in ("1", "2"):
        daemon.import_image_from_data(
            archive.getvalue(), repository=f"{PREFIX}busybox", tag=tag, changes=[*settings, f"ENV BUILD={tag}"]
        )


@pytest.fixture
def clean(daemon: Any, images: None) -> Iterator[Any]:
    """The daemon; every container, network and volume of these tests is removed afterwards."""
    yield daemon
    _clear(daemon)


class DeploymentFailed(Exception):
    """What the engine printed, on one line."""


class Deployment:
    """One stack in its own file backend; each call runs the real engine."""

    def __init__(self, directory: Path, pulumi_command: str) -> None:
        binaries = directory / "bin"
        binaries.mkdir(parents=True, exist_ok=True)
        plugin = binaries / "pulumi-resource-docker"
        plugin.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m supply.docker_provider "$@"\n')
        plugin.chmod(0o755)
        (directory / "state").mkdir(exist_ok=True)
        self.directory = directory
        self.pulumi_command = pulumi_command
        self.environment = {
            "PATH": f"{binaries}:{Path(pulumi_command).parent}:{os.environ['PATH']}",
            "PULUMI_BACKEND_URL": f"file://{directory / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": "test",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_HOME": str(directory / "home"),
        }
        self.stack = auto.create_or_select_stack(
            "test",
            "cnprov",
            lambda: None,
            opts=auto.LocalWorkspaceOptions(env_vars=self.environment),
        )

    def up(self, program: Program, *, refresh: bool = False) -> dict[str, int]:
        """Deploy; the number of resources by what happened to them, without those that stayed the same."""
        failure = ""
        try:
            return _counts(self.stack.up(program=program, refresh=refresh, on_output=_quiet).summary.resource_changes)
        except auto.CommandError as error:
            failure = str(error)
        gc.freeze()  # a failed run leaves an unfinished program behind, whose destruction would be loud: never collect it
        raise DeploymentFailed(" ".join(failure.split()))

    def refresh(self) -> dict[str, int]:
        """Read everything back; the number of resources by what was found, without those unchanged."""
        return _counts(self.stack.refresh(on_output=_quiet).summary.resource_changes)

    def preview(self, program: Program) -> tuple[dict[str, int], dict[str, set[str]]]:
        """What `up` would do: counts, and for each resource name the changed properties."""
        details: dict[str, set[str]] = {}

        def note(event: Any) -> None:
            if event.resource_pre_event and event.resource_pre_event.metadata.detailed_diff:
                metadata = event.resource_pre_event.metadata
                details.setdefault(metadata.urn.rpartition("::")[2], set()).update(metadata.detailed_diff)

        result = self.stack.preview(program=program, on_event=note, on_output=_quiet)
        return _counts(result.change_summary), details

    def fails(self, program: Program, *, refresh: bool = False) -> str:
        """Deploy, which must fail; what the engine printed."""
        with pytest.raises(DeploymentFailed) as failure:
            self.up(program, refresh=refresh)
        return str(failure.value)

    def state(self, name: str) -> dict[str, Any]:
        """What the engine keeps of one resource, by its name in the program."""
        resources = self.stack.export_stack().deployment["resources"]
        return next(item for item in resources if item["urn"].endswith(f"::{name}"))


def _quiet(_line: str) -> None:
    """Keeps the engine's progress out of the tests' output."""


def _counts(changes: Any) -> dict[str, int]:
    named = {str(getattr(kind, "value", kind)): count for kind, count in (changes or {}).items()}
    return {kind: count for kind, count in named.items() if kind != "same" and count}


@pytest.fixture
def deployment(tmp_path: Path, pulumi_command: str, clean: Any, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    for name in ("DOCKER_HOST", "PULUMI_ACCESS_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", f"{Path(pulumi_command).parent}:{os.environ['PATH']}")
    return Deployment(tmp_path, pulumi_command)


# --- programs ----------------------------------------------------------------------------------------------------


def provider() -> Any:
    return pulumi.ResourceOptions(provider=pulumi_docker.Provider("local", host=SOCKET))


def container(name: str = "one", **inputs: Any) -> Program:
    """A program with one container named after `name`."""

    def program() -> None:
        pulumi_docker.Container(name, **base(name, **inputs), opts=provider())

    return program


def base(name: str, **inputs: Any) -> dict[str, Any]:
    defaults = {
        "name": PREFIX + name,
        "image": IMAGE,
        "command": ["/bin/sh", "-c", SLEEP],
        "labels": LABELS,
        "must_run": True,
        "stop_timeout": 5,
    }
    if "networks_advanced" not in inputs:
        defaults["network_mode"] = "none"  # quicker, and independent of the machine's default bridge
    return {**defaults, **inputs}


def healthy(**inputs: Any) -> dict[str, Any]:
    return {
        "wait": True,
        "wait_timeout": 20,
        "healthcheck": {"tests": ["CMD", "/bin/true"], "interval": "200ms", "timeout": "5s", "retries": 2},
        **inputs,
    }


def full_platform() -> None:
    """Every kind of resource, and a container that declares about everything a hardened one declares."""
    options = provider()
    image = pulumi_docker.RemoteImage("image", name=IMAGE, keep_locally=True, opts=options)
    networks = [
        pulumi_docker.Network(name, name=PREFIX + name, internal=name == "inner", labels=LABELS, opts=options)
        for name in ("outer", "inner")
    ]
    volume = pulumi_docker.Volume("data", name=f"{PREFIX}data", labels=LABELS, opts=options)
    pulumi_docker.Container(
        "full",
        name=f"{PREFIX}full",
        image=image.image_id,
        command=["/bin/sh", "-c", SLEEP],
        envs=["B=2", "A=1=x", "BUILD=overridden"],
        labels=[*LABELS, {"label": "a", "value": "b"}],
        user="0:0",
        working_dir="/tmp",
        hostname="full",
        read_only=True,
        init=True,
        capabilities={"adds": ["CAP_CHOWN", "SETUID"], "drops": ["ALL"]},
        security_opts=["no-new-privileges:true"],
        memory=64,
        memory_reservation=32,
        memory_swap=64,
        cpus="0.50",
        cpu_shares=512,
        shm_size=32,
        restart="on-failure",
        max_retry_count=3,
        log_driver="json-file",
        log_opts={"max-size": "1m", "max-file": "2"},
        networks_advanced=[
            {"name": networks[0].name, "aliases": ["db", "cache"]},
            {"name": networks[1].id, "aliases": ["inside"]},
        ],
        ports=[{"internal": 80, "external": 18980, "ip": "127.0.0.1"}, {"internal": 81, "external": 18981, "protocol": "udp"}],
        mounts=[
            {"type": "volume", "source": volume.name, "target": "/data/", "volume_options": {"no_copy": True}},
            {"type": "bind", "source": "/etc/hostname", "target": "/etc/name", "read_only": True},
            {"type": "tmpfs", "target": "/scratch", "tmpfs_options": {"size_bytes": 1048576}},
        ],
        tmpfs={"/run": "size=1m,noexec"},
        ulimits=[{"name": "nofile", "soft": 1024, "hard": 2048}],
        sysctls={"net.core.somaxconn": "128"},
        hosts=[{"host": "elsewhere", "ip": "192.0.2.1"}],
        dns=["192.0.2.53"],
        group_adds=["10"],
        stop_signal="SIGTERM",
        stop_timeout=7,
        destroy_grace_seconds=8,
        remove_volumes=False,
        must_run=True,
        **healthy(),
        opts=options,
    )
    pulumi_docker.Container(
        "plain", name=f"{PREFIX}plain", image=IMAGE, labels=LABELS, network_mode="none", stop_timeout=1, opts=options
    )


# --- converging --------------------------------------------------------------------------------------------------


def test_create_then_nothing_changes(deployment: Deployment, clean: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert deployment.up(full_platform) == {"create": 8}
    times = {"no-op up": [], "no-op up with refresh": [], "refresh": []}  # type: dict[str, list[float]]
    for what, act in (
        ("no-op up", lambda: deployment.up(full_platform)),
        ("no-op up with refresh", lambda: deployment.up(full_platform, refresh=True)),
        *[("refresh", deployment.refresh)] * 20,
    ):
        begun = time.monotonic()
        assert act() == {}, what
        times[what].append(time.monotonic() - begun)
    assert deployment.preview(full_platform) == ({}, {})
    deployment.stack.destroy(on_output=_quiet)
    assert clean.containers(all=True, filters={"name": PREFIX}) == []
    assert clean.inspect_image(IMAGE), "keepLocally keeps the image"
    begun = time.monotonic()
    deployment.up(lambda: None)
    times["empty program"] = [time.monotonic() - begun]
    with capsys.disabled():
        print("\n8 resources: " + ", ".join(f"{what} {min(taken):.2f} s" for what, taken in times.items()))


def test_order_and_spelling_are_no_change(deployment: Deployment) -> None:
    deployment.up(container(envs=["A=1", "B=2"], cpus="0.5", healthcheck={"tests": ["CMD", "/bin/true"], "interval": "60s"}))
    same = container(envs=["B=2", "A=1"], cpus="0.50", healthcheck={"tests": ["CMD", "/bin/true"], "interval": "1m0s"})
    assert deployment.preview(same)[0] == {}


# --- drift -------------------------------------------------------------------------------------------------------


def _disconnected(daemon: Any, name: str) -> None:
    daemon.disconnect_container_from_network(name, f"{PREFIX}net")


def _connected(daemon: Any, name: str) -> None:
    daemon.connect_container_to_network(name, f"{PREFIX}other")


IN_PLACE: dict[str, tuple[Callable[[Any, str], Any], str | None]] = {
    "stopped": (lambda daemon, name: daemon.stop(name, timeout=5), "mustRun"),
    "killed": (lambda daemon, name: daemon.kill(name), "mustRun"),
    "paused": (lambda daemon, name: daemon.pause(name), "mustRun"),
    "removed": (lambda daemon, name: daemon.remove_container(name, force=True), None),
    "squeezed": (lambda daemon, name: daemon.update_container(name, mem_limit=32 * MEBIBYTE), "memory"),
    "shared": (lambda daemon, name: daemon.update_container(name, cpu_shares=64), "cpuShares"),
    "restarting": (lambda daemon, name: daemon.update_container(name, restart_policy={"Name": "always"}), "restart"),
    "disconnected": (_disconnected, "networksAdvanced"),
    "connected": (_connected, "networksAdvanced"),
    "renamed": (lambda daemon, name: daemon.rename(name, f"{name}-2"), "name"),
}


def test_every_change_behind_its_back_is_seen_and_repaired(deployment: Deployment, clean: Any) -> None:
    def program() -> None:
        options = provider()
        net = pulumi_docker.Network("net", name=f"{PREFIX}net", labels=LABELS, opts=options)
        pulumi_docker.Network("other", name=f"{PREFIX}other", labels=LABELS, opts=options)
        for name in IN_PLACE:
            inputs = base(name, memory=64, cpu_shares=128, networks_advanced=[{"name": net.name}], stop_timeout=1)
            pulumi_docker.Container(name, **inputs, opts=options)

    deployment.up(program)
    for name, (mutate, _) in IN_PLACE.items():
        mutate(clean, PREFIX + name)
    assert deployment.refresh() == {"update": len(IN_PLACE) - 1, "delete": 1}
    _, seen = deployment.preview(program)
    expected = {name: {changed} for name, (_, changed) in IN_PLACE.items() if changed}
    assert seen == expected

    repaired = deployment.up(program)
    assert repaired == {"create": 1, "update": 6, "replace": 3}
    assert deployment.refresh() == {}
    for name in IN_PLACE:
        inspect = clean.inspect_container(PREFIX + name)
        assert inspect["State"]["Status"] == "running", name
        assert inspect["HostConfig"]["Memory"] == 64 * MEBIBYTE, name


REMADE: dict[str, tuple[dict[str, Any], set[str]]] = {
    "env": ({"envs": ["A=2", "EXTRA=1"]}, {"envs"}),
    "label": ({"labels": [*LABELS, {"label": "more", "value": "1"}]}, {"labels"}),
    "image": ({"image": OTHER_IMAGE}, {"image"}),
    "mount": ({"mounts": [{"type": "tmpfs", "target": "/scratch"}]}, {"mounts"}),
    "port": ({"ports": [{"internal": 80, "external": 18982, "ip": "0.0.0.0"}]}, {"ports"}),
    "user": ({"user": "1000"}, {"user"}),
    "writable": ({"readOnly": False}, {"readOnly"}),
    "capability": ({"capabilities": {"adds": ["NET_ADMIN"], "drops": ["ALL"]}}, {"capabilities"}),
    "privileged": ({"privileged": True}, {"privileged"}),
    "bind": ({"volumes": [{"hostPath": "/etc", "containerPath": "/host"}]}, {"volumes"}),
    "same": ({}, set()),
}


def test_a_container_made_by_hand_differs_in_just_what_was_changed(clean: Any) -> None:
    declared = {
        "name": f"{PREFIX}one",
        "image": IMAGE,
        "labels": LABELS,
        "envs": ["A=1"],
        "readOnly": True,
        "capabilities": {"drops": ["ALL"]},
        "ports": [{"internal": 80, "external": 18982, "ip": "127.0.0.1"}],
        "start": False,
    }
    for name, (change, expected) in REMADE.items():
        body, _ = creation({**declared, **change})
        id_ = clean.create_container_from_config(body, declared["name"])["Id"]
        inspect = clean.inspect_container(id_)
        actual = read_container(inspect, clean.inspect_image(inspect["Image"]), declared)
        assert {item.property for item in differences(declared, actual)} == expected, name
        clean.remove_container(id_)


def test_a_moved_tag_is_seen(deployment: Deployment, clean: Any) -> None:
    tag = f"{PREFIX}moving:1"

    def program() -> None:
        options = provider()
        image = pulumi_docker.RemoteImage("image", name=tag, opts=options)
        pulumi_docker.Container("one", **base("one", image=image.image_id, stop_timeout=1), opts=options)

    clean.tag(IMAGE, *tag.split(":"))
    deployment.up(program)
    clean.tag(OTHER_IMAGE, *tag.split(":"))
    deployment.refresh()
    assert deployment.state("image")["outputs"]["imageId"] == clean.inspect_image(OTHER_IMAGE)["Id"]
    assert deployment.up(program) == {"replace": 1}
    assert clean.inspect_container(f"{PREFIX}one")["Image"] == clean.inspect_image(OTHER_IMAGE)["Id"]
    deployment.stack.destroy(on_output=_quiet)
    with pytest.raises(docker.errors.ImageNotFound):
        clean.inspect_image(tag)


# --- changing ----------------------------------------------------------------------------------------------------


def test_memory_changes_in_place_and_a_healthcheck_replaces(deployment: Deployment, clean: Any) -> None:
    deployment.up(container(memory=64))
    before = clean.inspect_container(f"{PREFIX}one")["Id"]

    assert deployment.preview(container(memory=96)) == ({"update": 1}, {"one": {"memory"}})
    assert deployment.up(container(memory=96)) == {"update": 1}
    inspect = clean.inspect_container(f"{PREFIX}one")
    assert inspect["Id"] == before
    assert inspect["HostConfig"]["Memory"] == 96 * MEBIBYTE
    assert inspect["HostConfig"]["MemorySwap"] == 192 * MEBIBYTE

    checked = container(memory=96, healthcheck={"tests": ["CMD", "/bin/true"]})
    assert deployment.preview(checked) == ({"replace": 1}, {"one": {"healthcheck"}})
    assert deployment.up(checked) == {"replace": 1}
    after = clean.inspect_container(f"{PREFIX}one")
    assert after["Id"] != before
    assert after["Config"]["Healthcheck"]["Test"] == ["CMD", "/bin/true"]

    assert deployment.up(container(memory=96, healthcheck={"tests": ["CMD", "/bin/true"]}, destroy_grace_seconds=9)) == {
        "update": 1
    }
    assert clean.inspect_container(f"{PREFIX}one")["Id"] == after["Id"]


def test_a_container_is_asked_to_stop_and_given_the_time(deployment: Deployment, clean: Any) -> None:
    """SIGTERM first, then the container's own stop timeout; the volume keeps what the handler wrote."""
    slow = "trap 'sleep 2; echo stopped >/data/marker; exit 0' TERM; while :; do sleep 0.1; done"

    def program(**inputs: Any) -> Program:
        def declare() -> None:
            options = provider()
            volume = pulumi_docker.Volume("data", name=f"{PREFIX}data", labels=LABELS, opts=options)
            mounts = [{"type": "volume", "source": volume.name, "target": "/data"}]
            arguments = base("one", command=["/bin/sh", "-c", slow], mounts=mounts, stop_timeout=20, **inputs)
            pulumi_docker.Container("one", **arguments, opts=options)

        return declare

    deployment.up(program())
    first, since = clean.inspect_container(f"{PREFIX}one")["Id"], int(time.time()) - 1
    assert deployment.up(program(envs=["A=1"])) == {"replace": 1}
    events = clean.events(since=since, until=int(time.time()) + 1, filters={"container": first, "event": "die"}, decode=True)
    assert [event["Actor"]["Attributes"]["exitCode"] for event in events] == ["0"]
    with contextlib.closing(clean.get_archive(f"{PREFIX}one", "/data/marker")[0]) as chunks:
        assert b"stopped" in b"".join(chunks)


# --- failing -----------------------------------------------------------------------------------------------------


def test_a_container_that_never_gets_healthy_fails_every_time_until_it_is_healthy(deployment: Deployment, clean: Any) -> None:
    command = ["/bin/sh", "-c", f"echo waiting for the flag; {SLEEP}"]
    check = {"tests": ["CMD", "/bin/test", "-e", "/tmp/flag"], "interval": "200ms", "timeout": "5s", "retries": 2}
    program = container(**healthy(command=command, healthcheck=check, wait_timeout=2))

    printed = deployment.fails(program)
    assert "container cnprov-one is not healthy after 2 s" in printed
    assert "log: waiting for the flag" in printed
    id_ = clean.inspect_container(f"{PREFIX}one")["Id"]
    assert deployment.state("one")["id"] == id_, "the engine knows of it"

    assert "not healthy" in deployment.fails(program)
    assert "not healthy" in deployment.fails(program, refresh=True)

    execution = clean.exec_create(id_, ["/bin/touch", "/tmp/flag"])
    clean.exec_start(execution["Id"])
    deployment.up(program)
    assert clean.inspect_container(f"{PREFIX}one")["Id"] == id_
    assert deployment.up(program, refresh=True) == {}


def test_a_container_that_exits_at_start_fails(deployment: Deployment) -> None:
    program = container(command=["/bin/sh", "-c", "echo no configuration; exit 3"])
    for _ in range(2):
        printed = deployment.fails(program)
        assert "container cnprov-one exited with code 3" in printed
        assert "log: no configuration" in printed


def test_a_port_in_use_leaves_no_container(deployment: Deployment, clean: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = [{"internal": 80, "external": taken.getsockname()[1], "ip": "127.0.0.1"}]

        def program() -> None:
            options = provider()
            net = pulumi_docker.Network("net", name=f"{PREFIX}net", labels=LABELS, opts=options)
            pulumi_docker.Container("one", **base("one", ports=ports, networks_advanced=[{"name": net.name}]), opts=options)

        printed = deployment.fails(program)
    assert "container cnprov-one could not be started" in printed
    assert "address already in use" in printed
    assert clean.containers(all=True, filters={"name": PREFIX}) == []


def test_a_missing_image_is_a_clear_error(deployment: Deployment) -> None:
    assert "pull or build it first" in deployment.fails(container(image=f"{PREFIX}missing:1"))


def test_a_foreign_container_is_refused_and_left_alone(deployment: Deployment, clean: Any) -> None:
    foreign = clean.create_container(IMAGE, name=f"{PREFIX}one", labels={"cnprov": "no"})["Id"]
    expected = "container cnprov-one exists and was not created by this stack; remove or rename it"
    assert expected in deployment.fails(container())
    assert clean.inspect_container(f"{PREFIX}one")["Id"] == foreign


def test_what_a_killed_deployment_left_is_replaced(deployment: Deployment, clean: Any) -> None:
    """The engine is killed while it waits; its provider ends by itself, and the next run makes the container anew."""
    script = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from tests.contract import test_docker_provider as here
check = {{"tests": ["CMD", "/bin/test", "-e", "/no"], "interval": "1s"}}
deployment = here.Deployment(here.Path({str(deployment.directory)!r}), {deployment.pulumi_command!r})
deployment.up(here.container(**here.healthy(healthcheck=check, wait_timeout=60)))
"""
    run = subprocess.Popen(
        [sys.executable, "-c", script], env={**os.environ, **deployment.environment}, stderr=subprocess.DEVNULL
    )
    orphan = _eventually(lambda: clean.containers(filters={"name": f"{PREFIX}one"}))[0]["Id"]
    engine = _eventually(lambda: [pid for pid in _children(run.pid) if _command(pid) == "pulumi"])[0]
    plugins = [pid for pid in _children(engine) if "supply.docker_provider" in _arguments(pid)]
    assert plugins
    os.kill(engine, signal.SIGKILL)
    assert run.wait(20) != 0
    _eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in plugins))

    deployment.stack.cancel()
    deployment.up(container())
    assert clean.inspect_container(f"{PREFIX}one")["Id"] != orphan
    assert len(clean.containers(all=True, filters={"name": PREFIX})) == 1


def _eventually(probe: Callable[[], Any], seconds: float = 20) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := probe()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)
    return found


def _children(parent: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            if f"\nPPid:\t{parent}\n" in status.read_text():
                found.append(int(status.parent.name))
    return found


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def _arguments(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    return ""


def test_a_missing_daemon_is_a_clear_error(deployment: Deployment, tmp_path: Path) -> None:
    def program() -> None:
        absent = pulumi_docker.Provider("absent", host=f"unix://{tmp_path}/docker.sock")
        pulumi_docker.Volume("data", name=f"{PREFIX}data", opts=pulumi.ResourceOptions(provider=absent))

    printed = deployment.fails(program)
    assert f"cannot reach the Docker daemon at unix://{tmp_path}/docker.sock: No such file or directory; start it" in printed


def test_inputs_that_would_be_ignored_are_refused(deployment: Deployment) -> None:
    printed = deployment.fails(container(uploads=[{"file": "/x", "content": "y"}], memory="much"))
    assert "uploads is not supported by this provider: mount a file instead" in printed
    assert "memory must be a whole number, not 'much'" in printed

    def with_certificates() -> None:
        pulumi_docker.Provider("tls", host=SOCKET, cert_path="/certs")

    assert "provider input certPath would be ignored" in deployment.fails(with_certificates)


# --- what is already there ---------------------------------------------------------------------------------------


def test_a_network_is_adopted_only_when_it_is_ours_and_alike(clean: Any) -> None:
    name = f"{PREFIX}net"
    declared = {"name": name, "labels": LABELS}
    network = Network(connect(SOCKET))
    made = network.create(declared, 0)
    assert network.create(declared, 0).id == made.id
    with pytest.raises(ProviderError, match="exists with another internal"):
        network.create({**declared, "internal": True}, 0)
    for labels in ([], [{"label": "cnprov", "value": "other"}]):
        with pytest.raises(ProviderError, match="was not created by this stack"):
            network.create({"name": name, "labels": labels}, 0)
    assert [found["Id"] for found in clean.networks(names=[name])] == [made.id]
    network.delete(made.id, {})
    network.delete(made.id, {})
    assert network.read(made.id, declared) is None


def test_a_volume_is_adopted_only_when_it_is_alike_and_never_touched(clean: Any) -> None:
    declared = {"name": f"{PREFIX}data", "labels": LABELS}
    volume = Volume(connect(SOCKET))
    made = volume.create(declared, 0)
    assert volume.create(declared, 0) == made
    with pytest.raises(ProviderError, match="its data is left alone"):
        volume.create({"name": f"{PREFIX}data"}, 0)
    with pytest.raises(ProviderError, match="driverOpts"):
        volume.create({**declared, "driverOpts": {"type": "tmpfs", "device": "tmpfs"}}, 0)
    assert clean.inspect_volume(f"{PREFIX}data")["Mountpoint"] == made.outputs["mountpoint"]
    volume.delete(made.id, {})
    volume.delete(made.id, {})
    assert volume.read(made.id, declared) is None
