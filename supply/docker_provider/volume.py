"""Volumes: created once, never changed; a volume that is there already is never touched, only adopted or refused."""

# ruff: noqa: ARG002  (the methods have the signatures of `Resource`)

from __future__ import annotations

from typing import Any

from supply.docker_provider import schema
from supply.docker_provider.daemon import Daemon, NotFound, until_released
from supply.docker_provider.errors import ProviderError
from supply.docker_provider.inspect import differences, read_volume
from supply.docker_provider.mapping import Json
from supply.docker_provider.resource import Found


class Volume:
    """docker:index/volume:Volume. Its id is its name."""

    schema = schema.VOLUME

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def create(self, inputs: dict[str, Any], timeout: float) -> Found:
        """Make it; see `Resource`."""
        try:
            existing = self._daemon.inspect_volume(inputs["name"])
        except NotFound:
            sent: Json = {}
            for name, value in inputs.items():
                self.schema.fields[name].place(value, sent)
            created = self._daemon.create_volume(
                sent["Name"], sent.get("Driver"), driver_opts=sent.get("Options"), labels=sent.get("Labels")
            )
            return self._found(created, inputs)
        if found := differences(inputs, read_volume(existing, inputs)):
            what = ", ".join(f"{item.property} {item.actual!r} instead of {item.declared!r}" for item in found)
            raise ProviderError(
                f"volume {inputs['name']} exists with {what}; its data is left alone: rename it in the program, "
                "declare it as it is, or remove it yourself"
            )
        return self._found(existing, inputs)

    def read(self, id_: str, inputs: dict[str, Any]) -> Found | None:
        """Look it up; see `Resource`."""
        try:
            inspect = self._daemon.inspect_volume(id_)
        except NotFound:
            return None
        return self._found(inspect, read_volume(inspect, inputs))

    def update(self, id_: str, old: dict[str, Any], new: dict[str, Any], timeout: float) -> Found:
        """Apply what changes; see `Resource`."""
        return self._found(self._daemon.inspect_volume(id_), new)

    def delete(self, id_: str, state: dict[str, Any]) -> None:
        """Remove it; see `Resource`."""
        until_released(lambda: self._daemon.remove_volume(id_), lambda error: "in use" in str(error.explanation))

    @staticmethod
    def _found(inspect: Json, inputs: dict[str, Any]) -> Found:
        return Found(inspect["Name"], inputs, {"mountpoint": inspect.get("Mountpoint")})
