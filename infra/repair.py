"""Repair before convergence: what a killed deployment or a stranger left behind is taken out of the way, gracefully."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import docker
from docker.errors import APIError, NotFound
from docker.models.containers import Container
from docker.models.networks import Network

from infra.checkpoint import CONTAINER, NETWORK, Checkpoint
from infra.drift import Finding
from infra.host import STACK_LABEL
from infra.settings import Settings

Say = Callable[[str], None]

# Properties that the provider sees at refresh, or that are applied after `up`: no replacement needed.
IN_PLACE = {"state", "memory", "memorySwap", "restart", "cpuShares", "pidsLimit", "unreadConfiguration"}
# Findings that leave nothing to replace: the refresh finds the resource gone and makes it anew.
GONE = {"existence", "id"}


def remove_leftovers(client: docker.DockerClient, settings: Settings, checkpoint: Checkpoint, say: Say) -> None:
    """Remove containers and networks that carry this stack's label or name and are not those of the state.

    Data is safe: containers get their stop signal and grace, volumes are never touched.
    """
    known = {resource.id for resource in checkpoint.of_type(CONTAINER, NETWORK)}
    names = {settings.container_name(component) for component in settings.components}
    for container in client.containers.list(all=True, ignore_removed=True):
        mine = container.labels.get(STACK_LABEL) == settings.stack or container.name in names
        if mine and container.id not in known:
            say(f"removing container {container.name}, which this stack's state does not know")
            _remove_container(container)
    for network in client.networks.list(filters={"label": f"{STACK_LABEL}={settings.stack}"}):
        if network.id not in known:
            say(f"removing network {network.name}, which this stack's state does not know")
            _remove_network(network)


def _remove_container(container: Container) -> None:
    with contextlib.suppress(NotFound):  # gone meanwhile
        container.stop()  # with the container's own signal and grace
        container.remove(v=False)


def _remove_network(network: Network) -> None:
    with contextlib.suppress(APIError):  # gone meanwhile, or a foreign container holds it: drift names that
        network.remove()


def to_replace(findings: list[Finding]) -> list[str]:
    """URNs of containers that only a replacement puts right, because the official provider would not see the change."""
    gone = {finding.urn for finding in findings if finding.property in GONE}
    urns = {
        finding.urn
        for finding in findings
        if finding.urn and finding.resource.startswith("container ") and finding.property not in IN_PLACE
    }
    return sorted(urn for urn in urns - gone if urn)
