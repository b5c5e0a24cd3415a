"""The programs that check what Prometheus, Alertmanager and the prober read: those of the same Debian packages as the images.

A checker of another version refuses what the component takes, or takes what it refuses. Nothing is installed: they are unpacked
into the build cache.
"""

from __future__ import annotations

import tarfile
from pathlib import Path

from supply import debian, recipe
from supply.cache import Cache
from supply.errors import Say

# Program by component.
PROGRAMS = {
    "prometheus": "usr/bin/promtool",
    "alertmanager": "usr/bin/amtool",
    "blackbox-exporter": "usr/bin/prometheus-blackbox-exporter",
}


def folder(cache: Cache) -> Path:
    """Where they stand, or will stand; a recipe's new date is a new folder."""
    recipes = [recipe.read_image(component) for component in PROGRAMS]
    newest = max(one.refreshed for one in recipes)
    return cache.artifact("checkers", f"{recipes[0].suite}-{newest.isoformat()}")


def ensure(cache: Cache, say: Say) -> Path:
    """Unpack them unless they are there.

    Raises:
        SupplyError: when mmdebstrap is missing or a mirror cannot be reached.
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
    return target
