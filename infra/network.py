"""The networks of a stack. They never change once made: attaching a container to another one recreates it."""

from __future__ import annotations

import pulumi
import pulumi_docker as docker

from infra.catalogue import NetworkName, catalogue
from infra.host import Host

EDGE: NetworkName = "edge"


def declare_networks(host: Host) -> dict[NetworkName, docker.Network]:
    """The networks that the stack's components use, and `edge` when it publishes ports (internal ones cannot)."""
    used: set[NetworkName] = {name for component in host.settings.components for name in component.networks}
    if host.settings.published:
        used.add(EDGE)
    return {name: _network(host, name) for name in sorted(used)}


def _network(host: Host, name: NetworkName) -> docker.Network:
    return docker.Network(
        f"network-{name}",
        name=f"{host.settings.name_prefix}-{name}",
        driver="bridge",
        internal=catalogue().networks[name].internal,
        labels=[docker.NetworkLabelArgs(label=label, value=value) for label, value in sorted(host.owner.items())],
        # The name is fixed, so a changed network has to go before its successor comes.
        opts=pulumi.ResourceOptions.merge(host.options(), pulumi.ResourceOptions(delete_before_replace=True)),
    )
