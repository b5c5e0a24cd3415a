"""The programs that check what Prometheus, Alertmanager, the prober and the gateway read: those that the images hold, too.

A checker of another version refuses what the component takes, or takes what it refuses. Nothing is installed: they are unpacked
from Debian's packages, or built, into the build cache.
"""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

from infra.catalogue import catalogue
from supply import debian, go, recipe
from supply.cache import Cache
from supply.errors import Say
from supply.recipe import GoProgram

# Program by component.
PROGRAMS = {
    "prometheus": "usr/bin/promtool",
    "alertmanager": "usr/bin/amtool",
    "blackbox-exporter": "usr/bin/prometheus-blackbox-exporter",
}
# Components that check their configuration themselves and are built here.
BUILT = ("caddy",)


def folder(cache: Cache) -> Path:
    """Where they stand, or will stand; a recipe's new date, or another version of what is built, is a new folder."""
    recipes = [recipe.read_image(component) for component in PROGRAMS]
    newest = max(one.refreshed for one in recipes)
    built = "-".join(_location(component, cache).name.removeprefix("go-") for component in BUILT)
    return cache.artifact("checkers", f"{recipes[0].suite}-{newest.isoformat()}-{built}")


def ensure(cache: Cache, say: Say) -> Path:
    """Unpack them unless they are there.

    Raises:
        SupplyError: when mmdebstrap or Go is missing, or a mirror cannot be reached.
    """
    target = folder(cache)
    if target.is_dir():
        return target
    with cache.locked(say), cache.writing(target) as scratch:
        scratch.mkdir(parents=True)
        archive = cache.folder("tmp") / "checkers.tar"
        packages = [package for component in PROGRAMS for package in recipe.read_image(component).packages]
        suite = recipe.read_image("prometheus").suite
        debian.unpack(suite, sorted(set(packages)), archive, epoch=0, name="checkers", cache=cache, say=say)
        with tarfile.open(archive) as tar:
            for program in PROGRAMS.values():
                member = tar.getmember(f"./{program}")
                member.name = Path(program).name
                tar.extract(member, scratch, filter="data")
        for component in BUILT:
            steps, version, disk_mb = _program(component)
            built = go.build(component, steps, version, recipe.image_folder(component), cache, say, disk_mb)
            shutil.copy(built / steps.binary.lstrip("/"), scratch)
    return target


def _program(component: str) -> tuple[GoProgram, str, int]:
    steps, packages = recipe.read_image(component), catalogue()[component].packages
    assert steps.go is not None  # noqa: S101 - those that are built are Go programs of the packages supply
    assert packages is not None  # noqa: S101
    return steps.go, packages.version, steps.cost.disk_mb


def _location(component: str, cache: Cache) -> Path:
    program, version, _ = _program(component)
    return go.location(component, program, version, recipe.image_folder(component), cache)
