"""Build one component's image from packages and import it into Docker."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path

import docker
import docker.errors

from infra.catalogue import Component
from supply import cache as caches
from supply import debian, go, keys, maven, registry, rootfs, web, wheels
from supply.architecture import architecture
from supply.cache import KEPT_KEYS, Cache
from supply.errors import Say, SupplyError
from supply.recipe import Recipe, image_folder
from supply.rootfs import Entry

SOURCES_IN_IMAGE = "/opt/crowsnest"
SCRATCH = "/tmp"  # noqa: S108 - inside the image, where only the component runs


def build(component: Component, recipe: Recipe, reference: str, client: docker.DockerClient, cache: Cache, say: Say) -> None:
    """Make ``reference`` present in Docker. Every step that was completed before is taken from the cache.

    Raises:
        SupplyError: when a prerequisite, a download, disk space or Docker is missing.
    """
    _check_daemon(client)
    name, folder = component.name, image_folder(component.name)
    version = reference.rpartition(":")[2].rpartition("-")[0]
    key = reference.rpartition("-")[2]
    epoch = _epoch(recipe)
    cache.require_space(name, recipe.cost.disk_mb)
    program = _program(name, recipe, version, folder, cache, say)
    base = _base(name, recipe, folder, cache, say)
    pages = web.build(name, recipe.web, client, cache, say) if recipe.web else None
    tar = cache.folder("tmp") / f"{name}-{key}.tar"
    try:
        entries = list(_entries(component, recipe, folder, program, pages))
        # Some programs stand in /usr/sbin, whose other contents no service needs.
        rootfs.write(base, tar, entries, drop=recipe.drop, epoch=epoch, keep=recipe.entrypoint[:1])
    except OSError as error:
        raise SupplyError(
            f"{name}: {cache.root} cannot be written ({error.strerror}); {recipe.cost.disk_mb} MB are needed"
        ) from error
    _import(tar, reference, _changes(component, recipe, version, key), client)
    caches.remove(tar)
    _prune_images(reference, client)


def _program(name: str, recipe: Recipe, version: str, folder: Path, cache: Cache, say: Say) -> Path | None:
    """A folder with what Go compiled or Maven brought, as it stands in the image; None for what comes otherwise."""
    if recipe.go:
        return go.build(name, recipe.go, version, folder, cache, say, recipe.cost.disk_mb)
    if recipe.java:
        return maven.fetch(name, recipe.java, version, cache, say)
    return None


def _base(name: str, recipe: Recipe, folder: Path, cache: Cache, say: Say) -> Path:
    """The tar of the Debian packages, with the locked wheels compiled by the suite's own Python."""
    base = cache.artifact(name, f"base-{keys.base_key(recipe, folder)}.tar")
    if base.exists():
        caches.use(base)
        return base
    hooks: list[str] = []
    if recipe.python:
        site = cache.folder("tmp", "wheels") / Path(wheels.SITE_PACKAGES).name
        wheels.install(name, recipe.python, folder / "requirements.txt", site, cache, say)
        hooks = wheels.hooks(site, recipe.python)
    with cache.writing(base) as scratch:
        debian.unpack(
            recipe.suite, recipe.packages, scratch, epoch=_epoch(recipe), name=name, cache=cache, say=say, hooks=hooks
        )
    cache.prune(name, "base-")
    return base


def _entries(component: Component, recipe: Recipe, folder: Path, program: Path | None, pages: Path | None) -> Iterator[Entry]:
    """What the image has beyond its packages. Folders that the component writes belong to its user."""
    yield from rootfs.accounts(component.name, component.uid, component.data or SCRATCH)
    # A maintainer script makes this link in Debian; none runs here.
    yield Entry("/var/run", link="/run")
    # When a container starts again, Docker gives a tmpfs the mode of the folder below it: only a world-writable one lets the
    # component's user write a second time.
    for writable in sorted({SCRATCH, *component.tmpfs}):
        yield Entry(writable.replace("/var/run/", "/run/", 1), mode=0o1777)
    if component.config:
        yield Entry(component.config)
    if component.data:
        yield Entry(component.data, owner=component.owner)
    yield from (Entry(path, link=target) for path, target in recipe.links.items())
    yield from rootfs.tree(folder / "rootfs")
    if program:
        yield from rootfs.tree(program)
    if pages and recipe.web:
        yield from rootfs.tree(pages, recipe.web.target)
    for name, path in keys.source_files(recipe).items():
        yield Entry(f"{SOURCES_IN_IMAGE}/{name}", content=path, mode=0o644)


def _changes(component: Component, recipe: Recipe, version: str, key: str) -> list[str]:
    """The image's configuration, as Dockerfile instructions."""
    labels = {
        "org.opencontainers.image.title": component.name,
        "org.opencontainers.image.description": component.summary,
        "org.opencontainers.image.version": version,
        "org.opencontainers.image.licenses": component.licence,
        "crowsnest.content_key": key,
    }
    environment = {"PATH": "/usr/local/bin:/usr/bin", **recipe.env}
    if recipe.python:
        environment |= {"PYTHONPATH": f"{SOURCES_IN_IMAGE}:{wheels.SITE_PACKAGES}", "PYTHONUNBUFFERED": "1"}
    changes = [f"USER {component.user}", f"ENTRYPOINT {json.dumps(recipe.entrypoint)}"]
    changes += [f"ENV {name}={json.dumps(value)}" for name, value in environment.items()]
    changes += [f"LABEL {name}={json.dumps(value)}" for name, value in labels.items()]
    changes += [f"EXPOSE {port.container}" for port in component.ports.values()]
    return changes


def _import(tar: Path, reference: str, changes: list[str], client: docker.DockerClient) -> None:
    repository, _, tag = reference.rpartition(":")
    try:
        client.api.import_image(src=str(tar), repository=repository, tag=tag, changes=changes)
        client.images.get(reference)
    except docker.errors.DockerException as error:
        size = tar.stat().st_size // 10**6
        reason = registry.explain(error)
        raise SupplyError(
            f"{reference}: Docker cannot import the image ({reason}); it needs {size} MB in Docker's data folder"
        ) from error


def _prune_images(reference: str, client: docker.DockerClient) -> None:
    """Remove this component's older images; one that a container still uses stays."""
    repository = reference.rpartition(":")[0]
    images = sorted(client.images.list(name=repository), key=lambda image: str(image.attrs["Created"]))
    for image in images[:-KEPT_KEYS]:
        for tag in image.tags:
            try:
                client.images.remove(tag)
            except docker.errors.APIError as error:
                if error.status_code != 409:
                    raise SupplyError(f"{tag}: Docker cannot remove the old image: {registry.explain(error)}") from error


def _check_daemon(client: docker.DockerClient) -> None:
    theirs = str(client.version()["Arch"])
    if theirs != architecture():
        raise SupplyError(f"Docker runs on {theirs} and this machine is {architecture()}: run the build on the Docker machine")


def _epoch(recipe: Recipe) -> int:
    return int(dt.datetime.combine(recipe.refreshed, dt.time(), dt.UTC).timestamp())
