"""What the server asks of each kind of resource."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from supply.docker_provider.schema import Schema


@dataclass(frozen=True)
class Found:
    """A resource as it is: its id, the inputs that would make it, and what only the daemon knows."""

    id: str
    inputs: dict[str, Any]
    outputs: dict[str, Any] = field(default_factory=dict)

    @property
    def state(self) -> dict[str, Any]:
        """What the engine keeps: inputs and outputs together."""
        return {**self.inputs, **self.outputs}


class Resource(Protocol):
    """One kind of resource on one daemon. Every method may raise ProviderError or the client's own errors."""

    @property
    def schema(self) -> Schema:
        """What it accepts."""

    def create(self, inputs: dict[str, Any], timeout: float) -> Found:
        """Make it; `timeout` is in seconds. May raise InitFailed when it exists but does not work."""

    def read(self, id_: str, inputs: dict[str, Any]) -> Found | None:
        """Look it up; None only when it is gone. `inputs` is what was declared, empty when importing."""

    def update(self, id_: str, old: dict[str, Any], new: dict[str, Any], timeout: float) -> Found:
        """Apply what changes in place. Also called without a change when it did not work the last time."""

    def delete(self, id_: str, state: dict[str, Any]) -> None:
        """Remove it; gone already is fine."""
