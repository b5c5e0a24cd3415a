"""A stack's last known state, read from the engine's export: what was declared, on which daemon, and what was cut short."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pulumi.automation import Deployment

from infra.platform import DAEMON_OUTPUT

CONTAINER = "docker:index/container:Container"
NETWORK = "docker:index/network:Network"
VOLUME = "docker:index/volume:Volume"
IMAGE = "docker:index/remoteImage:RemoteImage"
STACK = "pulumi:pulumi:Stack"


@dataclass(frozen=True)
class Resource:
    """One resource of the state: `inputs` as the program declared them, `outputs` as the provider saw them last."""

    urn: str
    type: str
    id: str
    inputs: dict[str, Any]
    outputs: dict[str, Any]

    @property
    def name(self) -> str:
        """Name in the program, the last part of the URN."""
        return self.urn.rsplit("::", 1)[-1]

    @property
    def title(self) -> str:
        """Type and name as a person says them: ``container postgresql``."""
        kind = self.type.rsplit(":", 1)[-1].removeprefix("Remote").lower()
        return f"{kind} {self.name.removeprefix(kind + '-')}"


@dataclass(frozen=True)
class Checkpoint:
    """The resources of a stack, and the number of operations that a killed deployment left behind."""

    resources: list[Resource]
    pending: int

    @classmethod
    def of(cls, deployment: Deployment) -> Checkpoint:
        """Read an exported deployment; resources that only wait for their deletion are left out."""
        content = deployment.deployment or {}
        resources = [
            Resource(
                urn=entry["urn"],
                type=entry["type"],
                id=entry.get("id", ""),
                inputs=entry.get("inputs") or {},
                outputs=entry.get("outputs") or {},
            )
            for entry in content.get("resources") or []
            if not entry.get("delete")  # already replaced, only its deletion is outstanding
        ]
        return cls(resources, len(content.get("pending_operations") or []))

    def of_type(self, *types: str) -> list[Resource]:
        """Resources of the given types, in the order of the state."""
        return [resource for resource in self.resources if resource.type in types]

    @property
    def daemon_id(self) -> str | None:
        """Identity of the daemon that the state describes; None before the first deployment."""
        return next((stack.outputs.get(DAEMON_OUTPUT) for stack in self.of_type(STACK)), None)

    def container(self, component: str) -> Resource | None:
        """The container of a component, if it was declared."""
        return next((container for container in self.of_type(CONTAINER) if container.name == component), None)
