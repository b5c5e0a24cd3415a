"""Containers: made, watched until they work, limited in place, stopped gracefully."""

from __future__ import annotations

import threading
import time
from functools import cached_property
from typing import Any

from supply.docker_provider import schema
from supply.docker_provider.daemon import APIError, Daemon, NotFound, until_released
from supply.docker_provider.differ import changes
from supply.docker_provider.errors import InitFailed, ProviderError
from supply.docker_provider.inspect import read_container
from supply.docker_provider.mapping import Json
from supply.docker_provider.resource import Found
from supply.docker_provider.schema import Change

DEFAULT_STOP_SECONDS = 10
DEFAULT_WAIT_SECONDS = 60
SETTLE_SECONDS = 0.5
"""How long a container without `wait` must keep running to count as started."""
POLL_SECONDS = 0.1
LOG_LINES = 10
LINE_LENGTH = 300


class Container:
    """docker:index/container:Container. `cancelled` ends every wait for health."""

    schema = schema.CONTAINER

    def __init__(self, daemon: Daemon, cancelled: threading.Event) -> None:
        self._daemon = daemon
        self._cancelled = cancelled

    def create(self, inputs: dict[str, Any], timeout: float) -> Found:
        """Make it; see `Resource`."""
        name = inputs["name"]
        self._clear_the_way(inputs)
        body, networks = creation(inputs)
        try:
            id_: str = self._daemon.create_container_from_config(body, name, inputs.get("platform"))["Id"]
        except NotFound as error:
            raise ProviderError(f"container {name} cannot be created: {error.explanation}; pull or build it first") from error
        try:
            for network, endpoint in networks.items():
                self._daemon.attach_network(network, id_, endpoint)
            if _is(inputs, "start"):
                self._daemon.start(id_)
        except APIError as error:
            self._remove(id_, volumes=True)
            raise ProviderError(f"container {name} could not be started: {error.explanation}") from error
        if _is(inputs, "start"):
            self._watch(id_, inputs, timeout)
        return Found(id_, inputs)

    def read(self, id_: str, inputs: dict[str, Any]) -> Found | None:
        """Look it up; see `Resource`."""
        try:
            inspect = self._daemon.inspect_container(id_)
        except NotFound:
            return None
        actual = read_container(inspect, self._image(inspect["Image"]), inputs, swap_limit=self._swap_limit)
        health = _health(inspect)
        if inputs.get("wait") and inspect["State"]["Running"] and health != "healthy":
            raise self._failure(inspect, actual, f"is {health}")
        return Found(inspect["Id"], actual)

    def update(self, id_: str, old: dict[str, Any], new: dict[str, Any], timeout: float) -> Found:
        """Apply what changes; see `Resource`."""
        changed = changes(self.schema, old, new)
        limits = [name for name, change in changed.items() if change is Change.UPDATE and name != "mustRun"]
        inspect = self._daemon.inspect_container(id_)
        if limits:
            self._daemon.update_resources(id_, limit_update(limits, new, inspect["HostConfig"]))
        started = _is(new, "mustRun") and _is(new, "start") and self._set_running(inspect, new)
        if started or (new.get("wait") and _is(new, "start")):
            self._watch(id_, new, timeout)
        return Found(id_, new)

    def delete(self, id_: str, state: dict[str, Any]) -> None:
        """Remove it; see `Resource`."""
        try:
            inspect = self._daemon.inspect_container(id_)
        except NotFound:
            return
        self._stop(inspect, state.get("destroyGraceSeconds"))
        self._remove(id_, volumes=_is(state, "removeVolumes"))

    def _clear_the_way(self, inputs: dict[str, Any]) -> None:
        """Remove what a killed run left under this name; refuse when somebody else made it."""
        name = inputs["name"]
        try:
            found = self._daemon.inspect_container(name)
        except NotFound:
            return
        if found["Name"].lstrip("/") != name:
            return  # the name happens to begin another container's id
        labels = {item["label"]: item["value"] for item in inputs.get("labels") or []}
        if not labels or not labels.items() <= (found["Config"].get("Labels") or {}).items():
            raise ProviderError(f"container {name} exists and was not created by this stack; remove or rename it")
        self._stop(found, inputs.get("destroyGraceSeconds"))
        self._remove(found["Id"], volumes=False)

    def _stop(self, inspect: Json, grace: int | None) -> None:
        """Ask it to stop, and have the daemon kill it only after the grace in seconds."""
        state = inspect["State"]
        if not state["Running"]:
            return
        own = inspect["Config"].get("StopTimeout")
        seconds = grace or (DEFAULT_STOP_SECONDS if own is None else own)
        try:
            if state.get("Paused"):
                self._daemon.unpause(inspect["Id"])
            self._daemon.stop(inspect["Id"], timeout=seconds)
        except NotFound:
            return

    def _remove(self, id_: str, *, volumes: bool) -> None:
        until_released(
            lambda: self._daemon.remove_container(id_, v=volumes),
            lambda error: error.response is not None and error.response.status_code == 409,
        )

    def _set_running(self, inspect: Json, inputs: dict[str, Any]) -> bool:
        """Make it run; true when it did not."""
        if inspect["State"].get("Paused"):
            self._daemon.unpause(inspect["Id"])
        elif inspect["State"]["Running"]:
            return False
        else:
            try:
                self._daemon.start(inspect["Id"])
            except APIError as error:
                raise self._failure(inspect, inputs, f"could not be started: {error.explanation}") from error
        return True

    def _watch(self, id_: str, inputs: dict[str, Any], timeout: float) -> None:
        """Return when the container works: healthy if that is waited for, else still running after a moment."""
        wait = bool(inputs.get("wait"))
        seconds = float(inputs.get("waitTimeout") or DEFAULT_WAIT_SECONDS) if wait else SETTLE_SECONDS
        seconds = min(seconds, timeout) if timeout else seconds
        deadline = time.monotonic() + seconds
        while True:
            try:
                inspect = self._daemon.inspect_container(id_)
            except NotFound:
                raise ProviderError(f"container {inputs['name']} disappeared while it was starting") from None
            state, late = inspect["State"], time.monotonic() > deadline
            if state["Status"] in ("exited", "dead") and (wait or _is(inputs, "mustRun")):
                killed = ", out of memory" if state.get("OOMKilled") else ""
                raise self._failure(inspect, inputs, f"exited with code {state['ExitCode']}{killed}")
            if wait and _health(inspect) == "healthy":
                return
            if wait and state["Running"] and not state.get("Health"):
                raise self._failure(inspect, inputs, "is to be waited for, but has no healthcheck")
            if self._cancelled.is_set():
                raise self._failure(inspect, inputs, "was not waited for: cancelled")
            if late and wait:
                raise self._failure(inspect, inputs, f"is not healthy after {seconds:g} s, but {_health(inspect)}")
            if late and state.get("Restarting"):
                raise self._failure(inspect, inputs, f"keeps restarting; it exited with code {state['ExitCode']}")
            if late:
                return
            self._cancelled.wait(POLL_SECONDS)

    def _failure(self, inspect: Json, inputs: dict[str, Any], problem: str) -> InitFailed:
        """The problem with what the container and its last health check said."""
        name = inspect["Name"].lstrip("/")
        reasons = [f"container {name} {problem}"]
        checks = (inspect["State"].get("Health") or {}).get("Log") or []
        if checks:
            output = " ".join((checks[-1].get("Output") or "").split())
            reasons.append(f"last health check: code {checks[-1].get('ExitCode')}: {output}"[:LINE_LENGTH])
        try:
            logs = self._daemon.logs(inspect["Id"], tail=LOG_LINES, stdout=True, stderr=True)
        except APIError:
            logs = b""  # gone, or a log driver that cannot be read
        reasons.extend(f"log: {line}"[:LINE_LENGTH] for line in logs.decode(errors="replace").splitlines()[-LOG_LINES:])
        return InitFailed(inspect["Id"], inputs, reasons)

    def _image(self, id_: str) -> Json | None:
        try:
            inspect: Json = self._daemon.inspect_image(id_)
        except NotFound:
            return None
        return inspect

    @cached_property
    def _swap_limit(self) -> bool:
        return bool(self._daemon.info().get("SwapLimit", True))


def creation(inputs: dict[str, Any]) -> tuple[Json, dict[str, Json]]:
    """The body that creates the container, and the endpoints of the networks that it has to be attached to afterwards.

    The daemon takes only one network at creation.
    """
    document: Json = {"Config": {}, "HostConfig": {}, "NetworkSettings": {}}
    for name, value in inputs.items():
        if name in schema.CONTAINER.fields:
            schema.CONTAINER.fields[name].place(value, document)
    host = document["HostConfig"]
    endpoints: dict[str, Json] = document["NetworkSettings"].get("Networks") or {}
    first = inputs.get("networkMode") if inputs.get("networkMode") in endpoints else next(iter(endpoints), None)
    body: Json = {**document["Config"], "Image": inputs["image"], "HostConfig": host}
    host["AutoRemove"] = bool(inputs.get("rm"))
    body["ExposedPorts"] = {port: {} for port in host.get("PortBindings") or {}}
    if first is not None:
        host["NetworkMode"] = first
        body["NetworkingConfig"] = {"EndpointsConfig": {first: endpoints[first]}}
    return body, {name: endpoint for name, endpoint in endpoints.items() if name != first}


def limit_update(changed: list[str], inputs: dict[str, Any], current: Json) -> Json:
    """The body that changes these inputs of a running container; `current` is its HostConfig.

    Memory and swap go together, for the daemon compares them; undeclared swap follows the memory.
    """
    wanted = creation(inputs)[0]["HostConfig"]
    body = {key: wanted[key] for name in changed if (key := schema.CONTAINER.fields[name].path[1]) in wanted}
    if "restart" in changed or "maxRetryCount" in changed:
        body["RestartPolicy"] = {"Name": "no", **wanted.get("RestartPolicy", {})}
    if "memory" in changed or "memorySwap" in changed:
        memory = wanted.get("Memory", 0)
        swap = current.get("MemorySwap") if current.get("MemorySwap") == -1 else 2 * memory
        body.update({"Memory": memory, "MemorySwap": wanted.get("MemorySwap") or swap})
    return body


def _is(inputs: Json, name: str) -> bool:
    """A switch whose default is on."""
    return inputs.get(name) is not False


def _health(inspect: Json) -> str:
    """What to call its health: the daemon's word, or its state when it has none."""
    state = inspect["State"]
    return str((state.get("Health") or {}).get("Status") or state["Status"])
