"""The one container factory. Every hardening default and every provider pitfall is handled here, once.

Source of the rules: docs/decisions/0003-container-factory.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pulumi
import pulumi_docker as docker

from infra.catalogue import Component, NetworkName, catalogue
from infra.fingerprint import fingerprint
from infra.host import COMPONENT_LABEL, Host
from infra.network import EDGE
from infra.settings import LOOPBACK
from infra.volume import declare_volume

SECRETS_FOLDER = "/run/secrets"
PIDS_LABEL = "crowsnest.pids_limit"
CONFIG_LABEL = "crowsnest.config"

# Inputs that the official provider reports as updated and leaves as they were; changing one has to replace the container.
SILENTLY_IGNORED = ["healthcheck", "tmpfs", "init", "cpuPeriod", "cpuQuota"]
# 2 files of 50 MB a container: enough to read back an incident, bounded whatever a component prints. A collector that is behind
# by more than a file loses the rest, so few large ones are better than many small ones.
# The tag puts the container's name beside each line, where a collector finds it without asking Docker.
LOG_OPTIONS = {"max-file": "2", "max-size": "50m", "tag": "{{.Name}}"}
# The engine's own defaults, which roles/docker_engine sets: Docker writes them into the container, and the provider takes that
# for a change.
SET_BY_THE_ENGINE = ["ulimits"]


def go_duration(seconds: int) -> str:
    """Seconds as Go prints a duration, which is what the provider reads back: 90 is ``1m30s``."""
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


class Service(pulumi.ComponentResource):
    """One component of the catalogue as a hardened container, with its volume and image.

    Args:
        component: entry of the catalogue.
        host: where it runs.
        command: arguments after the image's entrypoint.
        environment: variables; never a secret, they show in ``docker inspect``.
        hosts: addresses by further names that it knows; ``host-gateway`` is this machine, which takes the
            network that leaves the host.
        after: services that have to be healthy first; Docker itself has to know, so they need a probe that runs inside.
    """

    container: docker.Container

    def __init__(
        self,
        component: Component,
        host: Host,
        *,
        command: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        hosts: Mapping[str, str] | None = None,
        after: Sequence[Service] = (),
        parent: pulumi.Resource | None = None,
    ) -> None:
        super().__init__("crowsnest:infra:Service", component.name, None, pulumi.ResourceOptions(parent=parent))
        self._host = host
        self._component = component
        image = docker.RemoteImage(
            f"image-{component.name}",
            name=host.image_of(component),
            # Deleting an image goes by its name and can hit another stack's; pruning is not deployment.
            keep_locally=True,
            opts=host.options(self),
        )
        volume = declare_volume(host, component, self) if component.data else None
        self.container = docker.Container(
            component.name,
            name=host.settings.container_name(component),
            image=image.image_id,
            hostname=component.name,
            command=list(command) or None,
            envs=[f"{key}={value}" for key, value in sorted((environment or {}).items())] or None,
            hosts=[docker.ContainerHostArgs(host=name, ip=address) for name, address in sorted((hosts or {}).items())] or None,
            labels=self._labels(),
            networks_advanced=self._networks(outside=bool(hosts)),
            ports=self._ports(),
            mounts=self._mounts(volume),
            **self._isolation(),
            **self._lifecycle(),
            opts=pulumi.ResourceOptions.merge(
                host.options(self),
                pulumi.ResourceOptions(
                    delete_before_replace=True,
                    replace_on_changes=SILENTLY_IGNORED,
                    ignore_changes=SET_BY_THE_ENGINE,
                    depends_on=[service.container for service in after],
                ),
            ),
        )
        self.register_outputs({"container": self.container.name})

    def _isolation(self) -> dict[str, Any]:
        """What the container may do and use."""
        component, settings = self._component, self._host.settings
        memory_mb = settings.memory_limit_mb(component)
        capabilities = [name for exception in component.exceptions for name in exception.capabilities]
        return {
            "user": component.user,
            "group_adds": [str(catalogue()[name].uid) for name in sorted(component.reads)] or None,
            "read_only": not component.excepted("read_only"),
            "tmpfs": {path: self._tmpfs_options(size_mb) for path, size_mb in sorted(component.tmpfs.items())},
            "capabilities": docker.ContainerCapabilitiesArgs(drops=["ALL"], adds=capabilities or None),
            "security_opts": None if component.excepted("no_new_privileges") else ["no-new-privileges:true"],
            "memory": memory_mb,
            "memory_swap": memory_mb,  # equal to memory: no swap on top
            "cpus": f"{component.limits.cpus:g}",
            "shm_size": component.shm_mb,
        }

    def _tmpfs_options(self, size_mb: int) -> str:
        """Owned by the component's user: runc before 1.2 forgets a mode when a stopped container starts again."""
        owner = self._component.owner
        return f"rw,noexec,nosuid,nodev,size={size_mb}m,uid={owner},gid={owner},mode=0700"

    def _lifecycle(self) -> dict[str, Any]:
        """How it starts, proves itself, logs and ends."""
        component = self._component
        probe, stop = component.probe, component.stop
        return {
            "init": True,
            "restart": "unless-stopped",
            "must_run": True,
            # Who is asked from outside is waited for by `infra.cli up`; the image's own check, if any, is turned off.
            "wait": probe.test is not None,
            "wait_timeout": probe.start_seconds + self._host.settings.health_timeout_seconds if probe.test else None,
            "healthcheck": (
                docker.ContainerHealthcheckArgs(
                    tests=["CMD", *component.probe_command],
                    interval=go_duration(probe.interval_seconds),
                    timeout=go_duration(probe.timeout_seconds),
                    start_period=go_duration(probe.start_seconds),
                    retries=probe.retries,
                )
                if probe.test
                else docker.ContainerHealthcheckArgs(tests=["NONE"])
            ),
            "stop_signal": stop.signal,
            "stop_timeout": stop.grace_seconds,
            "destroy_grace_seconds": stop.grace_seconds,  # without it the provider sends SIGKILL at once
            "remove_volumes": False,
            "log_driver": "json-file",
            "log_opts": LOG_OPTIONS,
        }

    def _labels(self) -> list[docker.ContainerLabelArgs]:
        component = self._component
        labels = self._host.owner | {
            COMPONENT_LABEL: component.name,
            # The provider has no input for a pids limit; `infra.cli` applies the label's value after `up`.
            PIDS_LABEL: str(component.limits.pids),
            CONFIG_LABEL: fingerprint(self._host.settings, component),
        }
        return [docker.ContainerLabelArgs(label=label, value=value) for label, value in sorted(labels.items())]

    def _networks(self, *, outside: bool) -> list[docker.ContainerNetworksAdvancedArgs]:
        names: set[NetworkName] = set(self._component.networks)
        if outside or self._host.settings.published_ports(self._component):
            names.add(EDGE)
        return [
            docker.ContainerNetworksAdvancedArgs(name=self._host.networks[name].name, aliases=[self._component.name])
            for name in sorted(names)
        ]

    def _ports(self) -> list[docker.ContainerPortArgs] | None:
        return [
            docker.ContainerPortArgs(internal=port.container, external=port.published, ip=LOOPBACK, protocol="tcp")
            for port in self._host.settings.published_ports(self._component)
        ] or None

    def _mounts(self, volume: docker.Volume | None) -> list[docker.ContainerMountArgs] | None:
        """Volume, configuration folder and secret files. Mounts and not binds: they are read back at refresh."""
        component, settings = self._component, self._host.settings
        mounts: list[docker.ContainerMountArgs] = []
        if volume and component.data:
            # no_copy: the image must not change the folder's owner on first use.
            no_copy = docker.ContainerMountVolumeOptionsArgs(no_copy=True)
            mounts.append(
                docker.ContainerMountArgs(type="volume", source=volume.name, target=component.data, volume_options=no_copy)
            )
        files = {component.config: settings.folders.config / component.name} if component.config else {}
        files |= {f"{SECRETS_FOLDER}/{name}": settings.secret_file(name) for name in component.secrets}
        if component.container_logs:
            files[component.container_logs] = self._host.daemon.data_root / "containers"
        files |= {target: settings.folders.data / name for name, target in component.reads.items()}
        files |= {target: Path(source) for target, source in component.host_paths.items()}
        mounts += [
            docker.ContainerMountArgs(type="bind", source=str(source), target=target, read_only=True)
            for target, source in files.items()
        ]
        return mounts or None
