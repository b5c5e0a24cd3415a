"""Named volumes of the stores.

The bytes lie in a folder of the host (``paths.data``), which Ansible creates with the component's owner: no container has
to start as root to chown it, a backup finds it, and losing the volume object does not lose the data.
"""

from __future__ import annotations

import pulumi
import pulumi_docker as docker

from infra.catalogue import Component
from infra.host import COMPONENT_LABEL, PREFIX_LABEL, Host


def declare_volume(host: Host, component: Component, parent: pulumi.Resource) -> docker.Volume:
    """The volume of a component that stores data: protected, kept when it leaves the program, never replaced."""
    # No stack label: the data outlives the stack that made it and serves the next one of that prefix.
    labels = {PREFIX_LABEL: host.settings.name_prefix, COMPONENT_LABEL: component.name}
    keep = pulumi.ResourceOptions(protect=True, retain_on_delete=True)
    return docker.Volume(
        f"volume-{component.name}",
        name=host.settings.container_name(component),
        driver="local",
        driver_opts={"type": "none", "o": "bind", "device": str(host.settings.folders.data / component.name)},
        labels=[docker.VolumeLabelArgs(label=label, value=value) for label, value in sorted(labels.items())],
        opts=pulumi.ResourceOptions.merge(host.options(parent), keep),
    )
