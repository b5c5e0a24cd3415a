"""Debian packages that this machine lacks for what has to be built on it."""

from __future__ import annotations

from collections.abc import Iterable

import docker

from infra.catalogue import Component, catalogue
from infra.settings import Supply
from supply import debian, go, images, maven, recipe, registry, tools
from supply.errors import SupplyError


def missing(components: Iterable[Component], supply: Supply, client: docker.DockerClient | None) -> list[str]:
    """Names for apt, sorted; empty when nothing has to be built or everything is there.

    Without a Docker daemon (``client`` None) no image can be present, so every component counts. A registry that answers
    means that its images will be pulled.
    """
    sources = {source.name: source for source in map(catalogue().image_source, components)}
    building = [component for component in sources.values() if _will_be_built(component, supply, client)]
    packages = set(debian.missing_packages()) if building else set()
    # What has only an official image has no recipe; that it cannot be built is said where it is to be.
    recipes = [recipe.read_image(component.name) for component in building if component.packages]
    compiles = any(one.go for one in recipes)
    if any(one.java for one in recipes) and not maven.installed():
        packages.add("maven")
    if supply != "upstream" and tools.present_engine(supply) is None:
        compiles = True
    if compiles and go.installed() is None:
        packages.add("golang-go")
    return sorted(packages)


def _will_be_built(component: Component, supply: Supply, client: docker.DockerClient | None) -> bool:
    if component.upstream is None or supply == "packages":
        return client is None or not images.present(component, supply, client)
    if supply == "upstream":
        return False
    if client is None:
        return True
    if images.present(component, supply, client):
        return False
    try:
        registry.digest(component.upstream.reference, client)
    except SupplyError:
        return True
    return False
