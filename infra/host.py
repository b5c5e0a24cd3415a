"""What every resource of a stack shares: its settings, the Docker provider, the networks and the chosen images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pulumi
import pulumi_docker as docker

from infra.catalogue import Component, NetworkName
from infra.daemon import Daemon
from infra.settings import Settings

STACK_LABEL = "crowsnest.stack"
PREFIX_LABEL = "crowsnest.name_prefix"
COMPONENT_LABEL = "crowsnest.component"


@dataclass(frozen=True)
class Host:
    """One Docker engine as seen by one stack. ``image_of`` gives the image reference of a component."""

    settings: Settings
    provider: docker.Provider
    daemon: Daemon
    image_of: Callable[[Component], str]
    networks: Mapping[NetworkName, docker.Network] = field(default_factory=dict)

    @property
    def owner(self) -> dict[str, str]:
        """Labels of what belongs to this stack alone; the repair of interrupted deployments relies on them."""
        return {STACK_LABEL: self.settings.stack, PREFIX_LABEL: self.settings.name_prefix}

    def options(self, parent: pulumi.Resource | None = None) -> pulumi.ResourceOptions:
        """Options that every Docker resource of the stack starts from."""
        return pulumi.ResourceOptions(parent=parent, provider=self.provider)
