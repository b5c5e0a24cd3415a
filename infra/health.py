"""Health of a stack's containers: the truth that decides whether `up` succeeded, whatever the provider said."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import docker
import requests
from docker.errors import NotFound

from infra.catalogue import Component, HttpProbe
from infra.settings import Settings

HEALTHY = "healthy"
STARTING = "starting"
UNHEALTHY = "unhealthy"
UNASKED = "running"  # on another machine, where its address cannot be reached
WELL = (HEALTHY, UNASKED)
# Who was too slow to answer while others started gets well by itself.
MAY_GET_WELL = (STARTING, UNHEALTHY)
LOG_LINES = 10
LOG_LINE_CHARACTERS = 300
POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Health:
    """State of one component's container: ``healthy``, ``starting``, ``unhealthy``, ``missing``, ``exited`` …"""

    component: str
    container: str
    state: str
    image: str = ""
    started: str = ""
    restarts: int = 0

    def as_json(self) -> dict[str, object]:
        """The reading as plain data."""
        return asdict(self)


def read(client: docker.DockerClient, settings: Settings) -> list[Health]:
    """Health of every component of the stack, in the catalogue's order."""
    return [_read_one(client, settings, component) for component in settings.components]


def _read_one(client: docker.DockerClient, settings: Settings, component: Component) -> Health:
    name = settings.container_name(component)
    try:
        actual = client.api.inspect_container(name)
    except NotFound:
        return Health(component.name, name, "missing")
    state = actual["State"]
    running = state["Status"] == "running"
    if component.probe.http:
        reachable = not settings.docker_host.startswith("ssh://")
        health = _asked(actual, component, component.probe.http) if reachable else UNASKED
    else:
        health = state.get("Health", {}).get("Status", "without a health check")
    return Health(
        component.name,
        name,
        health if running else state["Status"],
        _image_name(client, actual["Image"]),
        state["StartedAt"][:19] + "Z",
        actual["RestartCount"],
    )


def _asked(actual: dict[str, Any], component: Component, probe: HttpProbe) -> str:
    """Health by what a component answers; one that started a moment ago may still be silent."""
    if answers(actual, component, probe):
        return HEALTHY
    started = dt.datetime.fromisoformat(f"{actual['State']['StartedAt'][:19]}+00:00")
    age_seconds = (dt.datetime.now(dt.UTC) - started).total_seconds()
    return STARTING if age_seconds < component.probe.start_seconds else UNHEALTHY


def answers(actual: dict[str, Any], component: Component, probe: HttpProbe) -> bool:
    """Whether a component answers its probe at its own address, which this machine reaches on an internal network as well.

    Args:
        actual: what Docker's inspect says of its container.
        component: entry of the catalogue.
        probe: what to ask.
    """
    base = address(actual, component, probe.port)
    if base is None:
        return False
    url = f"{base}{probe.path}"
    try:
        # Never by a proxy that the environment names.
        with requests.Session() as session:
            session.trust_env = False
            response = session.get(url, timeout=component.probe.timeout_seconds, stream=True, allow_redirects=False)
            response.close()
    except requests.RequestException:
        return False
    return response.status_code < 400


def address(actual: dict[str, Any], component: Component, port: str) -> str | None:
    """Base URL of a component's port at its container's own address; None while it has none."""
    addresses = [network["IPAddress"] for network in actual["NetworkSettings"]["Networks"].values() if network["IPAddress"]]
    return f"http://{addresses[0]}:{component.ports[port].container}" if addresses else None


def container_url(client: docker.DockerClient, settings: Settings, component: Component, port: str) -> str | None:
    """Where this machine reaches a port of a running component at the container's own address; None when it does not run."""
    try:
        actual = client.api.inspect_container(settings.container_name(component))
    except NotFound:
        return None
    return address(actual, component, port)


def _image_name(client: docker.DockerClient, image_id: str) -> str:
    """The image's newest name on this machine, or its id when it has none left."""
    try:
        names = client.api.inspect_image(image_id)["RepoTags"]
    except NotFound:
        names = []
    return str(names[-1]) if names else image_id


def wait(client: docker.DockerClient, settings: Settings, say: Callable[[str], None]) -> list[Health]:
    """Wait until every component is healthy, or can no longer become it in time. Returns the last reading.

    A component has its start period and the stack's ``health_timeout_seconds`` on top of it, counted from now.
    """
    begun = time.monotonic()
    patience = {
        component.name: component.probe.start_seconds + settings.health_timeout_seconds for component in settings.components
    }
    announced: set[str] = set()
    while True:
        healths = read(client, settings)
        elapsed = time.monotonic() - begun
        waiting = [health for health in healths if health.state in MAY_GET_WELL and elapsed < patience[health.component]]
        for health in waiting:
            if health.component not in announced:
                announced.add(health.component)
                say(f"waiting for {health.component} to become healthy")
        if not waiting:
            return healths
        time.sleep(POLL_SECONDS)


def last_words(client: docker.DockerClient, container: str) -> list[str]:
    """The last log lines of a container, each cut to a readable length."""
    try:
        output = client.api.logs(container, tail=LOG_LINES)
    except NotFound:
        return []
    lines = output.decode(errors="replace").splitlines()
    return [f"{container}: {line[:LOG_LINE_CHARACTERS]}" for line in lines]


def apply_pids_limits(client: docker.DockerClient, settings: Settings) -> None:
    """Give each running container its pids limit, which the Docker provider has no input for."""
    for component in settings.components:
        name = settings.container_name(component)
        try:
            limit = client.api.inspect_container(name)["HostConfig"].get("PidsLimit")
        except NotFound:
            continue
        if limit != component.limits.pids:
            _update_container(client, name, {"PidsLimit": component.limits.pids})


def _update_container(client: docker.DockerClient, name: str, change: dict[str, int]) -> None:
    """POST /containers/{name}/update; the SDK's own method does not know ``PidsLimit``."""
    api = client.api
    response = api._post_json(api._url("/containers/{0}/update", name), data=change)  # noqa: SLF001
    api._raise_for_status(response)  # noqa: SLF001
