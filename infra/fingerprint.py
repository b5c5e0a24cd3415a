"""Fingerprint of a component's placed configuration: containers carry it as a label, so that a change replaces them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from infra.catalogue import Component
from infra.settings import Settings

NOTHING = "none"
RELOADED = "reloaded"


def fingerprint(settings: Settings, component: Component) -> str:
    """12 hex digits over names and bytes of all files below the component's configuration folder, or ``none``.

    Who reads a changed configuration without a restart is never replaced for it (`infra.reload`).

    Raises:
        PermissionError: when the folder may not be read.
    """
    folder = settings.folders.config / component.name
    if component.config is None or not folder.is_dir():
        return NOTHING
    if component.reload:
        return RELOADED
    digest = hashlib.sha256()
    for path in sorted(_files(folder)):
        digest.update(f"{path.relative_to(folder)}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _files(folder: Path) -> Iterator[Path]:
    """Files below a folder. One that may not be read is an error: to leave it out would hide that it changed."""

    def fail(error: OSError) -> None:
        raise error

    for parent, _, names in os.walk(folder, onerror=fail):
        yield from (Path(parent) / name for name in names)
