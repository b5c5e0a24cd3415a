"""Which image a component runs, and making it present: the local one, else the official one, else one built here."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from typing import Literal

import docker
import docker.errors

from infra.catalogue import Component, Upstream, catalogue
from infra.settings import Supply
from supply import build, keys, lock, recipe, registry
from supply import cache as caches
from supply.errors import Say, SupplyError

__all__ = ["Image", "SupplyError", "ensure", "packages_reference", "plan", "present"]


@dataclass(frozen=True)
class Image:
    """The decision for one component. ``reference`` is what the container is created from; ``why`` is for people."""

    component: str
    reference: str
    supply: Literal["upstream", "packages"]
    why: str


def plan(component: Component, supply: Supply, client: docker.DockerClient) -> Image:
    """What `ensure` would choose, without changing anything or asking a registry.

    The reference is exact when the image is on this machine or its digest is locked. Otherwise an official image is named by
    its tag alone: only pulling it tells the digest.

    Raises:
        SupplyError: when the component has no usable recipe, or the lock is damaged.
    """
    if component.image_of:
        return _for(component, plan(catalogue().image_source(component), supply, client))
    local = present(component, supply, client)
    if local:
        return local
    if supply == "packages" or component.upstream is None:
        return Image(component.name, packages_reference(component), "packages", _build_reason(component, supply))
    pinned = lock.read().digest(component)
    otherwise = "" if supply == "upstream" else ", or built when the registry cannot be reached"
    return Image(
        component.name, _exact(component.upstream, pinned), "upstream", f"not on this machine: will be pulled{otherwise}"
    )


def ensure(component: Component, supply: Supply, client: docker.DockerClient, say: Say) -> Image:
    """Make the component's image present and say which and why. The reference is always exact.

    Raises:
        SupplyError: when it can neither be pulled nor built, as far as ``supply`` allows these.
    """
    if component.image_of:
        return _for(component, ensure(catalogue().image_source(component), supply, client, say))
    local = present(component, supply, client)
    if local:
        say(f"{component.name}: {local.reference} ({local.why})")
        return local
    if supply == "packages" or component.upstream is None:
        return _build(component, _build_reason(component, supply), client, say)
    try:
        return _pull(component, component.upstream, client, say)
    except SupplyError as error:
        if component.packages is None:
            raise SupplyError(f"{component.name}: {error}; there is no other way to get it") from error
        if supply == "upstream":
            raise SupplyError(f"{component.name}: {error}; or choose `supply: auto` or `packages` to build it here") from error
        say(f"{component.name}: {error}; building it instead")
        return _build(component, "the official image cannot be pulled", client, say)


def packages_reference(component: Component) -> str:
    """Name of the image that the packages supply builds from today's content.

    Raises:
        SupplyError: when it cannot be built from packages, or has no usable recipe.
    """
    if component.packages is None:
        raise SupplyError(
            f"{component.name} cannot be built from packages: choose `supply: auto` or `upstream`, or do without it"
        )
    key = keys.image_key(component, recipe.read_image(component.name))
    return f"crowsnest/{component.name}:{component.packages.version}-{key}"


def present(component: Component, supply: Supply, client: docker.DockerClient) -> Image | None:
    """The local image, if any: one built from exactly this content goes before the official one.

    Raises:
        SupplyError: when the component has no usable recipe, or the lock is damaged.
    """
    if component.image_of:
        found_image = present(catalogue().image_source(component), supply, client)
        return found_image and _for(component, found_image)
    if component.packages and (supply != "upstream" or component.upstream is None):
        reference = packages_reference(component)
        if _exists(reference, client):
            return Image(component.name, reference, "packages", "on this machine, built from packages with this content")
    if supply != "packages" and component.upstream is not None:
        pinned = lock.read().digest(component)
        if pinned:
            reference = _exact(component.upstream, pinned)
            if _exists(reference, client):
                return Image(component.name, reference, "upstream", "on this machine, digest as in catalogue.lock")
        else:
            found = registry.local_digest(component.upstream.image, component.upstream.reference, client)
            if found:
                return Image(
                    component.name, _exact(component.upstream, found), "upstream", f"on this machine, {_unlocked(found)}"
                )
    return None


def _for(component: Component, image: Image) -> Image:
    """Another component's image, chosen for this one."""
    return dataclasses.replace(image, component=component.name)


def _pull(component: Component, upstream: Upstream, client: docker.DockerClient, say: Say) -> Image:
    pinned = lock.read().digest(component)
    found = registry.pull(upstream.image, upstream.version, pinned, client, say)
    why = "pulled, digest as in catalogue.lock" if pinned else f"pulled, {_unlocked(found)}"
    say(f"{component.name}: {why}")
    return Image(component.name, _exact(upstream, found), "upstream", why)


def _build(component: Component, why: str, client: docker.DockerClient, say: Say) -> Image:
    reference = packages_reference(component)
    steps = recipe.read_image(component.name)
    cache = caches.default()
    with cache.locked(say):
        if not _exists(reference, client):  # another run may have built it while we waited
            started = time.monotonic()
            tag = reference.rpartition(":")[2]
            say(f"{component.name}: building {tag} from packages (first time about {steps.cost.seconds} s)")
            build.build(component, steps, reference, client, cache, say)
            size = int(client.images.get(reference).attrs["Size"]) // 10**6
            say(f"{component.name}: built in {time.monotonic() - started:.0f} s, image {size} MB")
    return Image(component.name, reference, "packages", f"built from packages: {why}")


def _build_reason(component: Component, supply: Supply) -> str:
    return "own component" if component.upstream is None else f"supply is {supply}"


def _unlocked(digest: str) -> str:
    return f"not in catalogue.lock: pinned for this machine to {digest}; run `make lock`"


def _exact(upstream: Upstream, digest: str | None) -> str:
    return f"{upstream.reference}@{digest}" if digest else upstream.reference


def _exists(reference: str, client: docker.DockerClient) -> bool:
    try:
        client.images.get(reference)
    except docker.errors.ImageNotFound:
        return False
    return True
