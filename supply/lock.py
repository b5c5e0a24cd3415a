"""``catalogue.lock``: the digest of every official image, so that a tag that moves changes nothing here.

YAML: component → reference (image:tag) → digest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import docker
import yaml
from pydantic import AfterValidator, RootModel, ValidationError

from infra.catalogue import PROJECT_ROOT, Component
from supply import registry
from supply.errors import Say, SupplyError

PATH = PROJECT_ROOT / "catalogue.lock"
HEADER = "# Digests of the official images in catalogue.yml. Written by `make lock`; do not edit.\n"


def _digest(text: str) -> str:
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", text):
        raise ValueError(f"{text!r} is not a sha256 digest")
    return text


class Lock(RootModel[dict[str, dict[str, Annotated[str, AfterValidator(_digest)]]]]):
    """The parsed file."""

    def digest(self, component: Component) -> str | None:
        """Digest of a component's upstream image at the catalogue's version, or None when it is not locked."""
        if component.upstream is None:
            return None
        return self.root.get(component.name, {}).get(component.upstream.reference)


def read(path: Path | None = None) -> Lock:
    """The lock, empty when there is no file.

    Raises:
        SupplyError: when the file is not usable.
    """
    path = path or PATH
    try:
        return Lock.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    except FileNotFoundError:
        return Lock({})
    except (yaml.YAMLError, ValidationError) as error:
        raise SupplyError(f"{path} is damaged: restore it from git or run `make lock` after removing it") from error


def write(
    components: Iterable[Component], client: docker.DockerClient, say: Say, *, accept_moved: bool, path: Path | None = None
) -> None:
    """Ask the registries for every digest and write the file; entries of versions no longer used go.

    Raises:
        SupplyError: on a tag that does not exist, a registry that cannot be reached, and on a tag that moved since it was
            locked unless ``accept_moved``. The file is then left as it was.
    """
    path = path or PATH
    old = read(path)
    found: dict[str, dict[str, str]] = {}
    moved: list[str] = []
    for component in components:
        if component.upstream is None:
            continue
        reference = component.upstream.reference
        digest = registry.digest(reference, client)
        before = old.digest(component)
        if before not in (None, digest):
            moved.append(f"{reference} was {before} and is {digest}")
        say(f"{component.name}: {reference} is {digest} ({_change(before, digest)})")
        found[component.name] = {reference: digest}
    if moved and not accept_moved:
        raise SupplyError(f"tags moved: {'; '.join(moved)}. Find out why, then run `python -m supply lock --accept-moved`")
    path.write_text(HEADER + yaml.safe_dump(found, sort_keys=True), encoding="utf-8")


def _change(before: str | None, now: str) -> str:
    if before is None:
        return "new"
    return "as before" if before == now else "MOVED"
