"""Networks: created once, never changed; one that is there already is adopted only when it is ours."""

# ruff: noqa: ARG002  (the methods have the signatures of `Resource`)

from __future__ import annotations

from typing import Any

from supply.docker_provider import schema
from supply.docker_provider.daemon import Daemon, NotFound, until_released
from supply.docker_provider.errors import ProviderError
from supply.docker_provider.inspect import read_network
from supply.docker_provider.mapping import Json
from supply.docker_provider.resource import Found

_ADOPTED_ONLY_IF_EQUAL = ("driver", "internal")


class Network:
    """docker:index/network:Network"""

    schema = schema.NETWORK

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def create(self, inputs: dict[str, Any], timeout: float) -> Found:
        """Make it; see `Resource`."""
        existing = [found for found in self._daemon.networks(names=[inputs["name"]]) if found["Name"] == inputs["name"]]
        if existing:
            return self._adopt(self._daemon.inspect_network(existing[0]["Id"]), inputs)
        ipam: Json = {}
        sent: Json = {"IPAM": ipam}
        for name, value in inputs.items():
            self.schema.fields[name].place(value, sent)
        created = self._daemon.create_network(
            inputs["name"],
            driver=sent.get("Driver", "bridge"),
            options=sent.get("Options"),
            ipam={
                "Driver": ipam.get("Driver", "default"),
                "Options": ipam.get("Options"),
                "Config": ipam.get("Config"),
            },
            check_duplicate=True,
            internal=sent.get("Internal", False),
            labels=sent.get("Labels"),
            enable_ipv6=sent.get("EnableIPv6", False),
            attachable=sent.get("Attachable"),
            ingress=sent.get("Ingress"),
        )
        return self._found(self._daemon.inspect_network(created["Id"]), inputs)

    def read(self, id_: str, inputs: dict[str, Any]) -> Found | None:
        """Look it up; see `Resource`."""
        try:
            inspect = self._daemon.inspect_network(id_)
        except NotFound:
            return None
        return self._found(inspect, read_network(inspect, inputs))

    def update(self, id_: str, old: dict[str, Any], new: dict[str, Any], timeout: float) -> Found:
        """Apply what changes; see `Resource`."""
        return self._found(self._daemon.inspect_network(id_), new)

    def delete(self, id_: str, state: dict[str, Any]) -> None:
        """Remove it; see `Resource`."""
        until_released(lambda: self._daemon.remove_network(id_), lambda error: "active endpoints" in str(error.explanation))

    def _adopt(self, inspect: Json, inputs: dict[str, Any]) -> Found:
        name = inputs["name"]
        labels = {item["label"]: item["value"] for item in inputs.get("labels") or []}
        if not labels or not labels.items() <= (inspect.get("Labels") or {}).items():
            raise ProviderError(f"network {name} exists and was not created by this stack; remove or rename it")
        actual = read_network(inspect, inputs)
        if different := [key for key in _ADOPTED_ONLY_IF_EQUAL if actual.get(key) != inputs.get(key)]:
            raise ProviderError(f"network {name} exists with another {' and '.join(different)}; remove or rename it")
        return self._found(inspect, inputs)

    @staticmethod
    def _found(inspect: Json, inputs: dict[str, Any]) -> Found:
        return Found(inspect["Id"], inputs, {"scope": inspect.get("Scope")})
