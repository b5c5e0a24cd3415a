"""Official images: what the registry says about a tag, and pulling it, both through the Docker daemon.

The daemon's proxies, mirrors and credentials apply. A registry that cannot be reached is asked once in a run.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import docker
import docker.auth
import docker.errors
import requests.exceptions

from supply.commands import HEARTBEAT_SECONDS
from supply.errors import Say, SupplyError

PROBE_SECONDS = 15

_unreachable: dict[str, str] = {}  # registry → why, for the rest of this run


class RegistryUnreachable(SupplyError):
    """The registry gave no answer; another way to get the image may still work."""


class ImageRefused(SupplyError):
    """The registry answered, and does not give this image to us."""


def digest(reference: str, client: docker.DockerClient) -> str:
    """Digest of ``image:tag`` in its registry.

    Raises:
        RegistryUnreachable: within `PROBE_SECONDS`, and at once when the same registry was not reachable earlier in this run.
        ImageRefused: when the tag does not exist or needs a login.
    """
    host = registry_of(reference)
    if host in _unreachable:
        raise RegistryUnreachable(_unreachable[host])
    try:
        with _timeout(client, PROBE_SECONDS):
            return str(client.images.get_registry_data(reference).id)
    except (docker.errors.APIError, requests.exceptions.RequestException) as error:
        raise _failure(reference, host, error) from error


def pull(image: str, tag: str, pinned: str | None, client: docker.DockerClient, say: Say) -> str:
    """Pull an image, by its digest when it is pinned, and return its digest.

    Raises:
        RegistryUnreachable, ImageRefused: as `digest` does, which is asked first.
        SupplyError: when the download itself fails.
    """
    found = digest(f"{image}@{pinned}" if pinned else f"{image}:{tag}", client)
    started = last = time.monotonic()
    layers: set[str] = set()
    say(f"{image}:{tag}: pulling {found}")
    try:
        for event in client.api.pull(image, tag=found, stream=True, decode=True):
            if "error" in event:
                raise SupplyError(f"{image}:{tag} cannot be pulled: {event['error']}")
            if event.get("status") in ("Pull complete", "Already exists"):
                layers.add(str(event.get("id")))
            if time.monotonic() - last > HEARTBEAT_SECONDS:
                last = time.monotonic()
                say(f"{image}:{tag}: still pulling after {last - started:.0f} s, {len(layers)} layers complete")
        # Pulling by digest leaves no tag; with one, people and `docker image prune` see what it is.
        client.images.get(f"{image}@{found}").tag(image, tag)
    except (docker.errors.APIError, requests.exceptions.RequestException) as error:
        raise SupplyError(f"{image}:{tag} cannot be pulled: {explain(error)}") from error
    return found


def local_digest(image: str, reference: str, client: docker.DockerClient) -> str | None:
    """Digest under which a local image was pulled from ``image``, or None when it is not here or was never pulled."""
    try:
        digests: list[str] = client.images.get(reference).attrs.get("RepoDigests") or []
    except docker.errors.ImageNotFound:
        return None
    for entry in digests:
        repository, _, found = entry.partition("@")
        if docker.auth.resolve_repository_name(repository) == docker.auth.resolve_repository_name(_familiar(image)):
            return found
    return None


def registry_of(reference: str) -> str:
    """Registry that a reference names, or Docker's default one."""
    return str(docker.auth.resolve_repository_name(reference)[0])


def explain(error: Exception) -> str:
    """One line of why Docker or the way to it failed."""
    if isinstance(error, requests.exceptions.Timeout):
        return f"no answer in {PROBE_SECONDS} s"
    return " ".join(str(getattr(error, "explanation", None) or error).split())


def forget() -> None:
    """Ask every registry anew."""
    _unreachable.clear()


def _familiar(image: str) -> str:
    """Name under which Docker lists images of its default registry."""
    default = f"{docker.auth.INDEX_NAME}/"
    return image.removeprefix(default).removeprefix("library/") if image.startswith(default) else image


def _failure(reference: str, host: str, error: Exception) -> SupplyError:
    status = getattr(error, "status_code", None)
    if status == 404 or (status in (401, 403) and "unauthorized" not in str(error).lower()):
        return ImageRefused(f"{reference} does not exist at {host}: correct its version in catalogue.yml")
    if status in (401, 403):
        return ImageRefused(f"{reference} needs a login at {host}, or does not exist: run `docker login {host}`")
    _unreachable[host] = f"the registry {host} cannot be reached from Docker ({explain(error)})"
    return RegistryUnreachable(_unreachable[host])


@contextlib.contextmanager
def _timeout(client: docker.DockerClient, seconds: int) -> Iterator[None]:
    """Docker's client takes a timeout per connection only; questions to a registry need a shorter one."""
    before = client.api.timeout
    client.api.timeout = seconds
    try:
        yield
    finally:
        client.api.timeout = before
