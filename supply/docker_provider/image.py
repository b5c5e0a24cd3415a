"""Images that come from somewhere else: used when they are on this machine, pulled when they are not."""

# ruff: noqa: ARG002  (the methods have the signatures of `Resource`)

from __future__ import annotations

from typing import Any

from supply.docker_provider import schema
from supply.docker_provider.daemon import PULL_TIMEOUT, APIError, Daemon, NotFound, explain
from supply.docker_provider.errors import ProviderError
from supply.docker_provider.mapping import Json
from supply.docker_provider.resource import Found


class RemoteImage:
    """docker:index/remoteImage:RemoteImage. Its id is the image id followed by the declared name."""

    schema = schema.REMOTE_IMAGE

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._created: set[str] = set()

    def create(self, inputs: dict[str, Any], timeout: float) -> Found:
        """Make it; see `Resource`."""
        name = inputs["name"]
        inspect = self._local(name)
        if inspect is None or not _is_for(inspect, inputs.get("platform")):
            self._pull(name, inputs.get("platform"), timeout or PULL_TIMEOUT)
            inspect = self._daemon.inspect_image(name)
        self._created.add(name)
        return self._found(inspect, inputs)

    def read(self, id_: str, inputs: dict[str, Any]) -> Found | None:
        """Look it up; see `Resource`."""
        inputs = inputs or {"name": id_}
        inspect = self._local(inputs["name"])
        return None if inspect is None else self._found(inspect, inputs)

    def update(self, id_: str, old: dict[str, Any], new: dict[str, Any], timeout: float) -> Found:
        """Apply what changes; see `Resource`."""
        return self._found(self._daemon.inspect_image(new["name"]), new)

    def delete(self, id_: str, state: dict[str, Any]) -> None:
        """Remove the image unless it is to stay, its name means another image by now, or it was just replaced."""
        name = state["name"]
        inspect = self._local(name)
        if state.get("keepLocally") or name in self._created or inspect is None or inspect["Id"] != state.get("imageId"):
            return
        try:
            self._daemon.remove_image(name, force=bool(state.get("forceRemove")))
        except NotFound:
            return

    def _local(self, name: str) -> Json | None:
        try:
            inspect: Json = self._daemon.inspect_image(name)
        except NotFound:
            return None
        return inspect

    def _pull(self, name: str, platform: str | None, timeout: float) -> None:
        try:
            self._daemon.pull_image(name, platform, timeout)
        except (ProviderError, APIError, OSError) as error:
            reason = str(error) if isinstance(error, ProviderError) else explain(error, self._daemon.base_url)
            raise ProviderError(
                f"image {name} is not on this machine and pulling it failed ({reason}); check the name and the "
                "network, or build it or load it with docker load"
            ) from error

    @staticmethod
    def _found(inspect: Json, inputs: dict[str, Any]) -> Found:
        outputs = {"imageId": inspect["Id"], "repoDigest": next(iter(inspect.get("RepoDigests") or []), "")}
        return Found(inspect["Id"] + inputs["name"], inputs, outputs)


def _is_for(inspect: Json, platform: str | None) -> bool:
    """Whether the image is for the platform, given as os[/arch[/variant]]."""
    actual = (inspect.get("Os"), inspect.get("Architecture"), inspect.get("Variant"))
    wanted = (platform or "").split("/") if platform else []
    return all(part == have for part, have in zip(wanted, actual, strict=False) if have)
