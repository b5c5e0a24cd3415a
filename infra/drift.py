"""Drift: what Docker runs against what was declared.

It compares ``docker inspect`` with the inputs in the state and asks no provider: the official one does not read back
environment, labels or networks, so its refresh cannot be trusted to find a change.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import docker
from docker.errors import ImageNotFound, NotFound

from infra import reload
from infra.checkpoint import CONTAINER, IMAGE, NETWORK, VOLUME, Checkpoint, Resource
from infra.fingerprint import fingerprint
from infra.host import STACK_LABEL
from infra.service import CONFIG_LABEL, PIDS_LABEL
from infra.settings import Settings
from supply.docker_provider.inspect import Difference, differences, read_container, read_network, read_volume

PRESENT = "present"
ABSENT = "absent"


@dataclass(frozen=True)
class Finding:
    """One property of one resource that is not as declared. ``urn`` is None for what was never declared."""

    resource: str
    property: str
    declared: Any
    actual: Any
    urn: str | None = None

    def __str__(self) -> str:
        return f"{self.resource}: {self.property} is {_short(self.actual)}, declared {_short(self.declared)}"

    def as_json(self) -> dict[str, Any]:
        """The finding as plain data."""
        return asdict(self)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 160 else f"{text[:157]}..."


class Probe:
    """Compares one stack with one daemon. Reads only.

    Args:
        client: the daemon.
        settings: the stack's settings, for its configuration folders.
        checkpoint: what was declared.
    """

    def __init__(self, client: docker.DockerClient, settings: Settings, checkpoint: Checkpoint) -> None:
        self._api = client.api
        self._unread = reload.pending(client, settings)
        self._settings = settings
        self._checkpoint = checkpoint

    def findings(self) -> list[Finding]:
        """Everything that differs, in the order of the state, strays last."""
        compare = {CONTAINER: self._container, NETWORK: self._network, VOLUME: self._volume, IMAGE: self._image}
        found = [finding for resource in self._checkpoint.of_type(*compare) for finding in compare[resource.type](resource)]
        return found + list(self._strays())

    def _container(self, resource: Resource) -> Iterator[Finding]:
        try:
            actual = self._api.inspect_container(resource.inputs["name"])
        except NotFound:
            yield _missing(resource)
            return
        if actual["Id"] != resource.id:
            yield Finding(resource.title, "id", resource.id[:12], actual["Id"][:12], resource.urn)
        if not actual["State"]["Running"]:
            yield Finding(resource.title, "state", "running", actual["State"]["Status"], resource.urn)
        # mustRun is how the provider says what `state` has just said.
        declared = {name: value for name, value in resource.inputs.items() if name != "mustRun"}
        yield from _as_findings(resource, differences(declared, self._container_inputs(actual, resource)))
        yield from self._outside_the_provider(actual, resource)

    def _container_inputs(self, actual: dict[str, Any], resource: Resource) -> dict[str, Any]:
        try:
            image = self._api.inspect_image(actual["Image"])
        except ImageNotFound:
            image = None
        return read_container(actual, image, resource.inputs)

    def _outside_the_provider(self, actual: dict[str, Any], resource: Resource) -> Iterator[Finding]:
        """What the labels promise and the provider has no input for: the pids limit and the placed configuration."""
        labels = {label["label"]: label["value"] for label in resource.inputs.get("labels", [])}
        pids = actual["HostConfig"].get("PidsLimit")
        if PIDS_LABEL in labels and pids != int(labels[PIDS_LABEL]):
            yield Finding(resource.title, "pidsLimit", int(labels[PIDS_LABEL]), pids, resource.urn)
        component = next((component for component in self._settings.components if component.name == resource.name), None)
        if component and (placed := fingerprint(self._settings, component)) != labels.get(CONFIG_LABEL):
            yield Finding(resource.title, "configuration", labels.get(CONFIG_LABEL), placed, resource.urn)

        if component and component.reload and component in self._unread:
            yield Finding(resource.title, "unreadConfiguration", "none", "changed since it was read", resource.urn)

    def _network(self, resource: Resource) -> Iterator[Finding]:
        try:
            actual = self._api.inspect_network(resource.id)
        except NotFound:
            yield _missing(resource)
            return
        yield from _as_findings(resource, differences(resource.inputs, read_network(actual, resource.inputs)))

    def _volume(self, resource: Resource) -> Iterator[Finding]:
        try:
            actual = self._api.inspect_volume(resource.inputs["name"])
        except NotFound:
            yield _missing(resource)
            return
        yield from _as_findings(resource, differences(resource.inputs, read_volume(actual, resource.inputs)))

    def _image(self, resource: Resource) -> Iterator[Finding]:
        try:
            actual = self._api.inspect_image(resource.inputs["name"])
        except ImageNotFound:
            yield _missing(resource)
            return
        if actual["Id"] != resource.outputs["imageId"]:
            yield Finding(resource.title, "imageId", resource.outputs["imageId"], actual["Id"], resource.urn)

    def _strays(self) -> Iterator[Finding]:
        """Containers in our networks or with our label that nobody declared."""
        declared = {resource.inputs["name"] for resource in self._checkpoint.of_type(CONTAINER)}
        filters = [{"network": [resource.id]} for resource in self._checkpoint.of_type(NETWORK)]
        filters.append({"label": [f"{STACK_LABEL}={self._settings.stack}"]})
        seen = {
            container["Names"][0].lstrip("/"): container
            for criterion in filters
            for container in self._api.containers(all=True, filters=criterion)
        }
        for name in sorted(set(seen) - declared):
            networks = ", ".join(sorted(seen[name]["NetworkSettings"]["Networks"]))
            yield Finding(f"container {name}", "existence", ABSENT, f"{PRESENT} in {networks}")


def _missing(resource: Resource) -> Finding:
    return Finding(resource.title, "existence", PRESENT, ABSENT, resource.urn)


def _as_findings(resource: Resource, found: Iterable[Difference]) -> Iterator[Finding]:
    for difference in found:
        yield Finding(resource.title, difference.property, difference.declared, difference.actual, resource.urn)
