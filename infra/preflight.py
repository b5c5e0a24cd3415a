"""What must hold before anything is changed. Every check answers with lines that say what to do."""

from __future__ import annotations

import errno
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import docker
from docker.errors import NotFound

from infra import daemon
from infra.checkpoint import CONTAINER, Checkpoint
from infra.errors import Refused
from infra.host import STACK_LABEL
from infra.settings import Settings

# Room for state, logs and the first writes of the stores; below it a deployment breaks half-way.
FREE_SPACE_MB = 512
CONFIGURE = "run `ansible-playbook playbooks/configure.yml -e stack={stack}` (`make up` does)"


def check_host(settings: Settings) -> None:
    """What the host must offer, before the engine writes anything.

    Raises:
        Refused: with one line for each thing that has to be put right.
    """
    _refuse([*_full_disks(settings), *_missing_files(settings)])


def check_state(client: docker.DockerClient, settings: Settings, checkpoint: Checkpoint, *, accept_daemon: bool) -> None:
    """That the state and what runs belong together, and that nothing is in the way.

    Raises:
        Refused: with one line for each thing that has to be put right.
    """
    if not accept_daemon:
        check_daemon(client, checkpoint)
    _refuse([*_foreign_containers(client, settings, checkpoint), *_taken_ports(client, settings)])


def check_daemon(client: docker.DockerClient, checkpoint: Checkpoint) -> None:
    """That the daemon is the state's: a refresh against another one would take every resource for gone.

    Raises:
        Refused: when it is another one.
    """
    known, reached = checkpoint.daemon_id, daemon.read(client).identity
    if known and known != reached:
        raise Refused(
            f"the state describes Docker daemon {known}, but {reached} answers; correct docker_host,"
            " or give `up --accept-daemon` if that machine's Docker was installed anew"
        )


def _refuse(problems: list[str]) -> None:
    if problems:
        raise Refused(*problems)


def _missing_files(settings: Settings) -> Iterator[str]:
    """Bind mounts need their source; Ansible places it."""
    needed: list[Path] = []
    for component in settings.components:
        needed += [settings.folders.data / component.name] if component.data else []
        needed += [settings.folders.config / component.name] if component.config else []
        # The folder above, since who deploys may not look into it.
        needed += [(settings.folders.data / folder).parent for folder in component.reads.values()]
        needed += [settings.secret_file(name) for name in component.secrets]
    missing = [str(path) for path in needed if not path.exists()]
    if missing:
        yield f"not placed yet: {', '.join(missing)}; {CONFIGURE.format(stack=settings.stack)}"


def _foreign_containers(client: docker.DockerClient, settings: Settings, checkpoint: Checkpoint) -> Iterator[str]:
    """A container of our name that another stack or somebody else made. One that replaced ours is repaired instead."""
    known = {container.inputs["name"] for container in checkpoint.of_type(CONTAINER)}
    for component in settings.components:
        name = settings.container_name(component)
        try:
            labels = client.api.inspect_container(name)["Config"]["Labels"] or {}
        except NotFound:
            continue
        owner = labels.get(STACK_LABEL)
        if owner and owner != settings.stack:
            yield f"container {name} belongs to stack {owner}; run `make down STACK={owner}` first (its data stays)"
        elif not owner and name not in known:
            yield f"container {name} exists and is not Crowsnest's; rename or remove it, or set another name_prefix"


def _taken_ports(client: docker.DockerClient, settings: Settings) -> Iterator[str]:
    for component in settings.components:
        ours = _bound_ports(client, settings.container_name(component))
        for port in settings.published_ports(component):
            if port.published not in ours and _in_use(settings.listen, port.published):
                yield (
                    f"port {settings.listen}:{port.published} of {component.name} is in use by another program;"
                    " stop that, or set port_offset in the stack's file"
                )


def _bound_ports(client: docker.DockerClient, container: str) -> set[int]:
    try:
        bindings = client.api.inspect_container(container)["NetworkSettings"]["Ports"] or {}
    except NotFound:
        return set()
    return {int(binding["HostPort"]) for bound in bindings.values() for binding in bound or []}


def _in_use(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def _full_disks(settings: Settings) -> Iterator[str]:
    for folder in {settings.folders.state, settings.folders.data}:
        existing = next(path for path in [folder, *folder.parents] if path.exists())
        free_mb = shutil.disk_usage(existing).free // 2**20
        if free_mb < FREE_SPACE_MB:
            yield f"{existing} has {free_mb} MB free and {FREE_SPACE_MB} MB are needed; free some space or move {folder}"
