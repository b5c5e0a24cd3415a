"""Configuration that is read anew while a component runs: nothing is replaced, no sample is lost.

A component with ``reload`` in the catalogue says in its metrics when it last read its configuration. Files that are newer have
not been read yet.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

import docker
import requests

from infra.catalogue import Component, HttpProbe
from infra.health import container_url
from infra.settings import Settings

READ_AT = re.compile(r"^\w*config_last_reload_success_timestamp_seconds (\S+)$", re.MULTILINE)
# How long one that is told by a signal may take to read its configuration.
SIGNAL_SECONDS = 10
LAST_LINES = 5


class ReloadError(RuntimeError):
    """A component refused its configuration and goes on with the one it had. The message says why, in its own words."""


def pending(client: docker.DockerClient, settings: Settings) -> list[Component]:
    """Running components whose configuration was changed since they read it; those of another machine cannot be asked."""
    if settings.docker_host.startswith("ssh://"):
        return []
    return [one for one in settings.components if one.reload and _is_newer(client, settings, one)]


def reload(client: docker.DockerClient, settings: Settings, component: Component) -> None:
    """Have a component read its configuration.

    Raises:
        ReloadError: it refused, or did not answer.
    """
    assert component.reload is not None  # noqa: S101 - only these are asked
    if component.reload.signal:
        _signal(client, settings, component, component.reload.signal)
    else:
        _post(client, settings, component, HttpProbe(port=component.reload.port, path=component.reload.path or "/"))


def _signal(client: docker.DockerClient, settings: Settings, component: Component, signal: str) -> None:
    """Send a signal, and wait until it says that it has read its configuration: a signal has no answer."""
    container = settings.container_name(component)
    before, begun = _read_at(client, settings, component), int(time.time())
    if before is None:
        raise ReloadError(f"{component.name} does not run")
    client.api.kill(container, signal=signal)
    deadline = time.monotonic() + SIGNAL_SECONDS
    while (_read_at(client, settings, component) or before) <= before:
        if time.monotonic() > deadline:
            said = client.api.logs(container, since=begun, tail=LAST_LINES).decode(errors="replace").strip()
            raise ReloadError(f"{component.name} refused its new configuration and goes on with the old one: {said[-1000:]}")
        time.sleep(0.1)


def _post(client: docker.DockerClient, settings: Settings, component: Component, place: HttpProbe) -> None:
    base = container_url(client, settings, component, place.port)
    if base is None:
        raise ReloadError(f"{component.name} does not run")
    try:
        answer = _session().post(f"{base}{place.path}", timeout=component.probe.start_seconds)
    except requests.RequestException as error:
        raise ReloadError(f"{component.name} did not answer: {type(error).__name__}") from None
    if answer.status_code >= 400:
        raise ReloadError(
            f"{component.name} refused its new configuration and goes on with the old one: {answer.text.strip()[:1000]}"
        )


def _is_newer(client: docker.DockerClient, settings: Settings, component: Component) -> bool:
    read_at = _read_at(client, settings, component)
    return read_at is not None and newest(settings.folders.config / component.name) > read_at


def newest(folder: Path) -> float:
    """Unix time of the last change below a folder; a file that was taken away changes its folder."""
    return max((path.stat().st_mtime for path in [folder, *folder.rglob("*")]), default=0.0) if folder.is_dir() else 0.0


def _read_at(client: docker.DockerClient, settings: Settings, component: Component) -> float | None:
    """When it read its configuration, or None when it does not say."""
    (scrape, *_) = component.metrics.values()
    base = container_url(client, settings, component, scrape.port)
    try:
        text = _session().get(f"{base}{scrape.path}", timeout=component.probe.timeout_seconds).text if base else ""
    except requests.RequestException:
        return None
    found = READ_AT.search(text)
    return float(found[1]) if found else None


def _session() -> requests.Session:
    """Never by a proxy that the environment names."""
    session = requests.Session()
    session.trust_env = False
    return session
